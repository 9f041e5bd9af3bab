"""What a source of labeled pictures answers: how many there are, and what some of them look like.

The trainings of generators and of segmenters know nothing else about where their pictures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from gandissect.core.types import Concept


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold some pictures and, where the source has them, their labels.

    images: uint8 [batch, 3, S, S], red green blue.
    labels: int64 [batch, S, S], index of the concept or UNLABELLED (-1); None where the source has no labels.
    """

    images: torch.Tensor
    labels: torch.Tensor | None


class ImageSource(Protocol):
    """Give square pictures of one size by index; the concepts are empty where there are no labels."""

    @property
    def name(self) -> str:
        """Name the source, for cards and reports."""

    @property
    def size(self) -> int:
        """Give the height and width of every picture in pixels."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Give the concepts that labels index into."""

    def __len__(self) -> int:
        """Count the pictures."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> Batch:
        """Give the pictures of these indices.

        With rng the training view (random crop where there is room, random flip); without it the evaluation view
        (centre crop, no flip), which depends on the indices alone.
        """
