"""Units of one layer as one looks closely: which are on at a cell, where one is seen best, what is done to them.

Pure functions, as those of `networks`.
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
    """Return what multiplies units of a layer by their factors.

    Args:
        layer: The layer's name.
        factors: By unit; 0 is an ablation, 1 changes nothing and gives no edit.

    Returns:
        One edit for each factor but 1, in the order in which they first occur.
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
    """Return the units that are on at a cell, the one most above its threshold first.

    Args:
        activation: A layer's activations of one picture, ``[unit, h, w]``.
        thresholds: ``[unit]``; a unit is on where it is strictly above.
        row: From the top, 0 to h - 1.
        column: From the left, 0 to w - 1.

    Returns:
        Columns ``unit``, ``activation``, ``threshold``.
    """
    values = activation[:, row, column].cpu().double()
    above = (values - thresholds) / (thresholds.abs() + SMALL)  # as the ratio of both orders them, which may be below 0
    order = above.argsort(descending=True, stable=True)
    units = order[values[order] > thresholds[order]].tolist()
    return pd.DataFrame(
        {"unit": units, "activation": values[units].tolist(), "threshold": thresholds[units].double().tolist()}
    )


@torch.inference_mode()
def measure_peaks(generator: Generator, layer: str, seed: int, num_samples: int) -> Float32[Tensor, "picture unit"]:
    """Return the largest activation of each unit in each of the first pictures of a seed.

    Args:
        generator: The generator.
        layer: The layer's name.
        seed: Of the pictures.
        num_samples: How many, 1 or more.

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
    """Draw a picture with the regions where a unit is on outlined in yellow, and all else darkened.

    Args:
        generator: The generator.
        seed: Of the picture.
        number: Which picture of the seed.
        unit: The unit.
        layer: Its layer.
        threshold: Above which it is on.
    """
    z = generator.sample_z(1, seed, number)
    pixels = torch.from_numpy(np.ascontiguousarray(draw_picture(make_images(generator, z)[0])))
    activation = run_head(generator, z, layer)[:, [unit]].float().cpu()
    on = upsample(activation, (pixels.shape[0], pixels.shape[1]))[0] > threshold
    width = max(1, pixels.shape[0] // 100)
    return highlight(pixels.permute(2, 0, 1)[None], on, width)[0].permute(1, 2, 0).numpy()


def add_chance(frame: pd.DataFrame, dissection: LayerDissection, concept: str | None = None) -> pd.DataFrame:
    """Add to a table of units what an IoU is worth: its 95 % interval, and what luck would give.

    Args:
        frame: A table with the column ``unit``.
        dissection: The layer's dissection.
        concept: The concept whose IoU it is; that of each unit's best concept if None.

    Returns:
        The table with columns ``95 %``, the interval as text, and ``chance``, empty where there are too few samples.
    """
    units = frame["unit"].tolist()
    rows = _rows(dissection, units, concept)
    estimate, chance = dissection.estimate, dissection.chance
    if estimate is None or chance is None:
        return frame.assign(**{"95 %": None, "chance": None})
    ends = zip(estimate.low[rows, units].tolist(), estimate.high[rows, units].tolist(), strict=True)
    interval = [f"{low:.3f} to {high:.3f}" for low, high in ends]
    return frame.assign(**{"95 %": interval, "chance": chance.null_iou[rows, units].tolist()})


def add_effects(
    frame: pd.DataFrame, dissection: LayerDissection, effects: UnitEffects, concept: str | None = None
) -> pd.DataFrame:
    """Add to a table of units what ablating each alone takes away of the concept, in percentage points of the pixels.

    Args:
        frame: A table with the column ``unit``.
        dissection: The layer's dissection.
        effects: What was measured of the same layer.
        concept: The concept; each unit's best one if None.

    Returns:
        The table with columns ``effect`` and ``±``, the reach of its 95 % interval.
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
