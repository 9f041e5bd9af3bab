"""What units are forced to when they are switched on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from ..core.lookup import lookup
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.sampling import check_seed, derive_seed
from ..core.types import UnitSet, concept_index
from ..inference.batches import LayerSampler
from ..inference.upsampling import upsample
from ..interventions.edits import check_units

BATCH = 32


@torch.inference_mode()
def quantile_values(
    generator: Generator, units: UnitSet, quantile: float = 0.99, num_samples: int = 256, seed: int = 0
) -> tuple[float, ...]:
    """Return the value below which a share of each unit's activations lies.

    Of the N values of a unit on its layer's grid over all samples it is the one of rising rank ``ceil(quantile N)``.

    Args:
        generator: A `Generator`.
        units: Which units.
        quantile: Share of the values at or below it, above 0, at most 1.
        num_samples: Latent vectors, 1 or more; another sequence than that of ``generator.sample_z(n, seed)``.
        seed: Of the latent vectors.

    Returns:
        One number for each unit, in their order.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    return tuple(quantile_table(generator, units, (quantile,), num_samples, seed)[:, 0].tolist())


@torch.inference_mode()
def quantile_table(
    generator: Generator, units: UnitSet, quantiles: Sequence[float], num_samples: int = 256, seed: int = 0
) -> Float32[Tensor, "unit quantile"]:
    """Return what `quantile_values` returns for several quantiles, of one pass over the samples.

    Args:
        generator: A `Generator`.
        units: Which units.
        quantiles: Shares of the values at or below them, above 0, at most 1.
        num_samples: As for `quantile_values`.
        seed: As for `quantile_values`.

    Returns:
        float32 ``[unit, quantile]``, in their orders.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    if wrong := [quantile for quantile in quantiles if not 0 < quantile <= 1]:
        raise ValueError(f"quantile is a share, above 0 and at most 1; got {', '.join(map(str, wrong))}")
    sampler = _make_sampler(generator, units, num_samples, seed)
    index = list(units.units)
    parts = [
        batch.activations[units.layer].maps[:, index].transpose(0, 1).flatten(1).cpu()
        for batch in sampler.activations(range(num_samples), "values")
    ]
    values = torch.cat(parts, 1)
    ranks = [max(1, math.ceil(quantile * values.shape[1])) for quantile in quantiles]
    columns = [values.kthvalue(rank, dim=1).values for rank in ranks] if index else []
    return (
        torch.stack(columns, 1).float()
        if columns
        else torch.zeros(len(index), len(ranks), dtype=torch.float32, device="cpu")
    )


@torch.inference_mode()
def present_values(
    generator: Generator, segmenter: Segmenter, units: UnitSet, concept: str, num_samples: int = 256, seed: int = 0
) -> tuple[float, ...]:
    """Return the mean of each unit's upsampled activations over the pixels of a concept.

    Args:
        generator: A `Generator`.
        segmenter: Says where the concept is.
        units: Which units.
        concept: The concept's name.
        num_samples: Latent vectors, 1 or more; another sequence than that of ``generator.sample_z(n, seed)``.
        seed: Of the latent vectors.

    Returns:
        One number for each unit, in their order.

    Raises:
        KeyError: If there is no such layer or concept.
        ValueError: If there is no such unit, a number is out of range, or the concept is nowhere in the samples.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    index = concept_index(segmenter.concepts, concept)
    sampler = _make_sampler(generator, units, num_samples, seed)
    shape = sampler.label_shape(segmenter)
    total, pixels = torch.zeros(len(units), dtype=torch.float64, device="cpu"), 0
    for batch in sampler.labeled_images(range(num_samples), segmenter, shape, "values"):
        present = (batch.labels == index).any(1)
        maps = upsample(batch.activations[units.layer].maps[:, list(units.units)], (shape[1], shape[2]))
        columns = (maps * present[:, None]).sum(2)  # short sums where float64 may be missing, long ones on the CPU
        total += columns.cpu().double().sum((0, 2))
        pixels += int(present.sum())
    if not pixels:
        raise ValueError(f"{segmenter.name} finds no {concept!r} in {num_samples} samples; take more, or give numbers")
    return tuple((total / pixels).tolist())


def _make_sampler(generator: Generator, units: UnitSet, num_samples: int, seed: int) -> LayerSampler:
    """Return where the samples come from, checked."""
    check_units(units, lookup(generator.layers, units.layer, "layer").units)
    if num_samples < 1:
        raise ValueError(f"num_samples is 1 or more; got {num_samples}")
    return LayerSampler(generator, (units.layer,), derive_seed(seed, "values"), BATCH, progress=False)
