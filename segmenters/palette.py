"""Label pixels by the nearest color, which is exact for images that paint each concept in its own color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gandissect.core.types import UNLABELED, Concept, check_concepts
from gandissect.storage.files import hash_tensors

from .describe import describe_segmenter
from .images import check_images

BASIC_CONCEPTS = tuple(
    Concept(index, name, color)
    for index, (name, color) in enumerate(
        {
            "black": (0, 0, 0),
            "red": (255, 0, 0),
            "green": (0, 255, 0),
            "blue": (0, 0, 255),
            "yellow": (255, 255, 0),
            "magenta": (255, 0, 255),
            "cyan": (0, 255, 255),
            "white": (255, 255, 255),
        }.items()
    )
)
"""Concepts of the eight corners of the color cube."""


class PaletteSegmenter:
    """Label each pixel with the concept of the nearest color.

    ``label(p) = argmin_c |rgb(p) - color_c|^2`` with ``rgb = 127.5 (x + 1)``; ties go to the first concept.

    Args:
        concepts: Concepts, numbered from 0, with distinct colors.
        max_distance: Largest distance (Euclidean, in steps of 1/255) at which a pixel is labeled; None labels every
            pixel.
        name: Name of the segmenter.

    Raises:
        ValueError: If there is no concept, indices are not consecutive from 0, or colors are not distinct.

    Examples:
        >>> import torch
        >>> from gandissect import Concept
        >>> from segmenters import PaletteSegmenter
        >>> S = PaletteSegmenter([Concept(0, "sky", (90, 140, 250)), Concept(1, "grass", (60, 160, 60))])
        >>> S(torch.ones(1, 3, 2, 2) * torch.tensor([-0.5, 0.2, -0.5]).view(3, 1, 1)).unique()
        tensor([1])
    """

    def __init__(self, concepts: Sequence[Concept], max_distance: float | None = None, name: str = "palette") -> None:
        check_concepts(concepts)
        if len({concept.color for concept in concepts}) < len(concepts):
            raise ValueError("concepts must have distinct colors; two share one")
        if max_distance is not None and not max_distance >= 0:
            raise ValueError(f"max_distance must be at least 0, or None; got {max_distance}")
        self.name, self.concepts, self.max_distance = name, tuple(concepts), max_distance
        settings = {"concepts": [asdict(concept) for concept in concepts], "max_distance": max_distance}
        self.fingerprint = hash_tensors({}, {"palette": settings})

    def __repr__(self) -> str:
        return describe_segmenter(self)

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch H W"]:
        """Label images.

        Args:
            images: Floating-point images ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            Labels, int64 ``[batch, H, W]`` on the images' device; -1 where no color is near enough.
        """
        check_images(images)
        rgb = (images.detach().cpu().double() + 1) * 127.5  # not every device has float64
        labels = torch.full((images.shape[0], *images.shape[2:]), UNLABELED, dtype=torch.int64, device="cpu")
        nearest = torch.full_like(labels, torch.inf, dtype=torch.float64)
        if self.max_distance is not None:
            nearest.fill_(self.max_distance**2).nextafter_(nearest.new_tensor(torch.inf))  # includes the limit itself
        for concept in self.concepts:
            distance = (rgb - rgb.new_tensor(concept.color).view(3, 1, 1)).square().sum(1)
            labels = torch.where(distance < nearest, concept.index, labels)
            nearest = torch.minimum(distance, nearest)
        return labels.to(images.device)
