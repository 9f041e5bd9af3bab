"""What units are forced to when they are switched on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from ..core.lookup import lookup
from ..core.protocols import Generator, Segmenter, check_generator, check_protocols
from ..core.sampling import check_seed, derive_seed
from ..core.types import UnitSet, concept_index
from ..inference.batches import LayerSampler
from ..inference.upsampling import upsample
from ..interventions.edits import check_units
from ..stats.quantiles import from_keys, to_keys

BATCH = 32

MAX_KEPT = 2**24
"""Maximum number of values that are kept (64 MB); beyond it, digits are counted in several passes."""

KEY_BITS, DIGIT_BITS = 32, 8
"""Of a value's key, and of the digits that it is found by."""


@torch.inference_mode()
def quantile_values(
    generator: Generator, units: UnitSet, quantile: float = 0.99, num_samples: int = 256, seed: int = 0
) -> tuple[float, ...]:
    """Return the value below which a share of each unit's activations lies.

    Of the N values of a unit on its layer's grid over all samples it is the one of rising rank ``ceil(quantile N)``.
    Memory does not grow with N: where values are many, the samples are run several times.

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
    info = generator.layers[units.layer]
    num_values = num_samples * info.height * info.width
    ranks = [max(1, math.ceil(quantile * num_values)) for quantile in quantiles]
    if not len(units):
        return torch.zeros(0, len(ranks), dtype=torch.float32, device="cpu")
    if len(units) * num_values > MAX_KEPT:
        return _select_by_digits(sampler, units, ranks, num_samples)
    values = torch.cat([maps.cpu() for maps in _unit_values(sampler, units, num_samples)], 1)
    return torch.stack([values.kthvalue(rank, dim=1).values for rank in ranks], 1)


def _unit_values(sampler: LayerSampler, units: UnitSet, num_samples: int) -> Iterator[Float32[Tensor, "unit value"]]:
    """Yield the units' values, sample by sample."""
    index = list(units.units)
    for batch in sampler.activations(range(num_samples), "values"):
        for maps in batch.activations[units.layer].maps:
            yield maps[index].flatten(1)


def _select_by_digits(
    sampler: LayerSampler, units: UnitSet, ranks: Sequence[int], num_samples: int
) -> Float32[Tensor, "unit rank"]:
    """Return the values of rising ranks, digit by digit of their keys, in one pass over the samples for each digit.

    A pass counts how often each digit follows those that are known; nothing is kept that grows with the values.
    """
    known = torch.zeros(len(units), len(ranks), dtype=torch.int64, device="cpu")
    left = torch.tensor(ranks, dtype=torch.int64, device="cpu").expand(len(units), -1).clone()
    offset = torch.arange(len(units), device="cpu")[:, None] << DIGIT_BITS
    for shift in reversed(range(0, KEY_BITS, DIGIT_BITS)):
        counts = torch.zeros(len(ranks), len(units) << DIGIT_BITS, dtype=torch.int64, device="cpu")
        for values in _unit_values(sampler, units, num_samples):
            keys = to_keys(values.cpu()) + 2**31
            digits, before = (keys >> shift) % 2**DIGIT_BITS + offset, keys >> (shift + DIGIT_BITS)
            for column in range(len(ranks)):
                follows = before == known[:, column, None]
                counts[column] += torch.bincount(digits[follows], minlength=counts.shape[1])
        reached = counts.view(len(ranks), len(units), -1).transpose(0, 1).cumsum(2)
        digit = (reached < left[:, :, None]).sum(2)
        left -= torch.where(digit > 0, reached.gather(2, (digit - 1).clamp(min=0)[:, :, None]).squeeze(2), 0)
        known = (known << DIGIT_BITS) + digit
    return from_keys(known - 2**31)


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
    UnitSet.check(units)
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
    check_generator(generator)
    UnitSet.check(units)
    check_units(units, lookup(generator.layers, units.layer, "layer").units)
    if num_samples < 1:
        raise ValueError(f"num_samples is 1 or more; got {num_samples}")
    return LayerSampler(generator, (units.layer,), derive_seed(seed, "values"), BATCH, progress=False)
