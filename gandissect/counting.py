"""Running both networks over the samples once, and counting where units are on, together with which concept.

A pilot over the first samples guesses a bracket for each unit's threshold; all samples are counted by bins of these
brackets. Then the threshold is known to be one of the edges, near enough, and the pixels above it are counted already.
Only units whose bracket proves to be wrong, or too wide, are counted once more, over a narrower one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .batches import LabelledBatch, Source
from .chance import group_of, num_groups, partner_of
from .compiled import PARTNER_BIT, count_bins
from .matching import pixels_above
from .protocols import Segmenter
from .quantiles import Brackets, from_keys
from .stats import BinnedCounts, LabelCounts, TopSamples
from .thresholds import Target, guess
from .top_images import Pictures, Thumbnails
from .types import LayerInfo

logger = logging.getLogger(__name__)

NUM_BINS = 64
"""Of each unit's bracket."""

MAX_PASSES = 40
"""More are never needed unless the activations change between passes."""

_PARTNER = 1 << PARTNER_BIT
"""A pixel's mark is its label, plus this times the label there in the partner; both counted from 0, which is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What is counted of all samples.

    Args:
        layers: By name.
        labels: How often each concept is there.
        thumbnails: Pictures of the samples that activate some unit most.
    """

    layers: dict[str, LayerCount]
    labels: LabelCounts
    thumbnails: Thumbnails


class LayerCount:
    """The counts of one layer, on the way to thresholds.

    Args:
        info: The layer's shape.
        brackets: Where each unit's threshold is sought first.
        num_groups: Groups of samples.
        num_concepts: Concepts.
        num_top: Samples to keep of each unit.
    """

    def __init__(self, info: LayerInfo, brackets: Brackets, num_groups: int, num_concepts: int, num_top: int) -> None:
        device = brackets.low.device
        self.top = TopSamples(info.units, (info.height, info.width), num_top, device)
        self.open = torch.ones(info.units, dtype=torch.bool, device=device)
        self.unit_area = torch.zeros(num_groups, info.units, dtype=torch.int64, device=device)
        self.intersection = torch.zeros(num_groups, num_concepts, info.units, dtype=torch.int64, device=device)
        self.exchanged = torch.zeros_like(self.intersection)
        self._brackets = brackets
        self.begin()

    @property
    def thresholds(self) -> Tensor:
        """Of each unit, float32 ``[unit]``, once none is open."""
        return from_keys(self._brackets.high)

    def begin(self) -> None:
        """Begin to count over the present brackets."""
        self._binned = BinnedCounts(self._brackets, NUM_BINS, len(self.unit_area), self.intersection.shape[1])
        self._edges = self._binned.edges.where(self.open[:, None], torch.tensor(torch.inf, device=self.open.device))

    def update(self, activation: Tensor, group: Tensor, marks: Tensor) -> None:
        """Count the pixels of a batch: float32 ``[batch, unit, h, w]``, int64 ``[batch]`` and ``[batch, H, W]``."""
        self._binned.update_extent(activation)
        if count_bins(activation, self._edges, marks, group, self._binned.own, self._binned.exchanged):
            return
        for pixels in pixels_above(activation, self._edges[:, 0], marks):
            label, other = pixels.mark & (_PARTNER - 1), pixels.mark // _PARTNER
            self._binned.update(group[pixels.sample], pixels.unit, pixels.value, label - 1, other - 1)

    def settle(self, target: Target) -> None:
        """Keep the counts of the units whose threshold is known now, and narrow the brackets of the others."""
        narrowed = self._binned.narrow(target.rank, target.num_values)
        done = self.open & (narrowed.exact | (target.rank - 1 - narrowed.above <= target.tolerance))
        for name, counts in self._binned.above(narrowed.high).items():
            setattr(self, name, torch.where(done, counts, getattr(self, name)))
        self._brackets = narrowed.where(self.open, self._brackets)
        self.open &= ~done


def count(source: Source, segmenter: Segmenter, target: Target, num_top: int) -> Counted:
    """Find each unit's threshold and count the pixels above it.

    Args:
        source: The samples.
        segmenter: Labels their images.
        target: Which order statistic a threshold is.
        num_top: Samples to keep of each unit.

    Raises:
        ValueError: If activations, images or labels are not what the protocols promise, or change from pass to pass.
    """
    infos, num_concepts = source.generator.layers, len(segmenter.concepts)
    labels = LabelCounts(num_groups(target.num_samples), num_concepts, source.generator.device)
    layers = {
        name: LayerCount(infos[name], brackets, len(labels.labels), num_concepts, num_top)
        for name, brackets in guess(source, target).items()
    }
    pictures = Pictures(source.generator.image_size)
    for batch in source.labelled(target.num_samples, segmenter, target.size, "dissecting"):
        _count_batch(batch, layers, target)
        labels.update(_groups(batch, target), batch.labels)
        for name, activation in batch.activations.items():
            layers[name].top.update(batch.samples, activation)
        pictures.update(batch.samples, batch.images, [layer.top for layer in layers.values()])
    for _ in range(MAX_PASSES):
        wanted = _settle(layers, target)
        if not wanted:
            return Counted(layers, labels, pictures.compute([layer.top for layer in layers.values()]))
        again = replace(source, layers=tuple(wanted))
        for batch in again.labelled(target.num_samples, segmenter, target.size, "some units again"):
            _count_batch(batch, wanted, target)
    raise ValueError(f"{source.generator.name} gives other activations each time; it must not draw at random")


def _count_batch(batch: LabelledBatch, layers: dict[str, LayerCount], target: Target) -> None:
    """Count the pixels of some layers in one batch."""
    group = _groups(batch, target)
    rows = partner_of(_samples(batch), target.num_samples) - batch.samples.start
    labels = batch.labels + 1
    marks = (labels + labels[rows] * _PARTNER).to(torch.int32)
    for name, layer in layers.items():
        layer.update(batch.activations[name], group, marks)


def _samples(batch: LabelledBatch) -> Tensor:
    """Return the samples' indices, int64 ``[sample]``."""
    return torch.arange(batch.samples.start, batch.samples.stop, device=batch.labels.device)


def _groups(batch: LabelledBatch, target: Target) -> Tensor:
    """Return the group of each sample, int64 ``[sample]``."""
    return group_of(_samples(batch), target.num_samples)


def _settle(layers: dict[str, LayerCount], target: Target) -> dict[str, LayerCount]:
    """Return the layers of which some unit must be counted again."""
    for layer in layers.values():
        layer.settle(target)
    wanted = {name: layer for name, layer in layers.items() if bool(layer.open.any())}
    for name, layer in wanted.items():
        logger.debug("%d units of %r are counted again", int(layer.open.sum()), name)
        layer.begin()
    return wanted
