"""The samples that activate a unit most: which they are, where the unit is on, and small pictures of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .store import check_tensor


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
