"""Streaming statistics that merge: however the data are cut up, the result is the same bit for bit.

Counts are int64. Memory depends on the number of units and concepts, not on the number of samples.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from .quantiles import Brackets, bin_shift, narrow, to_keys


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
                raise ValueError(f"state {name!r} should be {mine.dtype} {list(mine.shape)}; got {given}")
            setattr(self, name, given.to(mine.device).clone())


class PixelCounts(_Tensors):
    """How often each unit is on together with each concept, and how often each concept is there at all.

    Args:
        units: Channels.
        num_concepts: Concepts.
        device: Where to count.
    """

    _names = ("on", "labels")

    def __init__(self, units: int, num_concepts: int, device: torch.device | str = "cpu") -> None:
        self.on = torch.zeros(units, num_concepts + 1, dtype=torch.int64, device=device)
        self.labels = torch.zeros(num_concepts + 1, dtype=torch.int64, device=device)

    def update_labels(self, labels: Tensor) -> None:
        """Count the pixels of label maps, int64 of any shape, -1 where nothing is labelled."""
        self.labels += torch.bincount(labels.flatten() + 1, minlength=len(self.labels))

    def update(self, unit: Tensor, label: Tensor) -> None:
        """Count pixels where a unit is on.

        Args:
            unit: int64 ``[pixel]``, which unit.
            label: int64 ``[pixel]``, the label there, -1 for none.
        """
        cell = unit * self.on.shape[1] + label + 1
        self.on += torch.bincount(cell, minlength=self.on.numel()).view_as(self.on)

    def merge(self, other: PixelCounts) -> None:
        """Add another one's counts."""
        self.on += _same(self.on, other.on)
        self.labels += _same(self.labels, other.labels)

    def compute(self) -> dict[str, Tensor]:
        """Return ``intersection`` ``[concept, unit]``, ``unit_area``, ``concept_area`` and ``num_pixels``, int64."""
        areas = {"unit_area": self.on.sum(1), "concept_area": self.labels[1:], "num_pixels": self.labels.sum()}
        return {"intersection": self.on[:, 1:].T, **areas}


class KeyHistogram(_Tensors):
    """A histogram of each unit's values over its bracket, to narrow it.

    Args:
        brackets: Where to look.
        num_bins: Bins a unit, 3 or more; with fewer nothing would narrow.
    """

    _names = ("counts", "lowest", "highest")

    def __init__(self, brackets: Brackets, num_bins: int) -> None:
        self.brackets = brackets
        units = len(brackets.low)
        self._shift = bin_shift(brackets, num_bins)
        self.counts = torch.zeros(units, num_bins + 1, dtype=torch.int64, device=brackets.low.device)
        self.lowest = torch.full_like(brackets.low, 2**31)
        self.highest = torch.full_like(brackets.low, -(2**31))

    def update_extent(self, activation: Tensor) -> None:
        """Note between which values maps ``[batch, unit, h, w]`` lie; upsampling does not lead out of them."""
        self.lowest = torch.minimum(self.lowest, to_keys(activation.amin((0, 2, 3))))
        self.highest = torch.maximum(self.highest, to_keys(activation.amax((0, 2, 3))))

    def update(self, unit: Tensor, value: Tensor) -> None:
        """Count values above the lower end of their unit's bracket.

        Args:
            unit: int64 ``[pixel]``.
            value: float32 ``[pixel]``.
        """
        key, width = to_keys(value), self.counts.shape[1]
        offset = key - self.brackets.low[unit] - 2  # -1 for the first bin, which holds one key
        place = torch.where(key > self.brackets.high[unit], width - 1, (offset >> self._shift[unit]) + 1)
        cell = unit * width + place
        self.counts.view(-1).index_add_(0, cell, torch.ones_like(cell))

    def merge(self, other: KeyHistogram) -> None:
        """Add another one's counts.

        Raises:
            ValueError: If it looks at other brackets.
        """
        mine, theirs = self.brackets, other.brackets
        if not (torch.equal(mine.low, theirs.low) and torch.equal(mine.high, theirs.high)):
            raise ValueError("histograms over different brackets cannot be merged")
        self.counts += _same(self.counts, other.counts)
        self.lowest = torch.minimum(self.lowest, other.lowest)
        self.highest = torch.maximum(self.highest, other.highest)

    def compute(self) -> Tensor:
        """Return int64 ``[unit, bin + 1]``; the last column holds what lies above the bracket."""
        return self.counts

    def narrow(self, rank: int, num_values: int) -> Brackets:
        """Return smaller brackets around the value of a descending rank, of ``num_values`` each unit has."""
        return narrow(self.brackets, self.counts, (self.lowest, self.highest), rank, num_values)


class OpenPixels:
    """The pixels whose values lie in brackets that are still open: few, kept one by one.

    Args:
        device: Where to keep them.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        empty = torch.empty(3, 0, dtype=torch.int64, device=device)
        self._parts = [empty]

    def update(self, unit: Tensor, value: Tensor, label: Tensor) -> None:
        """Keep pixels: int64 units, float32 values and int64 labels, ``[pixel]`` each."""
        self._parts.append(torch.stack([unit, to_keys(value), label]))

    def merge(self, other: OpenPixels) -> None:
        """Add another one's pixels."""
        self._parts += other._parts

    def compute(self) -> Tensor:
        """Return int64 ``[3, pixel]``: unit, key and label, by unit, then highest key first, then label."""
        rows = torch.cat(self._parts, 1)
        for row, falling in ((2, False), (1, True), (0, False)):
            rows = rows[:, torch.sort(rows[row], descending=falling, stable=True).indices]
        return rows

    def state(self) -> dict[str, Tensor]:
        """Return the pixels in the order of `compute`."""
        return {"pixels": self.compute()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over such pixels.

        Raises:
            ValueError: If they do not fit.
        """
        pixels = state.get("pixels")
        if pixels is None or pixels.ndim != 2 or len(pixels) != 3 or pixels.dtype != torch.int64:
            raise ValueError(f"state 'pixels' should be int64 [3, pixel]; got {pixels}")
        self._parts = [pixels.to(self._parts[0].device).clone()]


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
        self.peaks = torch.full((units, count), -torch.inf, device=device)
        self.maps = torch.zeros(units, count, *size, device=device)

    def update(self, samples: range, activation: Tensor) -> None:
        """Take in some samples' activations.

        Args:
            samples: Their indices.
            activation: float32 ``[batch, unit, h, w]``, finite.
        """
        peaks = activation.amax((2, 3)).T
        order = torch.sort(peaks, dim=1, descending=True, stable=True).indices[:, : self.samples.shape[1]]
        rows = torch.arange(len(peaks), device=peaks.device)[:, None]
        self._take_in(order + samples.start, peaks.gather(1, order), activation[order, rows])

    def merge(self, other: TopSamples) -> None:
        """Take in what another one keeps."""
        self._take_in(_same(self.samples, other.samples), other.peaks, _same(self.maps, other.maps))

    def compute(self) -> dict[str, Tensor]:
        """Return ``samples`` int64 and ``peaks`` float32 ``[unit, rank]``, and ``maps`` ``[unit, rank, h, w]``."""
        seen = int((self.samples[:1] < 2**62).sum())
        return {name: getattr(self, name)[:, :seen] for name in self._names}

    def _take_in(self, samples: Tensor, peaks: Tensor, maps: Tensor) -> None:
        """Keep the best of what is kept and what is given."""
        samples, peaks = torch.cat([self.samples, samples], 1), torch.cat([self.peaks, peaks], 1)
        earlier = samples.argsort(1)
        best = earlier.gather(1, torch.sort(peaks.gather(1, earlier), dim=1, descending=True, stable=True).indices)
        best = best[:, : self.samples.shape[1]]
        rows = torch.arange(len(best), device=best.device)[:, None]
        self.samples, self.peaks = samples.gather(1, best), peaks.gather(1, best)
        self.maps = torch.cat([self.maps, maps], 1)[rows, best]


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
        return {name: torch.tensor(each.tolist(), dtype=torch.float64)
                for name, each in (("mean", mean), ("covariance", covariance))}  # fmt: skip

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
