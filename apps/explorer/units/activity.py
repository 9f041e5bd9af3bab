"""Units of one layer in detail: which are on at a cell, the pictures that activate them most, and edits of them.

Pure functions, independent of Streamlit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gandissect import Ablation, Generator, LayerDissection, Scaling, UnitSet
from gandissect.causal.results import UnitEffects
from gandissect.core import concept_index
from gandissect.inference.upsampling import upsample
from gandissect.interventions.edits import Edit
from gandissect.report.regions import highlight
from gandissect.stats import Z_95

from ..display.images import Pixels, draw_picture
from ..networks import make_images, run_head

BATCH = 32
SMALL = 1e-6


def make_factor_edits(layer: str, factors: Mapping[int, float]) -> list[Edit]:
    """Return the edits that multiply units of a layer by factors.

    Args:
        layer: Name of the layer.
        factors: Factor by unit; 0 becomes an ablation, 1 no edit.

    Returns:
        One edit per factor other than 1, in order of first occurrence.
    """
    by_factor: dict[float, list[int]] = {}
    for unit, factor in factors.items():
        if factor != 1:
            by_factor.setdefault(factor, []).append(unit)
    return [
        Scaling(UnitSet(layer, tuple(units)), factor) if factor else Ablation(UnitSet(layer, tuple(units)))
        for factor, units in by_factor.items()
    ]


def find_active_units(
    activation: Float[Tensor, "unit h w"], thresholds: Float[Tensor, " unit"], row: int, column: int
) -> pd.DataFrame:
    """Return the units that are on at a cell, sorted by how far they exceed their threshold.

    Args:
        activation: Activations of a layer for one picture, ``[unit, h, w]``.
        thresholds: Threshold of each unit, ``[unit]``; a unit is on where it is strictly above.
        row: Row from the top, 0 to h - 1.
        column: Column from the left, 0 to w - 1.

    Returns:
        Columns ``unit``, ``activation``, ``threshold``.
    """
    values = activation[:, row, column].cpu().double()
    above = (values - thresholds) / (thresholds.abs() + SMALL)  # relative excess; thresholds may be negative
    order = above.argsort(descending=True, stable=True)
    units = order[values[order] > thresholds[order]].tolist()
    return pd.DataFrame(
        {"unit": units, "activation": values[units].tolist(), "threshold": thresholds[units].double().tolist()}
    )


@torch.inference_mode()
def measure_peaks(generator: Generator, layer: str, seed: int, num_samples: int) -> Float32[Tensor, "picture unit"]:
    """Return the largest activation of each unit in each of the first pictures of a seed.

    Args:
        generator: Generator.
        layer: Name of the layer.
        seed: Seed of the pictures.
        num_samples: Number of pictures, at least 1.

    Returns:
        float32 ``[picture, unit]`` on CPU.
    """
    rows = []
    for start in range(0, num_samples, BATCH):
        z = generator.sample_z(min(BATCH, num_samples - start), seed, start)
        rows.append(run_head(generator, z, layer).float().amax((2, 3)).cpu())
    return torch.cat(rows)


@torch.inference_mode()
def draw_outline(generator: Generator, seed: int, number: int, unit: int, layer: str, threshold: float) -> Pixels:
    """Draw a picture with the regions where a unit is on outlined in yellow, and the rest darkened.

    Args:
        generator: Generator.
        seed: Seed of the picture.
        number: Index of the picture among those of the seed.
        unit: Index of the unit.
        layer: Name of the unit's layer.
        threshold: Activation above which the unit is on.
    """
    z = generator.sample_z(1, seed, number)
    pixels = torch.from_numpy(np.ascontiguousarray(draw_picture(make_images(generator, z)[0])))
    activation = run_head(generator, z, layer)[:, [unit]].float().cpu()
    on = upsample(activation, (pixels.shape[0], pixels.shape[1]))[0] > threshold
    width = max(1, pixels.shape[0] // 100)
    return highlight(pixels.permute(2, 0, 1)[None], on, width)[0].permute(1, 2, 0).numpy()


def add_chance(frame: pd.DataFrame, dissection: LayerDissection, concept: str | None = None) -> pd.DataFrame:
    """Add the 95% interval of the IoU and its chance level to a table of units.

    Args:
        frame: Table with a column ``unit``.
        dissection: Dissection of the layer.
        concept: Concept of the IoU; each unit's best concept if None.

    Returns:
        The table with columns ``95%``, the interval as text, and ``chance``; both are empty with too few samples.
    """
    units = frame["unit"].tolist()
    rows = _rows(dissection, units, concept)
    estimate, chance = dissection.estimate, dissection.chance
    if estimate is None or chance is None:
        return frame.assign(**{"95%": None, "chance": None})
    ends = zip(estimate.low[rows, units].tolist(), estimate.high[rows, units].tolist(), strict=True)
    interval = [f"{low:.3f} to {high:.3f}" for low, high in ends]
    return frame.assign(**{"95%": interval, "chance": chance.null_iou[rows, units].tolist()})


def add_effects(
    frame: pd.DataFrame, dissection: LayerDissection, effects: UnitEffects, concept: str | None = None
) -> pd.DataFrame:
    """Add the effect of each unit to a table: the percentage points of pixels that a concept loses without the unit.

    Args:
        frame: Table with a column ``unit``.
        dissection: Dissection of the layer.
        effects: Effects of the units of the same layer.
        concept: Concept of the effect; each unit's best concept if None.

    Returns:
        The table with columns ``effect`` and ``±``, the half-width of its 95% interval.
    """
    units = frame["unit"].tolist()
    rows = _rows(dissection, units, concept)
    mean, stderr = (100 * table[units, rows] for table in (effects.mean, effects.stderr))
    return frame.assign(effect=mean.tolist(), **{"±": (Z_95 * stderr).tolist()})


def _rows(dissection: LayerDissection, units: Sequence[int], concept: str | None) -> list[int]:
    """Return the row of each unit's concept."""
    if concept is not None:
        return [concept_index(dissection.concepts, concept)] * len(units)
    best = [dissection.matches[unit].concept for unit in units]
    return [0 if name is None else concept_index(dissection.concepts, name) for name in best]
