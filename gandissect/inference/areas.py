"""Count how many pixels of each generated image a segmenter assigns to each concept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..core.protocols import Generator, Segmenter
from .batches import LayerSampler
from .checks import check_finite, check_images, check_labels


@dataclass(frozen=True, slots=True)
class ConceptAreas:
    """A counter of each concept's pixels in a generator's images.

    Args:
        segmenter: Segmenter that labels the images.
        image_size: Height and width of the images.
        label_shape: Channels, rows and columns of a label map.
    """

    segmenter: Segmenter
    image_size: tuple[int, int]
    label_shape: tuple[int, int, int]

    @staticmethod
    def of(generator: Generator, segmenter: Segmenter) -> ConceptAreas:
        """Return the counter for a generator and a segmenter.

        Raises:
            ValueError: If the segmenter's output for a generated image is not a label map.
        """
        shape = LayerSampler(generator, (), seed=0, batch_size=2, progress=False).label_shape(segmenter)
        return ConceptAreas(segmenter, generator.image_size, shape)

    @property
    def num_concepts(self) -> int:
        """Number of concepts of the segmenter."""
        return len(self.segmenter.concepts)

    @property
    def num_pixels(self) -> int:
        """Number of pixels of a label map."""
        return math.prod(self.label_shape[1:])

    def count(self, images: Float[Tensor, "batch 3 H W"], samples: range) -> Int64[Tensor, "batch concept"]:
        """Count the pixels of each image that belong to each concept, on CPU.

        Args:
            images: Images of some samples; values outside [-1, 1], which edits may cause, are clamped.
            samples: Indices of the samples, for messages.

        Raises:
            ValueError: If images or labels violate the protocols.
        """
        check_images(images, len(samples), self.image_size)
        check_finite(images, samples)
        labels = self.segmenter(images.clamp(-1, 1))
        labels = check_labels(labels, (len(samples), *self.label_shape), self.num_concepts)
        return concept_areas(labels, self.num_concepts)


def concept_areas(labels: Int64[Tensor, "batch ..."], num_concepts: int) -> Int64[Tensor, "batch concept"]:
    """Count the pixels of each image that belong to each concept.

    Args:
        labels: int64 ``[batch, channel, H, W]`` or ``[batch, H, W]``, -1 where a pixel has no concept.
        num_concepts: Number of concepts; all labels are less.

    Returns:
        int64 ``[batch, concept]``, on CPU.
    """
    width = num_concepts + 1  # the first column counts unlabeled pixels
    cell = torch.arange(len(labels), device=labels.device)[:, None] * width + labels.flatten(1) + 1
    return torch.bincount(cell.flatten(), minlength=len(labels) * width).view(-1, width)[:, 1:].cpu()
