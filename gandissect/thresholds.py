"""Where each unit's threshold lies: which order statistic is wanted, and a first guess from a part of the samples.

The guess only saves work. A unit whose threshold proves to lie elsewhere is counted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from .batches import Source
from .matching import upsample
from .quantiles import Brackets, guess_brackets, rank_of

PILOT_SAMPLES = (128, 1024)
"""At least and at most so many samples make the first guess, in between one of `PILOT_SHARE`."""

PILOT_SHARE = 16

PILOT_PIXELS = 256
"""About so many pixels of each."""

SAFETY = 3.0
"""The bracket reaches so many standard errors of the guess to both sides, in the logarithm of the rank."""

LEAST_SPREAD, MOST_SPREAD = 1.25, 8.0
"""The bracket holds the ranks from ``rank / spread`` to ``rank * spread``."""

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


def guess(source: Source, target: Target) -> dict[str, Brackets]:
    """Return a bracket for each unit's threshold, by layer, from every few pixels of the first samples.

    It is the wider, the more the unit's share of the image varies from sample to sample.
    """
    least, most = PILOT_SAMPLES
    num_samples = min(target.num_samples, most, max(least, target.num_samples // PILOT_SHARE))
    # Every third pixel, say, not a coarser map: that would miss the peaks of fine layers.
    step = max(1, round(math.sqrt(target.size[0] * target.size[1] / PILOT_PIXELS))) | 1
    keep = math.ceil(target.share * num_samples * target.size[0] * target.size[1] / step**2 * MOST_SPREAD) + 1
    pilots: dict[str, _Pilot] = {}
    for number, batch in enumerate(source.activations(num_samples, "pilot")):
        for name, activation in batch.activations.items():
            pilot = pilots.setdefault(name, _Pilot(keep))
            for first in range(min(step, len(activation))):
                # Other pixels in each sample, or the border would count for more or less than it is.
                start = (first, (2 * first + number) % step)
                values = upsample(activation[first::step], target.size, step, start).transpose(0, 1)
                pilot.update(batch.samples[first::step], values.flatten(2))
    return {name: _bracket(pilot, target.share) for name, pilot in pilots.items()}


class _Pilot:
    """Each unit's largest values, and of which sample each of them is."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.values, self.samples = torch.empty(0), torch.empty(0, dtype=torch.int64)
        self.num_samples, self.num_values = 0, 0

    def update(self, samples: range, values: Tensor) -> None:
        """Take in float32 ``[unit, sample, pixel]``."""
        self.num_samples, self.num_values = max(self.num_samples, samples[-1] + 1), self.num_values + values[0].numel()
        whose = torch.tensor(samples, device=values.device)[:, None].expand(values.shape[1:])
        values, whose = values.flatten(1), whose.reshape(1, -1).expand(len(values), -1)
        if self.values.numel():
            values, whose = torch.cat([self.values, values], 1), torch.cat([self.samples, whose], 1)
        self.values, order = values.topk(min(self.keep, values.shape[1]), dim=1)
        self.samples = whose.gather(1, order)


def _bracket(pilot: _Pilot, share: float) -> Brackets:
    """Return brackets around the value that a share of the pilot's exceeds."""
    rank, num_samples, num_values = share * pilot.num_values, pilot.num_samples, pilot.num_values
    middle = max(1, math.floor(rank))
    whose = pilot.samples[:, :middle]
    shares = torch.zeros(len(whose), num_samples, device=whose.device).scatter_add_(1, whose, torch.ones(whose.shape))
    error = (shares.var(1, unbiased=False) / num_samples).sqrt() / shares.mean(1) + 1 / math.sqrt(middle)
    spread = (SAFETY * error).exp().clamp(LEAST_SPREAD, MOST_SPREAD)
    high_rank = (rank / spread).floor().long().clamp(min=1)
    low_rank = (rank * spread).ceil().long() + 1
    return guess_brackets(
        pilot.values, torch.where(low_rank <= num_values, low_rank.clamp(max=pilot.values.shape[1]), 0), high_rank
    )
