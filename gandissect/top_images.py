"""The samples that activate a unit most: which they are, where the unit is on, and small pictures of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .stats import TopSamples
from .store import check_tensor

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

    samples: Tensor
    peaks: Tensor
    size: tuple[int, int]
    packed_masks: Tensor

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"a mask has at least one pixel; got {self.size}")
        check_tensor("top samples", self.samples, torch.int64, (None, None))
        check_tensor("top peaks", self.peaks, torch.float32, tuple(self.samples.shape))
        num_bytes = (self.size[0] * self.size[1] + 7) // 8
        check_tensor("top masks", self.packed_masks, torch.uint8, (*self.samples.shape, num_bytes))

    def mask(self, unit: int, rank: int) -> Tensor:
        """Return where a unit is on in its ``rank``-th image, bool ``[h, w]`` at the thumbnail's size."""
        bits = self.packed_masks[unit, rank][:, None] >> torch.arange(8, dtype=torch.uint8) & 1
        height, width = self.size
        return bits.flatten()[: height * width].bool().reshape(height, width)


def pack_masks(masks: Tensor) -> Tensor:
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

    samples: Tensor
    pixels: Tensor

    def __post_init__(self) -> None:
        check_tensor("thumbnail samples", self.samples, torch.int64, (None,))
        check_tensor("thumbnails", self.pixels, torch.uint8, (len(self.samples), 3, None, None))
        if bool((self.samples[1:] <= self.samples[:-1]).any()):
            raise ValueError("thumbnail samples must rise")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.pixels.shape[2]), int(self.pixels.shape[3])

    def __getitem__(self, sample: int) -> Tensor:
        """Return the picture of a sample, uint8 ``[3, h, w]``.

        Raises:
            KeyError: If that sample is no unit's favourite.
        """
        position = int(torch.searchsorted(self.samples, sample))
        if position == len(self.samples) or int(self.samples[position]) != sample:
            raise KeyError(f"sample {sample} has no thumbnail; only the samples of `top` have one")
        return self.pixels[position]


class Pictures:
    """Collects the thumbnails of the samples that some unit likes best, while these are still being found.

    Args:
        image_size: Height and width of an image.
    """

    def __init__(self, image_size: tuple[int, int]) -> None:
        self._size = thumbnail_size(image_size)
        self._pixels: dict[int, Tensor] = {}
        self._room = 0

    def update(self, samples: range, images: Tensor, tops: Sequence[TopSamples]) -> None:
        """Keep the wanted images of a batch.

        Args:
            samples: Their indices.
            images: float ``[batch, 3, H, W]`` in [-1, 1].
            tops: Which samples each layer's units like best so far.
        """
        wanted = [sample for sample in _favourites(tops) if sample in samples]
        if wanted:
            small = _shrink(images[[sample - samples.start for sample in wanted]].float(), self._size)
            pixels = ((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
            self._pixels |= dict(zip(wanted, pixels.unbind(), strict=True))
        if len(self._pixels) > self._room:
            self._forget(tops)

    def merge(self, other: Thumbnails) -> None:
        """Take in thumbnails that were collected elsewhere."""
        self._pixels |= dict(zip(other.samples.tolist(), other.pixels.unbind(), strict=True))

    def compute(self, tops: Sequence[TopSamples]) -> Thumbnails:
        """Return those that are wanted in the end."""
        self._forget(tops)
        samples = sorted(self._pixels)
        pixels = [self._pixels[sample] for sample in samples]
        empty = torch.empty(0, 3, *self._size, dtype=torch.uint8)
        return Thumbnails(torch.tensor(samples, dtype=torch.int64), torch.stack(pixels) if pixels else empty)

    def _forget(self, tops: Sequence[TopSamples]) -> None:
        """Drop those that no unit likes best any more."""
        wanted = set(_favourites(tops))
        self._pixels = {sample: pixels for sample, pixels in self._pixels.items() if sample in wanted}
        self._room = 2 * len(self._pixels) + 64


def _favourites(tops: Sequence[TopSamples]) -> list[int]:
    """Return the samples that some unit likes best, rising."""
    samples: list[int] = torch.unique(torch.cat([top.compute()["samples"].flatten() for top in tops])).tolist()
    return samples


def thumbnail_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a thumbnail: the image's own, or so that its longer side fits."""
    scale = min(1.0, THUMBNAIL_SIZE / max(image_size))
    height, width = (max(1, math.floor(length * scale + 0.5)) for length in image_size)
    return height, width


def _shrink(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images at the thumbnail's size."""
    if size == tuple(images.shape[2:]):
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)
