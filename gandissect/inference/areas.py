"""Generated images as a segmenter sees them: how many pixels of each belong to each concept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from ..core.protocols import Generator, Segmenter
from ..core.sampling import blocks
from .batches import Source, check_finite, check_images, checked_labels, concept_areas


@dataclass(frozen=True, slots=True)
class Viewer:
    """Counts the pixels of each concept in a generator's images.

    Args:
        segmenter: Labels them.
        image_size: Their height and width.
        label_shape: Channels, rows and columns of a label map.
    """

    segmenter: Segmenter
    image_size: tuple[int, int]
    label_shape: tuple[int, int, int]

    @staticmethod
    def of(generator: Generator, segmenter: Segmenter) -> Viewer:
        """Return the viewer of a generator's images.

        Raises:
            ValueError: If the segmenter does not give labels of its images.
        """
        shape = Source(generator, (), seed=0, batch_size=2, progress=False).label_shape(segmenter)
        return Viewer(segmenter, generator.image_size, shape)

    @property
    def num_pixels(self) -> int:
        """Of a label map."""
        return math.prod(self.label_shape[1:])

    def areas(self, images: Tensor, block: range) -> Tensor:
        """Return how many pixels of each image belong to each concept, int64 ``[batch, concept]`` on CPU.

        Raises:
            ValueError: If images or labels are not what the protocols promise.
        """
        check_images(images, len(block), self.image_size)
        check_finite(images, block)  # and no more: edits may lead far
        num_concepts = len(self.segmenter.concepts)
        labels = checked_labels(self.segmenter(images.clamp(-1, 1)), (len(block), *self.label_shape), num_concepts)
        return concept_areas(labels, num_concepts)


def samples(
    generator: Generator, num_samples: int, seed: int, batch_size: int, title: str, progress: bool, start: int = 0
) -> Iterator[tuple[range, Tensor]]:
    """Yield blocks of samples, their indices and latent vectors on the generator's device, with a progress bar.

    Raises:
        ValueError: If there are fewer than 2, or none at once.
    """
    if num_samples < 2 or batch_size < 1:
        raise ValueError(f"need 2 samples and 1 at once or more; got {num_samples} and {batch_size}")
    with tqdm(total=num_samples, desc=title, unit="img", disable=None if progress else True) as bar:
        for block in blocks(num_samples, batch_size, start):
            yield block, generator.sample_z(len(block), seed, block.start).to(generator.device)
            bar.update(len(block))
