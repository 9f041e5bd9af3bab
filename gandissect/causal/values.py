"""Compute the values that units are forced to when they are switched on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from ..core.lookup import lookup
from ..core.protocols import Generator, Segmenter, check_generator, check_protocols
from ..core.rows import limit_rows
from ..core.sampling import check_seed, derive_seed
from ..core.types import UnitSet, concept_index
from ..inference.batches import LayerSampler
from ..inference.upsampling import upsample
from ..interventions.edits import check_units
from ..stats.quantiles import from_keys, to_keys

BATCH = 32
"""Images per batch."""

MAX_KEPT = 2**24
"""Maximum number of values kept in memory (64 MB); if there are more, their digits are counted in several passes."""

KEY_BITS, DIGIT_BITS = 32, 8
"""Bits of a value's key, and bits of each digit of the key."""


@torch.inference_mode()
def quantile_values(
    generator: Generator, units: UnitSet, quantile: float = 0.99, num_samples: int = 256, seed: int = 0
) -> tuple[float, ...]:
    """Return a quantile of each unit's activations.

    Of a unit's N values, on the layer's grid over all samples, it is the one with ascending rank
    ``ceil(quantile N)``. Memory does not grow with N: if there are many values, the samples are run several times.

    Args:
        generator: Generator whose activations are measured.
        units: Units whose quantiles are computed.
        quantile: Share of the values at or below the quantile, above 0 and at most 1.
        num_samples: Number of samples, at least 1; their latent vectors are not those of
            ``generator.sample_z(n, seed)``. Of a translator with fewer pictures, all are used.
        seed: Seed of the latent vectors.

    Returns:
        One value per unit, in their order.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 4.4 (insertion at the 99th percentile).
    """
    return tuple(quantile_table(generator, units, (quantile,), num_samples, seed)[:, 0].tolist())


@torch.inference_mode()
def quantile_table(
    generator: Generator, units: UnitSet, quantiles: Sequence[float], num_samples: int = 256, seed: int = 0
) -> Float32[Tensor, "unit quantile"]:
    """Return several quantiles of each unit's activations, as defined in `quantile_values`.

    Args:
        generator: Generator whose activations are measured.
        units: Units whose quantiles are computed.
        quantiles: Share of the values at or below each quantile, above 0 and at most 1.
        num_samples: Number of samples, at least 1; their latent vectors are not those of
            ``generator.sample_z(n, seed)``. Of a translator with fewer pictures, all are used.
        seed: Seed of the latent vectors.

    Returns:
        Quantiles, float32 ``[unit, quantile]``, in the order of ``units`` and ``quantiles``.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 4.4 (insertion at the 99th percentile).
    """
    seed, num_samples = check_seed(seed), limit_rows(generator, num_samples)
    if wrong := [quantile for quantile in quantiles if not 0 < quantile <= 1]:
        raise ValueError(f"quantile must be above 0 and at most 1; got {', '.join(map(str, wrong))}")
    sampler = _make_sampler(generator, units, num_samples, seed)
    info = generator.layers[units.layer]
    num_values = num_samples * info.height * info.width
    ranks = [max(1, math.ceil(quantile * num_values)) for quantile in quantiles]
    if not len(units):
        return torch.zeros(0, len(ranks), dtype=torch.float32, device="cpu")
    if len(units) * num_values > MAX_KEPT:
        return _select_by_digits(sampler, units, ranks, num_samples)
    values = torch.cat([maps.cpu() for maps in _iterate_values(sampler, units, num_samples)], 1).numpy()
    values.sort(axis=1)  # faster in NumPy than one kthvalue in torch
    return torch.from_numpy(values.take([rank - 1 for rank in ranks], axis=1))


def _iterate_values(sampler: LayerSampler, units: UnitSet, num_samples: int) -> Iterator[Float32[Tensor, "unit value"]]:
    """Yield the units' values, one sample at a time."""
    index = list(units.units)
    for batch in sampler.activations(range(num_samples), "values"):
        for maps in batch.activations[units.layer].maps:
            yield maps[index].flatten(1)


def _select_by_digits(
    sampler: LayerSampler, units: UnitSet, ranks: Sequence[int], num_samples: int
) -> Float32[Tensor, "unit rank"]:
    """Return the values of ascending ranks by radix selection, in one pass over the samples per digit of their keys.

    A pass counts how often each digit follows the digits already known; memory does not grow with the number of values.
    """
    known = torch.zeros(len(units), len(ranks), dtype=torch.int64, device="cpu")
    left = torch.tensor(ranks, dtype=torch.int64, device="cpu").expand(len(units), -1).clone()
    offset = torch.arange(len(units), device="cpu")[:, None] << DIGIT_BITS
    for shift in reversed(range(0, KEY_BITS, DIGIT_BITS)):
        counts = torch.zeros(len(ranks), len(units) << DIGIT_BITS, dtype=torch.int64, device="cpu")
        for values in _iterate_values(sampler, units, num_samples):
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
    """Return each unit's mean upsampled activation over the pixels where a concept is present.

    Args:
        generator: Generator whose activations are measured.
        segmenter: Segmenter for the generator's images, which has the concept.
        units: Units whose means are computed.
        concept: Name of the concept.
        num_samples: Number of samples, at least 1; their latent vectors are not those of
            ``generator.sample_z(n, seed)``. Of a translator with fewer pictures, all are used.
        seed: Seed of the latent vectors.

    Returns:
        One value per unit, in their order.

    Raises:
        KeyError: If there is no such layer or concept.
        ValueError: If there is no such unit, a number is out of range, or the concept is absent from all samples.

    Source: Bau et al. 2019, Sec. 3.2.
    """
    seed, num_samples = check_seed(seed), limit_rows(generator, num_samples)
    check_protocols(generator, segmenter)
    UnitSet.check(units)
    index = concept_index(segmenter.concepts, concept)
    sampler = _make_sampler(generator, units, num_samples, seed)
    shape = sampler.label_shape(segmenter)
    total, pixels = torch.zeros(len(units), dtype=torch.float64, device="cpu"), 0
    for batch in sampler.labeled_images(range(num_samples), segmenter, shape, "values"):
        present = (batch.labels == index).any(1)
        maps = upsample(batch.activations[units.layer].maps[:, list(units.units)], (shape[1], shape[2]))
        columns = (maps * present[:, None]).sum(2)  # only short sums on the device, which may lack float64
        total += columns.cpu().double().sum((0, 2))
        pixels += int(present.sum())
    if not pixels:
        raise ValueError(
            f"{segmenter.name} finds no {concept!r} in {num_samples} samples; raise num_samples, or pass values"
        )
    return tuple((total / pixels).tolist())


def _make_sampler(generator: Generator, units: UnitSet, num_samples: int, seed: int) -> LayerSampler:
    """Return the sampler of the units' layer, after checking the arguments."""
    check_generator(generator)
    UnitSet.check(units)
    check_units(units, lookup(generator.layers, units.layer, "layer").units)
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1; got {num_samples}")
    return LayerSampler(generator, (units.layer,), derive_seed(seed, "values"), BATCH, progress=False)
