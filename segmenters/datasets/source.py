"""What a source of labeled pictures answers: how many there are, and what some of them look like.

The trainings of generators and of segmenters know nothing else about where their pictures come from.
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


@dataclass(frozen=True, slots=True)
class LabeledPictures:
    """Hold some pictures and, where the source has them, their labels.

    images: uint8 [batch, 3, H, W], red green blue.
    labels: int64 [batch, H, W], index of the concept or UNLABELED (-1); None where the source has no labels.
    """

    images: UInt8[Tensor, "batch 3 H W"]
    labels: Int64[Tensor, "batch H W"] | None


@runtime_checkable
class ImageSource(PictureSource, Protocol):
    """Give square pictures of one size by index, and their labels; without labels the concepts are empty."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Give the concepts that labels index into."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Give the pictures of these indices.

        With rng the training view (random crop where there is room, random flip); without it the evaluation view
        (center crop, no flip), which depends on the indices alone.
        """
