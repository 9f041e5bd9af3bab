"""Streaming statistics that merge: however the data are cut up, the result is the same bit for bit.

Counts are int64. Memory depends on the number of units and concepts, not on the number of samples.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from .quantiles import Brackets, bin_edges, bin_of, bin_scale, narrow, to_keys, values_below


class Statistic(Protocol):
    """Something that is fed in parts, put together, kept and read out."""

    def merge(self, other: Self) -> None:
        """Add what another one of the same kind and settings has seen."""

    def compute(self) -> Any:
        """Return the result."""

    def state(self) -> dict[str, Tensor]:
        """Return everything seen so far."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace what was seen by what `state` returned."""


class _Tensors:
    """A statistic whose state is a few tensors of fixed shape."""

    _names: tuple[str, ...]

    def state(self) -> dict[str, Tensor]:
        """Return copies of the tensors, by name."""
        return {name: getattr(self, name).clone() for name in self._names}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over copies of such tensors.

        Raises:
            ValueError: If they do not fit.
        """
        for name in self._names:
            mine, given = getattr(self, name), state.get(name)
            if given is None or given.shape != mine.shape or given.dtype != mine.dtype:
                got = "none" if given is None else f"{given.dtype} {list(given.shape)}"
                raise ValueError(f"state {name!r} should be {mine.dtype} {list(mine.shape)}; got {got}")
            setattr(self, name, given.to(mine.device).clone())


class LabelCounts(_Tensors):
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

    def update(self, group: Tensor, labels: Tensor) -> None:
        """Count the pixels of label maps.

        Args:
            group: int64 ``[sample]``.
            labels: int64 ``[sample, channel, H, W]``, -1 where nothing is labelled.
        """
        cell = group[:, None] * self.labels.shape[1] + labels.flatten(1) + 1
        self.labels += torch.bincount(cell.flatten(), minlength=self.labels.numel()).view_as(self.labels)

    def merge(self, other: LabelCounts) -> None:
        """Add another one's counts."""
        self.labels = self.labels + _same(self.labels, other.labels)

    def compute(self) -> dict[str, Tensor]:
        """Return ``concept_area`` ``[group, concept]`` and ``num_pixels``, int64."""
        return {"concept_area": self.labels[:, 1:], "num_pixels": self.labels.sum() // self.num_channels}


class BinnedCounts(_Tensors):
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
        self.brackets, self.scale = brackets, bin_scale(brackets, num_bins)
        self.edges = bin_edges(brackets, num_bins)
        units, device = len(brackets.low), brackets.low.device
        shape = (num_groups, units, num_bins + 1, num_concepts + 1)
        self.own = torch.zeros(shape, dtype=count_type, device=device)
        self.exchanged = torch.zeros_like(self.own)
        self.lowest = torch.full_like(brackets.low, 2**31)
        self.highest = torch.full_like(brackets.low, -(2**31))

    @property
    def counts(self) -> tuple[Tensor, Tensor]:
        """The counts by the pixels' own concepts, and by those of the samples exchanged with."""
        return self.own, self.exchanged

    @property
    def level(self) -> Tensor:
        """What the pixels that are counted exceed, float32 ``[unit]``."""
        return values_below(self.brackets.low)

    def update_extent(self, lowest: Tensor, highest: Tensor) -> None:
        """Note between which values maps lie, float32 ``[map, unit]`` each; upsampling does not lead out of them."""
        self.lowest = torch.minimum(self.lowest, to_keys(lowest.amin(0)))
        self.highest = torch.maximum(self.highest, to_keys(highest.amax(0)))

    def update(self, group: Tensor, unit: Tensor, value: Tensor, label: Tensor, other: Tensor) -> None:
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
        place = bin_of(self.scale, bins - 1, unit, to_keys(value))
        cell = ((((group - first) * units + unit) * bins) + place) * labels + 1
        for counts, there in zip(self.counts, (label, other), strict=True):
            part = counts[first : last + 1]
            part += torch.bincount(cell + there, minlength=part.numel()).view_as(part)

    def merge(self, other: BinnedCounts) -> None:
        """Add another one's counts.

        Raises:
            ValueError: If it looks at other brackets.
        """
        mine, theirs = self.brackets, other.brackets
        if not (torch.equal(mine.low, theirs.low) and torch.equal(mine.high, theirs.high)):
            raise ValueError("counts over different brackets cannot be merged")
        self.own = self.own + _same(self.own, other.own)
        self.exchanged = self.exchanged + _same(self.exchanged, other.exchanged)
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

    def compute(self) -> Tensor:
        """Return int64 ``[unit, bin + 1]``: values in each bin; the last column holds what lies above all."""
        return self.own.sum((0, 3)) // self.num_channels

    def narrow(self, rank: int, num_values: int) -> Brackets:
        """Return smaller brackets around the value of a descending rank, of ``num_values`` each unit has."""
        return narrow(self.edges, self.compute(), (self.lowest, self.highest), rank, num_values)

    def above(self, edge: Tensor) -> dict[str, Tensor]:
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


class LevelCounts(_Tensors):
    """How many pixels of each unit lie between each two of its levels, by half of the samples and concept.

    Args:
        levels: float32 ``[unit, level]``, rising.
        num_concepts: Concepts.
        num_channels: How many concepts a pixel can belong to; each pixel is counted once for each channel.
    """

    _names = ("levels", "level_own", "level_exchanged")

    def __init__(self, levels: Tensor, num_concepts: int, num_channels: int = 1) -> None:
        units, num_levels = levels.shape
        self.num_channels, self.levels = num_channels, levels.contiguous()
        shape = (2, units, num_levels + 1, num_concepts + 1)
        self.level_own = torch.zeros(shape, dtype=torch.int64, device=levels.device)
        self.level_exchanged = torch.zeros_like(self.level_own)

    def update(self, half: Tensor, values: Tensor, labels: Tensor, others: Tensor) -> None:
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
        self.level_own = self.level_own + _same(self.level_own, other.level_own)
        self.level_exchanged = self.level_exchanged + _same(self.level_exchanged, other.level_exchanged)

    def compute(self) -> dict[str, Tensor]:
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


class TopSamples(_Tensors):
    """The samples in which each unit's activation is highest, with the unit's map there.

    Ties go to the earlier sample.

    Args:
        units: Channels.
        size: Rows and columns of the layer's grid.
        count: Samples kept for each unit, 0 or more.
        device: Where to keep them.
    """

    _names = ("samples", "peaks", "maps")

    def __init__(self, units: int, size: tuple[int, int], count: int, device: torch.device | str = "cpu") -> None:
        self.samples = torch.full((units, count), 2**62, dtype=torch.int64, device=device)
        self.peaks = torch.full((units, count), -torch.inf, dtype=torch.float32, device=device)
        self.maps = torch.zeros(units, count, *size, dtype=torch.float32, device=device)

    def update(self, samples: range, activation: Tensor, highest: Tensor) -> None:
        """Take in some samples' activations.

        Args:
            samples: Their indices.
            activation: float32 ``[batch, unit, h, w]``, finite.
            highest: float32 ``[batch, unit]``, the highest value of each map.
        """
        if not (len(samples) and self.samples.shape[1]):
            return
        peaks = highest.T
        best = peaks.amax(1)
        units = (
            (best > self.peaks[:, -1]) | ((best == self.peaks[:, -1]) & (samples.start < self.samples[:, -1]))
        ).nonzero()
        units = units.squeeze(1)
        order = torch.sort(peaks[units], dim=1, descending=True, stable=True).indices[:, : self.samples.shape[1]]
        maps = activation[order, units[:, None]]
        self._take_in(units, order + samples.start, peaks[units[:, None], order], maps)

    def merge(self, other: TopSamples) -> None:
        """Take in what another one keeps."""
        units = torch.arange(len(self.samples), device=self.samples.device)
        peaks, maps = other.peaks.to(units.device), _same(self.maps, other.maps)
        self._take_in(units, _same(self.samples, other.samples), peaks, maps)

    def compute(self) -> dict[str, Tensor]:
        """Return ``samples`` int64 and ``peaks`` float32 ``[unit, rank]``, and ``maps`` ``[unit, rank, h, w]``."""
        seen = int((self.samples[:1] < 2**62).sum())
        return {name: getattr(self, name)[:, :seen] for name in self._names}

    def _take_in(self, units: Tensor, samples: Tensor, peaks: Tensor, maps: Tensor) -> None:
        """Keep the best of what is kept of some units and what is given."""
        samples, peaks = torch.cat([self.samples[units], samples], 1), torch.cat([self.peaks[units], peaks], 1)
        earlier = samples.argsort(1)
        best = earlier.gather(1, torch.sort(peaks.gather(1, earlier), dim=1, descending=True, stable=True).indices)
        best = best[:, : self.samples.shape[1]]
        rows = torch.arange(len(best), device=best.device)[:, None]
        self.samples[units], self.peaks[units] = samples.gather(1, best), peaks.gather(1, best)
        self.maps[units] = torch.cat([self.maps[units], maps], 1)[rows, best]


class AreaMoments(_Tensors):
    """Mean and covariance of the shares of an image that the concepts take up.

    With a_c(x) the pixels of image x that belong to concept c, out of P pixels, over n images,

        mean_c = sum_x a_c / (n P),    covariance_cd = (n sum_x a_c a_d - sum_x a_c sum_x a_d) / (n (n - 1) P^2);

    the sums are whole numbers, so both come out exact, rounded once.

    Args:
        num_concepts: Concepts.
        num_pixels: P, pixels of one image.
    """

    _names = ("num_images", "areas", "products")

    def __init__(self, num_concepts: int, num_pixels: int) -> None:
        self.num_pixels = num_pixels
        self.num_images = torch.zeros((), dtype=torch.int64)
        self.areas = torch.zeros(num_concepts, dtype=torch.int64)
        self.products = torch.zeros(num_concepts, num_concepts, dtype=torch.int64)

    def update(self, areas: Tensor) -> None:
        """Take in some images' areas, int64 ``[image, concept]``, in pixels.

        Raises:
            ValueError: If there are more images than 64 bits can sum up.
        """
        areas = areas.cpu()  # where whole numbers can be multiplied as matrices
        self._add(torch.tensor(len(areas)), areas.sum(0), areas.T @ areas)

    def merge(self, other: AreaMoments) -> None:
        """Add another one's sums.

        Raises:
            ValueError: If it is of images of another size, or together they are more than 64 bits can sum up.
        """
        if other.num_pixels != self.num_pixels:
            raise ValueError(f"areas of {self.num_pixels} and of {other.num_pixels} pixels cannot be merged")
        self._add(other.num_images, _same(self.areas, other.areas), _same(self.products, other.products))

    def compute(self) -> dict[str, Tensor]:
        """Return ``mean`` ``[concept]`` and the unbiased ``covariance`` ``[concept, concept]``, float64.

        Raises:
            ValueError: If there are fewer than 2 images.
        """
        count, pixels = int(self.num_images), self.num_pixels
        if count < 2:
            raise ValueError(f"a covariance needs 2 images or more; got {count}")
        areas, products = (sums.numpy().astype(object) for sums in (self.areas, self.products))  # unbounded integers
        mean = areas / (count * pixels)
        covariance = (count * products - areas[:, None] * areas) / (count * (count - 1) * pixels**2)
        return {
            name: torch.tensor(each.tolist(), dtype=torch.float64)
            for name, each in (("mean", mean), ("covariance", covariance))
        }

    def _add(self, num_images: Tensor, areas: Tensor, products: Tensor) -> None:
        """Add sums over other images."""
        total = self.num_images + num_images
        if int(total) * self.num_pixels**2 >= 2**63:
            raise ValueError(f"{int(total)} images of {self.num_pixels} pixels are more than 64 bits can sum up")
        self.num_images, self.areas, self.products = total, self.areas + areas, self.products + products


def _same(mine: Tensor, other: Tensor) -> Tensor:
    """Return ``other`` on the device of ``mine``.

    Raises:
        ValueError: If it has another shape.
    """
    if mine.shape != other.shape:
        raise ValueError(f"statistics of shapes {list(mine.shape)} and {list(other.shape)} cannot be merged")
    return other.to(mine.device)
