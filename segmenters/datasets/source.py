"""Define the protocol of sources of labeled pictures.

The training of generators and segmenters relies only on this protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from gandissect.core.protocols import PictureSource
from gandissect.core.types import Concept

from ..scenes.captions import Caption


@dataclass(frozen=True, slots=True)
class LabeledPictures:
    """Batch of pictures with their labels.

    Args:
        images: Pictures, uint8 ``[batch, 3, H, W]``, in red, green, blue.
        labels: Labels, int64 ``[batch, H, W]``, index of the concept or UNLABELED (-1); None without labels.
    """

    images: UInt8[Tensor, "batch 3 H W"]
    labels: Int64[Tensor, "batch H W"] | None


@dataclass(frozen=True, slots=True)
class PicturePairs(LabeledPictures):
    """Batch of pictures, the targets, with the inputs that belong to them.

    Args:
        inputs: Pictures, and labels if there are any, of the inputs.
    """

    inputs: LabeledPictures


@dataclass(frozen=True, slots=True)
class CaptionedPictures(LabeledPictures):
    """Batch of pictures with their labels and captions.

    Args:
        captions: One caption for each picture.
    """

    captions: tuple[Caption, ...]


@runtime_checkable
class ImageSource(PictureSource, Protocol):
    """Source of square pictures of one size, with their labels; without labels, `concepts` is empty."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Concepts that the labels index."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return a batch of pictures and labels.

        Args:
            indices: Indices of the pictures.
            rng: Random number generator of the training view (random crop if there is room, random flip); None returns
                the evaluation view (center crop, no flip), which depends only on the indices.
        """


def describe_source(source: ImageSource, name: str | None = None) -> str:
    """Return a source's representation, e.g. ``Subset('streets (held out)', size=64, num_images=9, concepts=8)``.

    Args:
        source: Source of pictures.
        name: First argument of the representation; by default the name of the source.
    """
    sizes = f"size={source.size}, num_images={len(source)}, concepts={len(source.concepts)}"
    return f"{type(source).__name__}({source.name if name is None else name!r}, {sizes})"
