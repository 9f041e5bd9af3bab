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

PILOT_LOW, PILOT_HIGH = 3.0, 1 / 8
"""The pilot's values at these multiples of the wanted rank bound the first bracket."""

NUM_BINS = 4096
"""Of each unit's histogram."""

MAX_OPEN_PIXELS = 2**21
"""With at most so many pixels inside the brackets, over all layers, they are narrow enough."""


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
    """
    brackets = _pilot(source, target)
    histograms = _histograms(source, target, brackets, "thresholds", tops)
    while True:
        brackets |= {name: each.narrow(target.rank, target.num_values) for name, each in histograms.items()}
        num_open = {name: each.num_open for name, each in brackets.items()}
        logger.info("%d pixels are left inside the brackets", sum(num_open.values()))
        if sum(num_open.values()) <= MAX_OPEN_PIXELS:
            return brackets
        wide = tuple(name for name in source.layers if num_open[name])
        todo = {name: brackets[name] for name in wide}
        histograms = _histograms(replace(source, layers=wide), target, todo, "thresholds, closer", {})


def _histograms(
    source: Source, target: Target, brackets: dict[str, Brackets], title: str, tops: dict[str, TopSamples]
) -> dict[str, KeyHistogram]:
    """Return histograms of all samples' upsampled activations over the brackets."""
    histograms = {name: KeyHistogram(each, NUM_BINS) for name, each in brackets.items()}
    for batch in source.activations(target.num_samples, title):
        for name, activation in batch.activations.items():
            histogram = histograms[name]
            histogram.update_extent(activation)
            for pixels in pixels_above(activation, histogram.brackets.level, target.size):
                histogram.update(pixels.unit, pixels.value)
            if name in tops:
                tops[name].update(batch.samples, activation)
    return histograms


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
