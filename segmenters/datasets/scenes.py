"""Rendered outdoor scenes with exact labels: ground truth without any download.

Picture i of a seed is a pure function of (seed, i), and the same scene at every size. A color is anti-aliased; a
label is the topmost thing at the pixel's center, so every pixel has exactly one concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_integer

import numpy as np
import torch
from jaxtyping import UInt8

from gandissect.core.sampling import check_num_samples, check_seed
from gandissect.core.types import Concept

from ..scenes.objects import CONCEPTS
from ..scenes.rendering import check_scene_size, render
from .source import LabeledPictures

RESIDENT_BYTES = 2 << 30
"""How much memory the pictures of one source may take up; those beyond it are rendered again each time."""


class Scenes:
    """Give rendered scenes by index; a picture stays in memory as uint8 once it has been rendered.

    Args:
        size: Height and width, 16 to 1024 pixels.
        num_images: How many pictures, 1 or more.
        seed: Which pictures; any integer. Sources that differ in size only show the same scenes.
        resident_bytes: Memory for rendered pictures (4 size^2 bytes each); those beyond it are rendered each time.

    Raises:
        ValueError: If a number is out of range.
    """

    name = "scenes"
    concepts: tuple[Concept, ...] = CONCEPTS

    def __init__(self, size: int, num_images: int, seed: int = 0, resident_bytes: int = RESIDENT_BYTES) -> None:
        check_scene_size(size)
        if num_images < 1:
            raise ValueError(f"a source holds at least one picture; got num_images={num_images}")
        check_num_samples(num_images)
        if resident_bytes < 0:
            raise ValueError(f"memory for pictures is 0 bytes or more; got resident_bytes={resident_bytes}")
        self.size, self.seed, self._num_images = size, check_seed(seed), num_images
        kept = min(num_images, resident_bytes // (4 * size * size))
        self._kept = np.empty((kept, 4, size, size), np.uint8)
        self._rendered = np.zeros(kept, bool)

    def __len__(self) -> int:
        return self._num_images

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures and labels of some indices; with rng each is mirrored with probability one half.

        Raises ValueError for no index or one outside 0 to len - 1, TypeError for one that is no integer.
        """
        if len(indices) == 0:
            raise ValueError("a batch holds at least one picture; got no indices")
        planes = torch.from_numpy(np.stack([self._planes(as_integer(index)) for index in indices]))
        if rng is not None:
            mirrored = torch.rand(len(planes), generator=rng, dtype=torch.float32, device="cpu") < 0.5
            planes[mirrored] = planes[mirrored].flip(-1)
        return LabeledPictures(planes[:, :3].contiguous(), planes[:, 3].long())

    def _planes(self, index: int) -> UInt8[np.ndarray, "4 size size"]:
        """Return red, green, blue and label of one picture, uint8 [4, size, size]."""
        if not 0 <= index < self._num_images:
            raise ValueError(f"this source holds pictures 0 to {self._num_images - 1}; got index {index}")
        if index < len(self._kept) and self._rendered[index]:
            planes: UInt8[np.ndarray, "4 size size"] = self._kept[index]
            return planes
        image, labels = render(self.seed, index, self.size)
        planes = np.concatenate([image.transpose(2, 0, 1), labels[None]])
        if index < len(self._kept):
            self._kept[index] = planes
            self._rendered[index] = True
        return planes
