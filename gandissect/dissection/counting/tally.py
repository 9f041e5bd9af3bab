"""The counts over the samples seen so far: updated batch by batch, merged, saved and resumed.

Shards of one dissection that were counted separately merge to the counts of the whole, bit for bit: every shard counts
over the same brackets, which come from a pilot over the same first samples, and runs the same batches as the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

from ...core.network_id import is_same_network
from ...inference.batches import LabeledBatch
from ...stats.quantiles import Brackets
from ...storage.files import MAX_FILE_BYTES
from ...storage.saved import check_tensor, load_result, plain_entries, save_result
from .binned_counts import LabelCounts
from .groups import group_of, partner_of
from .layer_counts import NUM_BINS, LayerCount
from .numba_counts import PARTNER
from .pilot import LEVEL_SHARES
from .plan import DissectionPlan
from .top_images import ThumbnailCollector, Thumbnails, TopSamples, thumbnail_size

VERSION = 3
"""Version of the file format."""


class Tally:
    """The counts of one dissection, over all of its samples or a shard.

    Args:
        plan: Plan of the dissection.
        brackets: Bracket of each unit's threshold, by layer.
        samples: Samples to count.
        levels: Levels of the curves, by layer; empty for no curves.
    """

    def __init__(
        self,
        plan: DissectionPlan,
        brackets: Mapping[str, Brackets],
        samples: range,
        levels: Mapping[str, Float32[Tensor, "unit level"]],
    ) -> None:
        self.plan, self.samples, self.seen, self.seconds = plan, samples, 0, 0.0
        self.layers = {
            name: LayerCount(info, brackets[name], plan, levels.get(name)) for name, info in plan.layers.items()
        }
        device = next(bracket.low.device for bracket in brackets.values())
        self.labels = LabelCounts(plan.num_groups, len(plan.concepts), plan.label_channels, device)
        favorites = plan.settings.top_images * sum(info.units for info in plan.layers.values())
        self.collector = ThumbnailCollector(plan.image_size, min(favorites, plan.settings.num_samples))

    @property
    def device(self) -> torch.device:
        """Device of the counts."""
        return self.labels.labels.device

    @property
    def _tops(self) -> list[TopSamples]:
        return [layer.top for layer in self.layers.values()]

    @property
    def to_come(self) -> range:
        """Samples that have not been counted yet."""
        return self.samples[self.seen :]

    def update(self, batch: LabeledBatch) -> None:
        """Count the next samples."""
        group, marks = mark_pixels(batch.samples, batch.labels, self.plan.settings.num_samples)
        for name, layer in self.layers.items():
            layer.update(batch.activations[name], group, marks)
            layer.update_samples(batch.samples, batch.activations[name], group, marks)
        self.labels.update(group, batch.labels)
        self.collector.update(batch.samples, batch.images, self._tops)
        self.seen += len(batch.samples)

    def thumbnails(self) -> Thumbnails:
        """Return thumbnails of the top samples of all units."""
        return self.collector.compute(self._tops)

    def check_size(self) -> None:
        """Check that the counts fit in a file that can be read again.

        Raises:
            ValueError: If the counts exceed the maximum size of a file.
        """
        size = sum(layer.num_bytes for layer in self.layers.values())
        if size > MAX_FILE_BYTES:
            raise ValueError(
                f"the counts take {size / 2**30:.1f} GiB, but a file holds at most {MAX_FILE_BYTES / 2**30:.1f} GiB; "
                "dissect fewer layers at a time"
            )

    def check_counts(self) -> None:
        """Check that the counts can be those of the samples seen.

        Raises:
            ValueError: If they cannot; the message names the contradiction.
        """
        channels, height, width = self.plan.label_shape
        if int(self.labels.labels.min()) < 0 or int(self.labels.labels.sum()) != channels * self.seen * height * width:
            raise ValueError(f"the label counts do not match {self.seen} samples")
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds must be finite and at least 0; got {self.seconds}")
        for name, layer in self.layers.items():
            layer.check_counts(name)

    def check_same(self, plan: DissectionPlan, samples: range | None = None) -> None:
        """Check that the counts are of this plan and these samples.

        Raises:
            ValueError: If the plan or the samples differ; the message names the difference.
        """
        mine, other = plain_entries(self.plan), plain_entries(plan)
        for name in mine | other:
            value, wanted = mine.get(name, "the default"), other.get(name, "the default")
            if not (is_same_network(value, wanted) if name.endswith("fingerprint") else value == wanted):
                raise ValueError(f"these counts belong to another dissection: {name} is {value!r}, not {wanted!r}")
        if samples not in (None, self.samples):
            raise ValueError(f"these counts cover samples {_format_span(self.samples)}, not {_format_span(samples)}")

    def merge(self, other: Tally) -> None:
        """Add the shard that follows this one.

        Raises:
            ValueError: If a shard is unfinished, ``other`` is of another dissection, or its samples do not follow those
                of this one; the message names what differs.
        """
        self.check_same(other.plan)
        if self.to_come or other.to_come:
            unseen = _format_span(self.to_come or other.to_come)
            raise ValueError(f"samples {unseen} have not been counted; finish that shard first")
        if other.samples.start != self.samples.stop:
            raise ValueError(
                f"samples {_format_span(other.samples)} do not follow samples {_format_span(self.samples)}; name each "
                "shard exactly once"
            )
        for name, layer in self.layers.items():
            layer.merge(other.layers[name])
        self.labels.merge(other.labels)
        self.collector.merge(other.thumbnails(), self._tops)
        self.samples = range(self.samples.start, other.samples.stop)
        self.seen, self.seconds = len(self.samples), self.seconds + other.seconds

    def save(self, path: Path | str) -> None:
        """Write the counts so far, atomically."""
        layers = {name: layer.state() for name, layer in self.layers.items()}
        labels, part = self.labels.state()["labels"], (self.samples.start, self.samples.stop)
        state = SavedTally(self.plan, part, self.seen, self.seconds, layers, labels, self.thumbnails())
        save_result(path, state, VERSION, overwrite=True)

    @staticmethod
    def load(path: Path | str, device: torch.device | str = "cpu") -> Tally:
        """Read a tally that `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged; the message names the file and the damage.
        """
        state = load_result(path, SavedTally, VERSION)
        try:
            brackets = {name: _load_brackets(tensors, device) for name, tensors in state.layers.items()}
            levels = {
                name: tensors["levels"].to(device)
                for name, tensors in state.layers.items()
                if state.plan.settings.curves
            }
            tally = Tally(state.plan, brackets, range(*state.part), levels)
            for name, layer in tally.layers.items():
                layer.load_state(dict(state.layers[name]))
            tally.labels.load_state({"labels": state.labels})
            tally.seen, tally.seconds = state.seen, state.seconds
            tally.check_counts()
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{path} is not a complete tally: {error}") from error
        tally.collector.merge(state.thumbnails, tally._tops)
        return tally


@dataclass(frozen=True, slots=True, eq=False)
class SavedTally:
    """The saved form of a tally."""

    plan: DissectionPlan
    part: tuple[int, int]
    seen: int
    seconds: float
    layers: Mapping[str, Mapping[str, Tensor]]
    labels: Int64[Tensor, "group label"]
    thumbnails: Thumbnails

    def __post_init__(self) -> None:
        start, stop = self.part
        if not (0 <= start <= stop <= self.plan.settings.num_samples and 0 <= self.seen <= stop - start):
            raise ValueError(f"{self.seen} of the samples {start} to {stop} cannot be a shard of the dissection")
        if set(self.layers) != set(self.plan.layers):
            raise ValueError("layers are missing or unknown")
        for name, info in self.plan.layers.items():  # before any tensor of that size is allocated
            shape = (self.plan.num_groups, info.units, NUM_BINS + 1, len(self.plan.concepts) + 1)
            check_tensor(f"counts of {name!r}", self.layers[name]["own"], self.plan.count_type, shape)
            if self.plan.settings.curves:
                levels = (info.units, len(LEVEL_SHARES))
                check_tensor(f"levels of {name!r}", self.layers[name]["levels"], torch.float32, levels)
        if self.thumbnails.size != thumbnail_size(self.plan.image_size):
            raise ValueError("thumbnails have the wrong size")


def _format_span(samples: range | None) -> str:
    return "none" if not samples else f"{samples.start} to {samples.stop - 1}"


def _load_brackets(tensors: Mapping[str, Tensor], device: torch.device | str) -> Brackets:
    low, high = (tensors[name].to(device) for name in ("low", "high"))
    for end in (low, high):
        check_tensor("a bracket", end, torch.int64, (len(low),))
    zeros = torch.zeros_like(low)
    return Brackets(low, high, zeros, zeros, guessed=True)  # only the pilot's brackets are ever saved


def mark_pixels(
    samples: range, labels: Int64[Tensor, "batch channel H W"], num_samples: int
) -> tuple[Int64[Tensor, " batch"], Int32[Tensor, "batch channel H W"]]:
    """Return each sample's group, int64 ``[batch]``, and each pixel's marks, int32 ``[batch, channel, H, W]``."""
    index = torch.arange(samples.start, samples.stop, device=labels.device)
    counted = (labels + 1).to(torch.int32)
    partners = counted[partner_of(index, num_samples) - samples.start]
    return group_of(index, num_samples), counted + partners * PARTNER


TALLY = "tally.safetensors"
"""Name of the file that holds the counts of a shard or of an unfinished dissection."""
