"""Read real pictures."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from .protocols import ClassedSource, PictureBatch, PictureSource, as_classed, may_flip

BATCH = 64
"""Number of pictures read per batch."""


def pick_evenly(pictures: Sized, limit: int) -> range:
    """Return the indices of at most ``limit`` evenly spaced pictures; ``limit`` is at least 1."""
    if limit < 1:
        raise ValueError(f"the number of pictures must be at least 1; got {limit}")
    return range(0, len(pictures), max(1, -(-len(pictures) // limit)))


def load_pictures(
    pictures: PictureSource | UInt8[Tensor, "all 3 H W"], limit: int
) -> UInt8[Tensor, "picture 3 H W"] | Float32[Tensor, "picture 3 H W"]:
    """Return evenly spaced pictures; pictures read from a source depend only on their indices.

    Args:
        pictures: A source of pictures, or uint8 ``[all, 3, H, W]``.
        limit: Maximum number of pictures, at least 1.

    Returns:
        uint8 ``[at most limit, 3, H, W]``; float32 where the source has points in the plane.

    Raises:
        TypeError: If a tensor is not uint8.
        ValueError: If a tensor is not ``[all, 3, H, W]``.
    """
    indices = pick_evenly(pictures, limit)
    if isinstance(pictures, Tensor):
        check_pixels(pictures)
        return pictures[:: indices.step]
    return torch.cat([pictures.batch(indices[start : start + BATCH]).images for start in range(0, len(indices), BATCH)])


def check_pixels(pictures: Tensor) -> None:
    """Check that a tensor holds the pixels of real pictures.

    Raises:
        TypeError: If the tensor is not uint8.
        ValueError: If the tensor is not ``[all, 3, H, W]``.
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
    """A subset of a source of pictures.

    Args:
        source: The full source.
        indices: Indices of the subset's pictures in the source, in order.
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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the source's classes; none where it has none."""
        return () if (source := as_classed(self.source)) is None else source.classes

    @property
    def may_flip(self) -> bool:
        """Whether a mirrored picture is still one of its kind."""
        return may_flip(self.source)

    @property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class."""
        return cast(ClassedSource, self.source).class_indices[list(self.indices)]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PictureBatch:
        """Return pictures by their index within the subset."""
        return self.source.batch([self.indices[index] for index in indices], rng)


def split_off(
    pictures: PictureSource | UInt8[Tensor, "all 3 H W"], every: int
) -> tuple[PictureSource | Tensor, PictureSource | Tensor]:
    """Split pictures in two: all but the first of every ``every`` pictures, and those first ones.

    Args:
        pictures: A source of pictures, or uint8 ``[all, 3, H, W]``.
        every: One picture in ``every`` is split off; at least 2.
    """
    apart = range(0, len(pictures), every)
    rest = tuple(index for index in range(len(pictures)) if index % every)
    if isinstance(pictures, Tensor):
        return pictures[list(rest)], pictures[::every]
    return PictureSubset(pictures, rest), PictureSubset(pictures, apart)
