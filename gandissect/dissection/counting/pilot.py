"""Predict a bracket around each unit's threshold from some of the samples.

The prediction only saves work: a unit whose threshold turns out to be outside its bracket is counted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ...inference.batches import LayerSampler
from ...inference.upsampling import Padding, choose_step, sample_pixels
from ...stats.quantiles import Brackets, guess_brackets, rank_of

PILOT_SAMPLES = (128, 1024)
"""Minimum and maximum number of samples of the pilot."""

PILOT_SHARE = 16
"""The pilot uses one in this many samples, within `PILOT_SAMPLES`."""

PILOT_PIXELS = 128
"""Approximate number of pixels of each sample that the pilot uses."""

CURVE_PIXELS = 128
"""Approximate number of pixels of each sample that the curves use."""

LEVEL_SAMPLES = 64
"""Maximum number of samples that set the levels of the curves."""

LEVEL_SHARES = tuple(1 / (1 + math.exp(logit)) for logit in (-2.2 + 0.3 * step for step in range(33)))
"""Shares of pixels above the levels, descending from 90% to 0.06%; each is at most 1.35 times the next."""

SAFETY = 4.0
"""Lower half-width of a bracket, in standard errors of the log rank; the upper half-width is twice as large."""

LEAST_SPREAD, MOST_SPREAD = 1.25, 6.0
"""Range of ``spread``; a bracket holds the ranks from ``rank / spread ** 2`` to ``rank * spread``.

It extends further toward high values, where that costs nothing: a small set of samples often has too few of the rare
samples where a unit is on everywhere, and hardly ever too many.
"""

RANK_ERROR = Fraction(1, 1000)
"""Maximum error of a threshold's rank, as a share of all values; a tenth of the rank if that is less."""


@dataclass(frozen=True, slots=True)
class Target:
    """The order statistic that a threshold is.

    Args:
        quantile: Maximum share of all values above the threshold, above 0 and below 1.
        num_samples: Number of samples of the whole dissection.
        size: Height and width of an upsampled map.
    """

    quantile: float
    num_samples: int
    size: tuple[int, int]

    @property
    def num_values(self) -> int:
        """Number of values of each unit."""
        return self.num_samples * self.size[0] * self.size[1]

    @property
    def rank(self) -> int:
        """Descending rank of the threshold among a unit's values, at least 1."""
        return rank_of(self.quantile, self.num_values)

    @property
    def share(self) -> float:
        """The rank as a share of all values."""
        return self.rank / self.num_values

    @property
    def tolerance(self) -> int:
        """Maximum shortfall: at least ``rank - 1 - tolerance`` values must exceed a threshold."""
        return math.floor(min(RANK_ERROR * self.num_values, Fraction(self.rank, 10)))


def pilot_brackets(sampler: LayerSampler, target: Target, padding: Padding = "edge") -> dict[str, Brackets]:
    """Return a bracket for each unit's threshold, by layer, from a subset of the pixels of the first samples.

    The more a unit's area varies from sample to sample, the wider its bracket.
    """
    least, most = PILOT_SAMPLES
    num_samples = min(target.num_samples, most, max(least, target.num_samples // PILOT_SHARE))
    step, area = choose_step(target.size, PILOT_PIXELS), target.size[0] * target.size[1]
    keep = math.ceil(target.share * num_samples * area / step**2 * MOST_SPREAD) + 1
    pilots: dict[str, _Pilot] = {}
    for batch in sampler.activations(range(num_samples), "pilot"):
        for name, activation in batch.activations.items():
            values, place = sample_pixels(activation.maps, batch.samples.start, target.size, step, padding)
            pilots.setdefault(name, _Pilot(keep, num_samples)).update(values, batch.samples.start + place // area)
    return {name: _make_brackets(pilot, target.share) for name, pilot in pilots.items()}


def pilot_levels(
    sampler: LayerSampler, target: Target, padding: Padding = "edge"
) -> dict[str, Float32[Tensor, "unit level"]]:
    """Return levels that about `LEVEL_SHARES` of each unit's values exceed, float32 ``[unit, level]``, by layer.

    Args:
        sampler: Sampler of the layers' activations.
        target: Order statistic that a threshold is, with the number of samples and the size of an upsampled map.
        padding: Values beyond a map's border.
    """
    parts: dict[str, list[Tensor]] = {}
    size = target.size
    for batch in sampler.activations(range(min(LEVEL_SAMPLES, target.num_samples)), "levels"):
        for name, activation in batch.activations.items():
            values, _ = sample_pixels(
                activation.maps, batch.samples.start, size, choose_step(size, CURVE_PIXELS), padding
            )
            parts.setdefault(name, []).append(values)
    return {name: _find_levels(torch.cat(values, 1)) for name, values in parts.items()}


def _find_levels(values: Float32[Tensor, "unit pixel"]) -> Float32[Tensor, "unit level"]:
    """Return the values that `LEVEL_SHARES` of each unit's values exceed, float32 ``[unit, level]``, ascending."""
    descending = values.sort(dim=1, descending=True).values
    ranks = [min(math.floor(share * values.shape[1]), values.shape[1] - 1) for share in LEVEL_SHARES]
    return descending[:, ranks].contiguous()


class _Pilot:
    """Each unit's largest values, and the samples that they come from."""

    def __init__(self, keep: int, num_samples: int) -> None:
        self.keep, self.num_samples, self.num_values = keep, num_samples, 0
        self.values = torch.empty(0, dtype=torch.float32, device="cpu")
        self.samples = torch.empty(0, dtype=torch.int64, device="cpu")

    def update(self, values: Float32[Tensor, "unit pixel"], samples: Int64[Tensor, " pixel"]) -> None:
        """Add pixels, float32 ``[unit, pixel]``, and the sample of each, int64 ``[pixel]``."""
        self.num_values += values.shape[1]
        sources = samples.expand(len(values), -1)
        if self.values.numel():
            values, sources = torch.cat([self.values, values], 1), torch.cat([self.samples, sources], 1)
        self.values, order = values.topk(min(self.keep, values.shape[1]), dim=1)
        self.samples = sources.gather(1, order)


def _make_brackets(pilot: _Pilot, share: float) -> Brackets:
    """Return brackets around the value that a share of the pilot's values exceeds."""
    rank, num_samples, num_values = share * pilot.num_values, pilot.num_samples, pilot.num_values
    middle = max(1, math.floor(rank))
    sources = pilot.samples[:, :middle]
    ones = torch.ones(sources.shape, dtype=torch.float32, device=sources.device)
    shares = ones.new_zeros(len(sources), num_samples).scatter_add_(1, sources, ones)
    error = (shares.var(1, unbiased=False) / num_samples).sqrt() / shares.mean(1)
    error = error.clamp(min=1 / math.sqrt(middle))  # no less than for independent pixels
    spread = (SAFETY * error).exp().clamp(LEAST_SPREAD, MOST_SPREAD)
    high_rank = (rank / spread**2).floor().long().clamp(min=1)
    low_rank = (rank * spread).ceil().long() + 1
    return guess_brackets(
        pilot.values, torch.where(low_rank <= num_values, low_rank.clamp(max=pilot.values.shape[1]), 0), high_rank
    )
