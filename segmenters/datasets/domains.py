"""Domains: sources whose pictures are all of one class; and pictures of edges and of label maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from gandissect.core.protocols import may_flip
from gandissect.core.types import UNLABELED, Concept

from .combining import require_labels
from .source import ImageSource, LabeledPictures, describe_source

LUMA = (299, 587, 114)
"""Weights of red, green and blue in gray, in thousandths (ITU-R BT.601)."""


def find_edges(pixels: UInt8[Tensor, "batch 3 H W"]) -> UInt8[Tensor, "batch 3 H W"]:
    """Return the edges of pictures: light outlines around what is lighter than its surroundings, on black.

    A pixel's edge is how much lighter the lightest pixel of its 3 x 3 neighborhood is, in gray: a white digit on black
    becomes the outline of one pixel around it.

    Args:
        pixels: RGB pixels, uint8 ``[batch, 3, H, W]``.

    Returns:
        uint8 ``[batch, 3, H, W]``, three equal channels.

    Source: Rivest et al. 1993, J. Electronic Imaging 2(4) (external morphological gradient).
    """
    weights = torch.tensor(LUMA, dtype=torch.int32, device=pixels.device)[:, None, None]
    gray = ((pixels.int() * weights).sum(1, keepdim=True) + 500) // 1000
    lightest = functional.max_pool2d(gray.float(), 3, 1, 1).int()
    return (lightest - gray).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


class Edges:
    """Edges of the pictures of a source, without labels; see `find_edges`.

    Args:
        source: Source of the pictures.
    """

    concepts: tuple[Concept, ...] = ()

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self.name, self.size, self.may_flip = f"edges:{source.name}", source.size, may_flip(source)

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the edges of pictures, by index; ``rng`` crops and flips the pictures."""
        return LabeledPictures(find_edges(self._source.batch(indices, rng).images), None)


class LabelMaps:
    """Label maps of a source as pictures, each concept in its color and unlabeled pixels in black, with the labels.

    Args:
        source: Source of labeled pictures.

    Raises:
        ValueError: If the source has no labels.
    """

    def __init__(self, source: ImageSource) -> None:
        if not source.concepts:
            raise ValueError(f"label maps must be of labeled pictures; {source.name} has no labels")
        self._source, self.concepts = source, source.concepts
        self.name, self.size, self.may_flip = f"labels:{source.name}", source.size, may_flip(source)
        colors = [concept.color for concept in source.concepts]
        self._colors = torch.tensor([*colors, (0, 0, 0)], dtype=torch.uint8, device="cpu")

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return label maps, by index; ``rng`` crops and flips them."""
        labels = require_labels(self._source, self._source.batch(indices, rng))
        known = labels.where(labels < len(self.concepts), UNLABELED)
        return LabeledPictures(self._colors[known].permute(0, 3, 1, 2).contiguous(), labels)


class Domain:
    """A source all of whose pictures are of one class, without labels.

    Args:
        source: Source of the pictures.
        classes: Names of the classes of all domains.
        name: Name of this domain, one of ``classes``.
    """

    concepts: tuple[Concept, ...] = ()

    def __init__(self, source: ImageSource, classes: Sequence[str], name: str) -> None:
        self._source, self.classes = source, tuple(classes)
        self.name, self.size, self.may_flip = f"{name}={source.name}", source.size, may_flip(source)
        index = self.classes.index(name)
        self.class_indices: Int64[Tensor, " picture"] = torch.full(
            (len(source),), index, dtype=torch.int64, device="cpu"
        )

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return the source's pictures, without labels."""
        return LabeledPictures(self._source.batch(indices, rng).images, None)
