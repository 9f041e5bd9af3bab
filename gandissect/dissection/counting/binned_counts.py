"""Streaming int64 counts of label maps and of binned activations; any split of the samples merges to the same."""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor

from ...stats.quantiles import Brackets, bin_edges, bin_scale, find_bins, narrow_brackets, to_keys, values_below
from ...stats.streaming import TensorState, prepare_merge


class LabelCounts(TensorState):
    """How often each concept is there, in each group of samples.

    Args:
        num_groups: Groups of samples.
        num_concepts: Concepts.
        num_channels: How many concepts a pixel can belong to.
        device: Where to count.
    """

    _names = ("labels",)

    def __init__(
        self, num_groups: int, num_concepts: int, num_channels: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        self.num_channels = num_channels
        self.labels = torch.zeros(num_groups, num_concepts + 1, dtype=torch.int64, device=device)

    def update(self, group: Int64[Tensor, " sample"], labels: Int64[Tensor, "sample channel H W"]) -> None:
        """Count the pixels of label maps.

        Args:
            group: int64 ``[sample]``.
            labels: int64 ``[sample, channel, H, W]``, -1 where nothing is labeled.
        """
        cell = group[:, None] * self.labels.shape[1] + labels.flatten(1) + 1
        self.labels += torch.bincount(cell.flatten(), minlength=self.labels.numel()).view_as(self.labels)

    def merge(self, other: LabelCounts) -> None:
        """Add another one's counts."""
        self.labels = self.labels + prepare_merge(self.labels, other.labels)

    def compute(self) -> dict[str, Int64[Tensor, "*_"]]:
        """Return ``concept_area`` ``[group, concept]`` and ``num_pixels``, int64."""
        return {"concept_area": self.labels[:, 1:], "num_pixels": self.labels.sum() // self.num_channels}


class BinnedCounts(TensorState):
    """How many pixels of each unit have a value in each bin of its bracket or above, by group of samples and concept.

    Once the unit's threshold is known to be an edge of a bin, this is where the unit is on, together with each concept.

    Args:
        brackets: Where each unit's threshold is sought.
        num_bins: Bins a unit, 3 or more; with fewer nothing would narrow.
        num_groups: Groups of samples.
        num_concepts: Concepts.
        num_channels: How many concepts a pixel can belong to; each pixel is counted once for each channel.
        count_type: Of the counts, wide enough for all pixels of a group.
    """

    _names = ("own", "exchanged", "lowest", "highest", "edges")

    def __init__(
        self,
        brackets: Brackets,
        num_bins: int,
        num_groups: int,
        num_concepts: int,
        num_channels: int = 1,
        count_type: torch.dtype = torch.int64,
    ) -> None:
        self.num_channels = num_channels
        units, device = len(brackets.low), brackets.low.device
        self.brackets, self.scale = brackets, bin_scale(brackets.cpu(), num_bins)
        self.edges = bin_edges(brackets.cpu(), num_bins).to(device)
        shape = (num_groups, units, num_bins + 1, num_concepts + 1)
        self.own = torch.zeros(shape, dtype=count_type, device=device)
        self.exchanged = torch.zeros_like(self.own)
        self.lowest = torch.full_like(brackets.low, 2**31)
        self.highest = torch.full_like(brackets.low, -(2**31))

    @property
    def counts(self) -> tuple[Int[Tensor, "group unit bin label"], Int[Tensor, "group unit bin label"]]:
        """The counts by the pixels' own concepts, and by those of the samples exchanged with."""
        return self.own, self.exchanged

    @property
    def level(self) -> Float32[Tensor, " unit"]:
        """What the pixels that are counted exceed, float32 ``[unit]``."""
        return values_below(self.brackets.low)

    def update_extent(self, lowest: Float32[Tensor, "map unit"], highest: Float32[Tensor, "map unit"]) -> None:
        """Note between which values maps lie, float32 ``[map, unit]`` each; upsampling does not lead out of them."""
        self.lowest = torch.minimum(self.lowest, to_keys(lowest.amin(0)))
        self.highest = torch.maximum(self.highest, to_keys(highest.amax(0)))

    def update(
        self,
        group: Int64[Tensor, " pixel"],
        unit: Int64[Tensor, " pixel"],
        value: Float32[Tensor, " pixel"],
        label: Int[Tensor, " pixel"],
        other: Int[Tensor, " pixel"],
    ) -> None:
        """Count pixels above the lower end of their unit's bracket.

        Args:
            group: int64 ``[pixel]``, of the sample.
            unit: int64 ``[pixel]``.
            value: float32 ``[pixel]``.
            label: int64 ``[pixel]``, -1 for none.
            other: int64 ``[pixel]``, the label there in the sample that this one exchanges label maps with.
        """
        if not len(group):
            return
        _, units, bins, labels = self.own.shape
        first, last = (int(end) for end in torch.aminmax(group))
        place = find_bins(self.edges, unit, to_keys(value))
        cell = ((((group - first) * units + unit) * bins) + place) * labels + 1
        for counts, pixel_label in zip(self.counts, (label, other), strict=True):
            part = counts[first : last + 1]
            part += torch.bincount(cell + pixel_label, minlength=part.numel()).view_as(part)

    def merge(self, other: BinnedCounts) -> None:
        """Add another one's counts.

        Raises:
            ValueError: If it looks at other brackets.
        """
        mine, theirs = self.brackets, other.brackets
        if not (torch.equal(mine.low, theirs.low) and torch.equal(mine.high, theirs.high)):
            raise ValueError("counts over different brackets cannot be merged")
        self.own = self.own + prepare_merge(self.own, other.own)
        self.exchanged = self.exchanged + prepare_merge(self.exchanged, other.exchanged)
        self.lowest = torch.minimum(self.lowest, other.lowest)
        self.highest = torch.maximum(self.highest, other.highest)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned.

        Raises:
            ValueError: If it does not fit, or was counted in other bins, as an earlier version did.
        """
        edges = self.edges
        super().load_state(state)
        if not torch.equal(self.edges, edges):
            raise ValueError("counted in other bins than this version's; count again")

    def compute(self) -> Int64[Tensor, "unit bin"]:
        """Return int64 ``[unit, bin + 1]``: values in each bin; the last column holds what lies above all."""
        return self.own.sum((0, 3)) // self.num_channels

    def narrow(self, rank: int, num_values: int) -> Brackets:
        """Return smaller brackets around the value of a descending rank, of ``num_values`` each unit has."""
        return narrow_brackets(self.edges, self.compute(), (self.lowest, self.highest), rank, num_values)

    def above(self, edge: Int64[Tensor, " unit"]) -> dict[str, Int64[Tensor, "*_"]]:
        """Count the pixels whose key is above an edge of a bin, or above everything.

        Args:
            edge: int64 ``[unit]``; what `narrow` has found as ``high``.

        Returns:
            ``unit_area`` ``[group, unit]``, ``intersection`` with each concept and ``exchanged``, with the other
            samples' labels, both ``[group, concept, unit]``; int64.
        """
        bins = self.edges >= edge[:, None]
        own, exchanged = ((counts * bins[:, :, None]).sum(2) for counts in self.counts)
        concepts = {"intersection": own[..., 1:].transpose(1, 2), "exchanged": exchanged[..., 1:].transpose(1, 2)}
        return {"unit_area": own.sum(2) // self.num_channels, **concepts}


class LevelCounts(TensorState):
    """How many pixels of each unit lie between each two of its levels, by half of the samples and concept.

    Args:
        levels: float32 ``[unit, level]``, rising.
        num_concepts: Concepts.
        num_channels: How many concepts a pixel can belong to; each pixel is counted once for each channel.
    """

    _names = ("levels", "level_own", "level_exchanged")

    def __init__(self, levels: Float32[Tensor, "unit level"], num_concepts: int, num_channels: int = 1) -> None:
        units, num_levels = levels.shape
        self.num_channels, self.levels = num_channels, levels.contiguous()
        shape = (2, units, num_levels + 1, num_concepts + 1)
        self.level_own = torch.zeros(shape, dtype=torch.int64, device=levels.device)
        self.level_exchanged = torch.zeros_like(self.level_own)

    def update(
        self,
        half: Int64[Tensor, " pixel"],
        values: Float32[Tensor, "unit pixel"],
        labels: Int[Tensor, "channel pixel"],
        others: Int[Tensor, "channel pixel"],
    ) -> None:
        """Count pixels.

        Args:
            half: int64 ``[pixel]``, 0 or 1.
            values: float32 ``[unit, pixel]``.
            labels: int64 ``[channel, pixel]``, -1 for none.
            others: int64 ``[channel, pixel]``, those of the samples that label maps are exchanged with.
        """
        _, units, steps, concepts = self.level_own.shape
        unit = torch.arange(units, device=values.device)[:, None]
        cell = ((half * units + unit) * steps + torch.searchsorted(self.levels, values)) * concepts + 1
        for counts, maps in ((self.level_own, labels), (self.level_exchanged, others)):
            for label in maps.unbind():
                counts += torch.bincount((cell + label).flatten(), minlength=counts.numel()).view_as(counts)

    def merge(self, other: LevelCounts) -> None:
        """Add another one's counts.

        Raises:
            ValueError: If it looks at other levels.
        """
        if not torch.equal(self.levels, other.levels.to(self.levels.device)):
            raise ValueError("counts over different levels cannot be merged")
        self.level_own = self.level_own + prepare_merge(self.level_own, other.level_own)
        self.level_exchanged = self.level_exchanged + prepare_merge(self.level_exchanged, other.level_exchanged)

    def compute(self) -> dict[str, Int64[Tensor, "*_"]]:
        """Return int64 counts of the pixels above each level.

        ``intersection`` and ``exchanged`` ``[half, concept, unit, level]``, ``unit_area`` ``[half, unit, level]``,
        ``concept_area`` and ``exchanged_area`` ``[half, concept]``, ``num_pixels`` ``[half]``.
        """
        own, exchanged = (counts.flip(2).cumsum(2).flip(2) for counts in (self.level_own, self.level_exchanged))
        everywhere = own[:, 0, 0]  # of any unit, above nothing
        return {
            "intersection": own[:, :, 1:, 1:].permute(0, 3, 1, 2),
            "exchanged": exchanged[:, :, 1:, 1:].permute(0, 3, 1, 2),
            "unit_area": own[:, :, 1:].sum(3) // self.num_channels,
            "concept_area": everywhere[:, 1:],
            "exchanged_area": exchanged[:, 0, 0, 1:],
            "num_pixels": everywhere.sum(1) // self.num_channels,
        }
