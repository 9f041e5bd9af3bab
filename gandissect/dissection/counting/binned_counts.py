"""Streaming integer counts of label maps and of binned activations; any split of the samples merges to equal counts."""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor

from ...stats.quantiles import Brackets, bin_edges, bin_scale, find_bins, narrow_brackets, to_keys, values_below
from ...stats.streaming import TensorState, prepare_merge


class LabelCounts(TensorState):
    """Pixel counts of each concept in each group of samples.

    Args:
        num_groups: Number of groups of samples.
        num_concepts: Number of concepts.
        num_channels: Number of concepts that a pixel can belong to.
        device: Device of the counts.
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
            group: Group of each sample, int64 ``[sample]``.
            labels: Label maps, int64 ``[sample, channel, H, W]``, -1 where a pixel is unlabeled.
        """
        cell = group[:, None] * self.labels.shape[1] + labels.flatten(1) + 1
        self.labels += torch.bincount(cell.flatten(), minlength=self.labels.numel()).view_as(self.labels)

    def merge(self, other: LabelCounts) -> None:
        """Add the counts of other samples."""
        self.labels = self.labels + prepare_merge(self.labels, other.labels)

    def compute(self) -> dict[str, Int64[Tensor, "*_"]]:
        """Return ``concept_area`` ``[group, concept]`` and ``num_pixels``, int64."""
        return {"concept_area": self.labels[:, 1:], "num_pixels": self.labels.sum() // self.num_channels}


class BinnedCounts(TensorState):
    """Pixel counts of each unit in and above the bins of its bracket, by group of samples and concept.

    Once a unit's threshold is known to be an edge of a bin, the counts above that edge are the pixels where the unit is
    on, by concept.

    Args:
        brackets: Bracket of each unit's threshold.
        num_bins: Number of bins per unit, at least 3; fewer bins could not narrow a bracket.
        num_groups: Number of groups of samples.
        num_concepts: Number of concepts.
        num_channels: Number of concepts that a pixel can belong to; each pixel is counted once per channel.
        count_type: Dtype of the counts, wide enough for all pixels of a group.
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
        """The counts by the pixels' own concepts, and by the concepts in the partners' label maps."""
        return self.own, self.exchanged

    @property
    def level(self) -> Float32[Tensor, " unit"]:
        """Value that all counted pixels exceed, float32 ``[unit]``."""
        return values_below(self.brackets.low)

    def update_extent(self, lowest: Float32[Tensor, "map unit"], highest: Float32[Tensor, "map unit"]) -> None:
        """Record the minimum and maximum of maps, float32 ``[map, unit]`` each, which also bound the upsampled maps."""
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
            group: Group of each pixel's sample, int64 ``[pixel]``.
            unit: Channel index of each pixel's unit, int64 ``[pixel]``.
            value: Activation at each pixel, float32 ``[pixel]``.
            label: Label of each pixel, int64 ``[pixel]``, -1 if unlabeled.
            other: Label at the same place in the partner's label map, int64 ``[pixel]``, -1 if unlabeled.
        """
        if not len(group):
            return
        _, units, bins, labels = self.own.shape
        first, last = (int(end) for end in torch.aminmax(group))
        bin_index = find_bins(self.edges, unit, to_keys(value))
        cell = ((((group - first) * units + unit) * bins) + bin_index) * labels + 1
        for counts, pixel_label in zip(self.counts, (label, other), strict=True):
            part = counts[first : last + 1]
            part += torch.bincount(cell + pixel_label, minlength=part.numel()).view_as(part)

    def merge(self, other: BinnedCounts) -> None:
        """Add the counts of other samples.

        Raises:
            ValueError: If they are counts over different brackets.
        """
        if not all(torch.equal(getattr(self.brackets, end), getattr(other.brackets, end)) for end in ("low", "high")):
            raise ValueError("counts over different brackets cannot be merged")
        self.own = self.own + prepare_merge(self.own, other.own)
        self.exchanged = self.exchanged + prepare_merge(self.exchanged, other.exchanged)
        self.lowest = torch.minimum(self.lowest, other.lowest)
        self.highest = torch.maximum(self.highest, other.highest)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace the counts with a state that `state` returned.

        Raises:
            ValueError: If the state has the wrong shape, or was counted in different bins by an earlier version.
        """
        edges = self.edges
        super().load_state(state)
        if not torch.equal(self.edges, edges):
            raise ValueError("the counts were made with the bins of another version; count again")

    def compute(self) -> Int64[Tensor, "unit bin"]:
        """Return the number of values in each bin, int64 ``[unit, bin + 1]``; the last column is above all bins."""
        return self.own.sum((0, 3)) // self.num_channels

    def narrow(self, rank: int, num_values: int) -> Brackets:
        """Return narrower brackets around the value of a descending rank among ``num_values`` values per unit."""
        return narrow_brackets(self.edges, self.compute(), (self.lowest, self.highest), rank, num_values)

    def above(self, edge: Int64[Tensor, " unit"]) -> dict[str, Int64[Tensor, "*_"]]:
        """Count the pixels whose key is above an edge of a bin.

        Args:
            edge: Key of each unit's edge, int64 ``[unit]``: the ``high`` of the brackets that `narrow` returned.

        Returns:
            ``unit_area`` ``[group, unit]``, and ``intersection`` and ``exchanged`` ``[group, concept, unit]``: the
                pixels above the edge by their own concept and by the concept in the partner's label map; int64.
        """
        bins = self.edges >= edge[:, None]
        own, exchanged = ((counts * bins[:, :, None]).sum(2) for counts in self.counts)
        concepts = {"intersection": own[..., 1:].transpose(1, 2), "exchanged": exchanged[..., 1:].transpose(1, 2)}
        return {"unit_area": own.sum(2) // self.num_channels, **concepts}


class LevelCounts(TensorState):
    """Pixel counts of each unit between its consecutive levels, by half of the samples and concept.

    Args:
        levels: Levels of each unit, float32 ``[unit, level]``, ascending.
        num_concepts: Number of concepts.
        num_channels: Number of concepts that a pixel can belong to; each pixel is counted once per channel.
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
            half: Half of the samples that each pixel belongs to, int64 ``[pixel]``, 0 or 1.
            values: Activation of each unit at each pixel, float32 ``[unit, pixel]``.
            labels: Labels of each pixel, int64 ``[channel, pixel]``, -1 if unlabeled.
            others: Labels at the same place in the partner's label map, int64 ``[channel, pixel]``, -1 if unlabeled.
        """
        _, units, steps, concepts = self.level_own.shape
        unit = torch.arange(units, device=values.device)[:, None]
        cell = ((half * units + unit) * steps + torch.searchsorted(self.levels, values)) * concepts + 1
        for counts, maps in ((self.level_own, labels), (self.level_exchanged, others)):
            for label in maps.unbind():
                counts += torch.bincount((cell + label).flatten(), minlength=counts.numel()).view_as(counts)

    def merge(self, other: LevelCounts) -> None:
        """Add the counts of other samples.

        Raises:
            ValueError: If they are counts over different levels.
        """
        if not torch.equal(self.levels, other.levels.to(self.levels.device)):
            raise ValueError("counts over different levels cannot be merged")
        self.level_own = self.level_own + prepare_merge(self.level_own, other.level_own)
        self.level_exchanged = self.level_exchanged + prepare_merge(self.level_exchanged, other.level_exchanged)

    def compute(self) -> dict[str, Int64[Tensor, "*_"]]:
        """Return the int64 counts of the pixels above each level.

        They are ``intersection`` and ``exchanged`` ``[half, concept, unit, level]``, ``unit_area``
        ``[half, unit, level]``, ``concept_area`` and ``exchanged_area`` ``[half, concept]``, and ``num_pixels``
        ``[half]``.
        """
        own, exchanged = (counts.flip(2).cumsum(2).flip(2) for counts in (self.level_own, self.level_exchanged))
        everywhere = own[:, 0, 0]  # all pixels; the same for every unit
        return {
            "intersection": own[:, :, 1:, 1:].permute(0, 3, 1, 2),
            "exchanged": exchanged[:, :, 1:, 1:].permute(0, 3, 1, 2),
            "unit_area": own[:, :, 1:].sum(3) // self.num_channels,
            "concept_area": everywhere[:, 1:],
            "exchanged_area": exchanged[:, 0, 0, 1:],
            "num_pixels": everywhere.sum(1) // self.num_channels,
        }
