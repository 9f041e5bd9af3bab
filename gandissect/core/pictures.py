"""Reading real pictures."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from .protocols import PictureBatch, PictureSource

BATCH = 64
"""Pictures read at once."""


def pick_evenly(pictures: Sized, limit: int) -> range:
    """Return the indices of evenly spaced pictures, at most ``limit``, which is 1 or more."""
    if limit < 1:
        raise ValueError(f"1 picture or more must be looked at; got {limit}")
    return range(0, len(pictures), max(1, -(-len(pictures) // limit)))


def load_pictures(pictures: PictureSource | UInt8[Tensor, "all 3 H W"], limit: int) -> UInt8[Tensor, "picture 3 H W"]:
    """Return evenly spaced pictures; of a source they depend on their indices alone.

    Args:
        pictures: A source of pictures, or uint8 ``[all, 3, H, W]``.
        limit: How many to return at most, 1 or more.

    Returns:
        uint8 ``[at most limit, 3, H, W]``.

    Raises:
        TypeError: If a tensor is not of uint8.
        ValueError: If a tensor is not ``[all, 3, H, W]``.
    """
    indices = pick_evenly(pictures, limit)
    if isinstance(pictures, Tensor):
        check_pixels(pictures)
        return pictures[:: indices.step]
    return torch.cat([pictures.batch(indices[start : start + BATCH]).images for start in range(0, len(indices), BATCH)])


def check_pixels(pictures: Tensor) -> None:
    """Check that a tensor holds real pictures as pixels.

    Raises:
        TypeError: If it is not of uint8.
        ValueError: If it is not ``[all, 3, H, W]``.
    """
    if pictures.dtype != torch.uint8:
        raise TypeError(
            f"real pictures must be uint8, 0 to 255; got {pictures.dtype}; convert images in [-1, 1] with "
            "gandissect.core.to_uint8"
        )
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"real pictures must be uint8 [n, 3, H, W]; got {list(pictures.shape)}")


@dataclass(frozen=True, slots=True)
class PictureSubset:
    """Some pictures of a source.

    Args:
        source: The source.
        indices: Which of its pictures, in order.
    """

    source: PictureSource
    indices: range | tuple[int, ...]

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def size(self) -> int:
        """Height and width of every picture in pixels."""
        return self.source.size

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PictureBatch:
        """Return the pictures of some indices, counted in the subset."""
        return self.source.batch([self.indices[index] for index in indices], rng)


def split_off(
    pictures: PictureSource | UInt8[Tensor, "all 3 H W"], every: int
) -> tuple[PictureSource | Tensor, PictureSource | Tensor]:
    """Return pictures without the first of every so many, and those that were left out.

    Args:
        pictures: A source of pictures, or uint8 ``[all, 3, H, W]``.
        every: One of how many is left out, 2 or more.
    """
    apart = range(0, len(pictures), every)
    rest = tuple(index for index in range(len(pictures)) if index % every)
    if isinstance(pictures, Tensor):
        return pictures[list(rest)], pictures[::every]
    return PictureSubset(pictures, rest), PictureSubset(pictures, apart)
