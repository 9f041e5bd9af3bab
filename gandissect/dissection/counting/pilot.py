"""Where each unit's threshold lies: which order statistic is wanted, and a first guess from a part of the samples.

The guess only saves work. A unit whose threshold proves to lie elsewhere is counted again.
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
"""At least and at most so many samples make the first guess, in between one of `PILOT_SHARE`."""

PILOT_SHARE = 16

PILOT_PIXELS = 128
"""About so many pixels of each."""

CURVE_PIXELS = 128
"""About so many pixels of each sample make the curves over thresholds."""

LEVEL_SAMPLES = 64
"""So many samples set the levels of these curves."""

LEVEL_SHARES = tuple(1 / (1 + math.exp(logit)) for logit in (-2.2 + 0.3 * step for step in range(33)))
"""Shares of pixels above the levels, falling from 90 % to 0.06 %; each is at most 1.35 times the next."""

SAFETY = 4.0
"""The bracket reaches so many standard errors of the guess down, in the logarithm of the rank, and twice as many up."""

LEAST_SPREAD, MOST_SPREAD = 1.25, 6.0
"""The bracket holds the ranks from ``rank / spread ** 2`` to ``rank * spread``.

It reaches further up, where it costs nothing: few samples hardly ever have too many of the rare ones in which a unit is
on everywhere, and often too few.
"""

RANK_ERROR = Fraction(1, 1000)
"""A threshold's rank may be wrong by so many of all values, or by a tenth of the rank if that is less."""


@dataclass(frozen=True, slots=True)
class Target:
    """The order statistic that is wanted.

    Args:
        quantile: Share of all values above it, at most; above 0, below 1.
        num_samples: Samples in all.
        size: Rows and columns of an upsampled map.
    """

    quantile: float
    num_samples: int
    size: tuple[int, int]

    @property
    def num_values(self) -> int:
        """How many values each unit has."""
        return self.num_samples * self.size[0] * self.size[1]

    @property
    def rank(self) -> int:
        """Its descending rank among them, 1 or more."""
        return rank_of(self.quantile, self.num_values)

    @property
    def share(self) -> float:
        """That rank as a share of all values."""
        return self.rank / self.num_values

    @property
    def tolerance(self) -> int:
        """How many values fewer than ``rank - 1`` may lie above what is taken for it."""
        return math.floor(min(RANK_ERROR * self.num_values, Fraction(self.rank, 10)))


def pilot_brackets(sampler: LayerSampler, target: Target, padding: Padding = "edge") -> dict[str, Brackets]:
    """Return a bracket for each unit's threshold, by layer, from every few pixels of the first samples.

    It is the wider, the more the unit's share of the image varies from sample to sample.
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
    """Return values that shares of each unit's exceed, about `LEVEL_SHARES`, float32 ``[unit, level]``, by layer.

    Args:
        sampler: Where samples come from.
        target: How many there are, and how large an upsampled map is.
        padding: What is beyond a map's border.
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
    """Return the values that shares of each unit's exceed, float32 ``[unit, level]``, rising."""
    falling = values.sort(dim=1, descending=True).values
    ranks = [min(math.floor(share * values.shape[1]), values.shape[1] - 1) for share in LEVEL_SHARES]
    return falling[:, ranks].contiguous()


class _Pilot:
    """Each unit's largest values, and of which sample each of them is."""

    def __init__(self, keep: int, num_samples: int) -> None:
        self.keep, self.num_samples, self.num_values = keep, num_samples, 0
        self.values = torch.empty(0, dtype=torch.float32, device="cpu")
        self.samples = torch.empty(0, dtype=torch.int64, device="cpu")

    def update(self, values: Float32[Tensor, "unit pixel"], samples: Int64[Tensor, " pixel"]) -> None:
        """Take in pixels, float32 ``[unit, pixel]``, and the sample of each, int64 ``[pixel]``."""
        self.num_values += values.shape[1]
        whose = samples.expand(len(values), -1)
        if self.values.numel():
            values, whose = torch.cat([self.values, values], 1), torch.cat([self.samples, whose], 1)
        self.values, order = values.topk(min(self.keep, values.shape[1]), dim=1)
        self.samples = whose.gather(1, order)


def _make_brackets(pilot: _Pilot, share: float) -> Brackets:
    """Return brackets around the value that a share of the pilot's exceeds."""
    rank, num_samples, num_values = share * pilot.num_values, pilot.num_samples, pilot.num_values
    middle = max(1, math.floor(rank))
    whose = pilot.samples[:, :middle]
    ones = torch.ones(whose.shape, dtype=torch.float32, device=whose.device)
    shares = ones.new_zeros(len(whose), num_samples).scatter_add_(1, whose, ones)
    error = (shares.var(1, unbiased=False) / num_samples).sqrt() / shares.mean(1)
    error = error.clamp(min=1 / math.sqrt(middle))  # as of independent pixels
    spread = (SAFETY * error).exp().clamp(LEAST_SPREAD, MOST_SPREAD)
    high_rank = (rank / spread**2).floor().long().clamp(min=1)
    low_rank = (rank * spread).ceil().long() + 1
    return guess_brackets(
        pilot.values, torch.where(low_rank <= num_values, low_rank.clamp(max=pilot.values.shape[1]), 0), high_rank
    )
