"""The samples that activate a unit most: which they are, where the unit is on, and small pictures of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.images import to_uint8
from ...stats.streaming import TensorState, prepare_merge
from ...storage.saved import check_tensor

THUMBNAIL_SIZE = 128
"""Longest side of a thumbnail, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class TopImages:
    """The samples that activate each unit most, and where.

    A unit's activation in a sample is the largest on the layer's own grid. Ties go to the earlier sample.

    Args:
        samples: int64 ``[unit, rank]``, sample indices, highest first.
        peaks: float32 ``[unit, rank]``, the largest activation in each.
        size: Rows and columns of a mask; those of the thumbnails.
        packed_masks: uint8 ``[unit, rank, byte]``: the pixels where the unit is on, row by row, eight to a
            byte, lowest bit first. Read them with `mask`.
    """

    samples: Int64[Tensor, "unit rank"]
    peaks: Float32[Tensor, "unit rank"]
    size: tuple[int, int]
    packed_masks: UInt8[Tensor, "unit rank byte"]

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"a mask has at least one pixel; got {self.size}")
        check_tensor("top samples", self.samples, torch.int64, (None, None))
        check_tensor("top peaks", self.peaks, torch.float32, tuple(self.samples.shape))
        num_bytes = (self.size[0] * self.size[1] + 7) // 8
        check_tensor("top masks", self.packed_masks, torch.uint8, (*self.samples.shape, num_bytes))

    def mask(self, unit: int, rank: int) -> Bool[Tensor, "h w"]:
        """Return where a unit is on in its ``rank``-th image, bool ``[h, w]`` at the thumbnail's size."""
        bits = self.packed_masks[unit, rank][:, None] >> torch.arange(8, dtype=torch.uint8, device="cpu") & 1
        height, width = self.size
        return bits.flatten()[: height * width].bool().reshape(height, width)


def pack_masks(masks: Bool[Tensor, "*batch h w"]) -> UInt8[Tensor, "*batch byte"]:
    """Pack bool ``[..., h, w]`` into uint8 ``[..., byte]``, lowest bit first, as `TopImages` keeps them."""
    flat = masks.flatten(-2).to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[-1] % 8))
    octets = flat.reshape(*flat.shape[:-1], flat.shape[-1] // 8, 8)
    return (octets << torch.arange(8, dtype=torch.uint8, device=flat.device)).sum(-1, dtype=torch.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnails:
    """Small pictures of the samples that some unit likes best, each once.

    Args:
        samples: int64 ``[image]``, sample indices, rising.
        pixels: uint8 ``[image, 3, h, w]``.
    """

    samples: Int64[Tensor, " image"]
    pixels: UInt8[Tensor, "image 3 h w"]

    def __post_init__(self) -> None:
        check_tensor("thumbnail samples", self.samples, torch.int64, (None,))
        check_tensor("thumbnails", self.pixels, torch.uint8, (len(self.samples), 3, None, None))
        if bool((self.samples[1:] <= self.samples[:-1]).any()):
            raise ValueError("thumbnail samples must rise")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.pixels.shape[2]), int(self.pixels.shape[3])

    def __getitem__(self, sample: int) -> UInt8[Tensor, "3 h w"]:
        """Return the picture of a sample, uint8 ``[3, h, w]``.

        Raises:
            KeyError: If that sample is no unit's favorite.
        """
        position = int(torch.searchsorted(self.samples, sample))
        if position == len(self.samples) or int(self.samples[position]) != sample:
            raise KeyError(f"sample {sample} has no thumbnail; only the samples of `top` have one")
        return self.pixels[position]


class ThumbnailCollector:
    """Collects the thumbnails of the samples that some unit likes best, while these are still being found.

    They lie in one block of memory, as large from the beginning as it can become, and are sorted in place: there never
    is a second copy.

    Args:
        image_size: Height and width of an image.
        most: Samples that units like best, at most.
    """

    def __init__(self, image_size: tuple[int, int], most: int) -> None:
        self._size = thumbnail_size(image_size)
        with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
            self._pixels = torch.empty(most, 3, *self._size, dtype=torch.uint8, device="cpu")
        self._rows: dict[int, int] = {}

    def update(self, samples: range, images: Float[Tensor, "batch 3 H W"], tops: Sequence[TopSamples]) -> None:
        """Keep the wanted images of a batch.

        Args:
            samples: Their indices.
            images: float ``[batch, 3, H, W]`` in [-1, 1].
            tops: Which samples each layer's units like best so far.
        """
        favorites = _find_favorites(tops)
        wanted = [sample for sample in favorites if sample in samples]
        if wanted:
            small = _shrink(images[[sample - samples.start for sample in wanted]].float(), self._size)
            pixels = to_uint8(small).cpu()
            self._keep(wanted, pixels, favorites)

    def merge(self, other: Thumbnails, tops: Sequence[TopSamples]) -> None:
        """Take in the thumbnails that were collected elsewhere and are wanted."""
        favorites = _find_favorites(tops)
        known = set(favorites)
        rows = [row for row, sample in enumerate(other.samples.tolist()) if sample in known]
        self._keep(other.samples[rows].tolist(), other.pixels[rows], favorites)

    def compute(self, tops: Sequence[TopSamples]) -> Thumbnails:
        """Return those that are wanted in the end; they are overwritten when more images are taken in."""
        self._forget(_find_favorites(tops))
        self._sort()
        count = len(self._rows)
        return Thumbnails(torch.tensor(list(self._rows), dtype=torch.int64, device="cpu"), self._pixels[:count])

    def _keep(self, samples: Sequence[int], pixels: UInt8[Tensor, "image 3 h w"], favorites: Sequence[int]) -> None:
        """Put thumbnails where there is room."""
        new = [index for index, sample in enumerate(samples) if sample not in self._rows]
        if len(self._rows) + len(new) > len(self._pixels):
            self._forget(favorites)
        taken = set(self._rows.values())
        free = (row for row in range(len(self._pixels)) if row not in taken)
        for index, row in zip(new, free, strict=False):
            self._rows[samples[index]] = row
            self._pixels[row] = pixels[index]

    def _forget(self, favorites: Sequence[int]) -> None:
        """Drop those that no unit likes best any more."""
        wanted = set(favorites)
        self._rows = {sample: row for sample, row in self._rows.items() if sample in wanted}

    def _sort(self) -> None:
        """Move the thumbnails, in place, to the first rows, in the order of their samples."""
        holder = {row: sample for sample, row in self._rows.items()}
        for place, sample in enumerate(sorted(self._rows)):
            row = self._rows[sample]
            if row == place:
                continue
            other = holder.get(place)  # who has to make room
            spare = self._pixels[place].clone()
            self._pixels[place] = self._pixels[row]
            self._pixels[row] = spare
            holder[place], self._rows[sample] = sample, place
            holder.pop(row, None)
            if other is not None:
                holder[row], self._rows[other] = other, row
        self._rows = dict(sorted(self._rows.items()))


def _find_favorites(tops: Sequence[TopSamples]) -> list[int]:
    """Return the samples that some unit likes best, rising."""
    samples: list[int] = torch.unique(torch.cat([top.compute()["samples"].flatten() for top in tops])).tolist()
    return samples


def thumbnail_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a thumbnail: the image's own, or so that its longer side fits."""
    scale = min(1.0, THUMBNAIL_SIZE / max(image_size))
    height, width = (max(1, math.floor(length * scale + 0.5)) for length in image_size)
    return height, width


def _shrink(images: Float32[Tensor, "batch 3 H W"], size: tuple[int, int]) -> Float32[Tensor, "batch 3 h w"]:
    """Return images at the thumbnail's size."""
    if size == tuple(images.shape[2:]):
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)


class TopSamples(TensorState):
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

    def update(
        self, samples: range, activation: Float32[Tensor, "batch unit h w"], highest: Float32[Tensor, "batch unit"]
    ) -> None:
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
        peaks, maps = other.peaks.to(units.device), prepare_merge(self.maps, other.maps)
        self._take_in(units, prepare_merge(self.samples, other.samples), peaks, maps)

    def compute(self) -> dict[str, Tensor]:
        """Return ``samples`` int64 and ``peaks`` float32 ``[unit, rank]``, and ``maps`` ``[unit, rank, h, w]``."""
        num_kept = int((self.samples[:1] < 2**62).sum())
        return {name: getattr(self, name)[:, :num_kept] for name in self._names}

    def _take_in(self, units: Tensor, samples: Tensor, peaks: Tensor, maps: Tensor) -> None:
        """Keep the best of what is kept of some units and what is given."""
        samples, peaks = torch.cat([self.samples[units], samples], 1), torch.cat([self.peaks[units], peaks], 1)
        earlier = samples.argsort(1)
        best = earlier.gather(1, torch.sort(peaks.gather(1, earlier), dim=1, descending=True, stable=True).indices)
        best = best[:, : self.samples.shape[1]]
        rows = torch.arange(len(best), device=best.device)[:, None]
        self.samples[units], self.peaks[units] = samples.gather(1, best), peaks.gather(1, best)
        self.maps[units] = torch.cat([self.maps[units], maps], 1)[rows, best]
