"""Finding each unit's threshold exactly, without keeping the activations of more than one batch.

A pilot over the first samples guesses a bracket for each unit; histograms over all samples narrow the brackets
until few enough pixels lie inside them. The guess only saves work: a wrong one costs another pass.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .batches import Source
from .matching import pixels_above, upsample
from .quantiles import Brackets, guess_brackets
from .stats import KeyHistogram, TopSamples

logger = logging.getLogger(__name__)

PILOT_SAMPLES = 128
PILOT_PIXELS = 256
"""About so many samples, and so many pixels of each, make the first guess."""

PILOT_LOW, PILOT_HIGH = 2.0, 1 / 8
"""The pilot's values at these multiples of the wanted rank bound the first bracket."""

NUM_BINS = 4096
"""Of each unit's histogram."""

MAX_OPEN_PIXELS = 2**21
"""With at most so many pixels inside the brackets, over all layers, they are narrow enough."""


MAX_PASSES = 40
"""More are never needed unless the activations change between passes."""


@dataclass(frozen=True, slots=True)
class Target:
    """The order statistic that is wanted.

    Args:
        rank: Its descending rank among a unit's values, 1 or more.
        num_samples: Samples in all.
        size: Rows and columns of an upsampled map.
    """

    rank: int
    num_samples: int
    size: tuple[int, int]

    @property
    def num_values(self) -> int:
        """How many values each unit has."""
        return self.num_samples * self.size[0] * self.size[1]


def find_brackets(source: Source, target: Target, tops: dict[str, TopSamples]) -> dict[str, Brackets]:
    """Return brackets around each unit's threshold, by layer, with few pixels inside.

    Args:
        source: The samples' activations.
        target: Which of their upsampled values is wanted.
        tops: Statistics, by layer, that shall see every sample once.

    Raises:
        ValueError: If the activations change from pass to pass.
    """
    brackets = _pilot(source, target)
    num_units = sum(len(each.low) for each in brackets.values())
    wanted = {name: torch.ones_like(each.low, dtype=torch.bool) for name, each in brackets.items()}
    title, passes = "thresholds", 0
    while wanted:
        passes += 1
        if passes > MAX_PASSES:
            raise ValueError(f"{source.generator.name} gives other activations each time; it must not draw at random")
        brackets |= _narrowed(replace(source, layers=tuple(wanted)), target, brackets, wanted, title, tops)
        num_open = sum(each.num_open for each in brackets.values())
        logger.debug("%d pixels are left inside the brackets", num_open)
        wide = {name: ~each.exact & (each.inside > MAX_OPEN_PIXELS // num_units) for name, each in brackets.items()}
        wanted = {name: each for name, each in wide.items() if num_open > MAX_OPEN_PIXELS and bool(each.any())}
        title, tops = "thresholds, closer", {}
    return brackets


def _narrowed(
    source: Source,
    target: Target,
    brackets: dict[str, Brackets],
    wanted: dict[str, Tensor],
    title: str,
    tops: dict[str, TopSamples],
) -> dict[str, Brackets]:
    """Return the brackets of the source's layers, those of the wanted units narrowed by a look at all samples."""
    histograms = {name: KeyHistogram(brackets[name], NUM_BINS) for name in source.layers}
    levels = {name: torch.where(wanted[name], brackets[name].level, torch.inf) for name in source.layers}
    for batch in source.activations(target.num_samples, title):
        for name, activation in batch.activations.items():
            histograms[name].update_extent(activation)
            for pixels in pixels_above(activation, levels[name], target.size):
                histograms[name].update(pixels.unit, pixels.value)
            if name in tops:
                tops[name].update(batch.samples, activation)
    found = {name: each.narrow(target.rank, target.num_values) for name, each in histograms.items()}
    return {name: each.where(wanted[name], brackets[name]) for name, each in found.items()}


def _pilot(source: Source, target: Target) -> dict[str, Brackets]:
    """Return first guesses from every few pixels of the first samples.

    Every third pixel, say, not a coarser map: that would miss the peaks of fine layers.
    """
    num_samples = min(target.num_samples, PILOT_SAMPLES)
    step = max(1, round(math.sqrt(target.size[0] * target.size[1] / PILOT_PIXELS))) | 1
    rows, columns = (len(range(0, length, step)) for length in target.size)
    share = target.rank / target.num_values * num_samples * rows * columns
    high_rank, low_rank = max(1, math.floor(share * PILOT_HIGH)), math.ceil(share * PILOT_LOW) + 1
    keep = min(low_rank, num_samples * rows * columns)
    largest: dict[str, Tensor] = {}
    for batch in source.activations(num_samples, "pilot"):
        for name, activation in batch.activations.items():
            values = upsample(activation, target.size, step).transpose(0, 1).flatten(1)
            known = torch.cat([largest[name], values], 1) if name in largest else values
            largest[name] = known.topk(min(keep, known.shape[1]), dim=1).values
    low_rank = low_rank if low_rank <= num_samples * rows * columns else 0
    return {name: guess_brackets(each, low_rank, high_rank) for name, each in largest.items()}
