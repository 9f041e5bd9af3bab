"""What is dissected, and how; parts of one dissection have it in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...core.types import Concept, LayerInfo, check_concepts
from ...inference.upsampling import check_padding
from ...stats.quantiles import rank_of
from .groups import num_groups
from .numba_counts import PARTNER
from .pilot import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """What is dissected, and how; parts of one dissection have it in common.

    Args:
        generator: The generator's name.
        generator_fingerprint: SHA-256 of its architecture and weights.
        image_size: Height and width of its images.
        segmenter: The segmenter's name.
        segmenter_fingerprint: SHA-256 of its architecture and weights.
        concepts: What it names.
        layers: Shapes of the layers, by name, in the generator's order.
        label_size: Rows and columns of a label map.
        label_channels: How many concepts a pixel can belong to.
        seed: Of the latent vectors.
        num_samples: Latent vectors, from index 0.
        quantile: Share of all pixels on which a unit is on, at most.
        batch_size: Samples at once, even.
        top_images: Samples to keep of each unit.
        padding: What is beyond a map's border.
        curves: Count pixels above many levels too.
    """

    generator: str
    generator_fingerprint: str
    image_size: tuple[int, int]
    segmenter: str
    segmenter_fingerprint: str
    concepts: tuple[Concept, ...]
    layers: Mapping[str, LayerInfo]
    label_size: tuple[int, int]
    label_channels: int
    seed: int
    num_samples: int
    quantile: float
    batch_size: int
    top_images: int
    padding: str
    curves: bool

    def __post_init__(self) -> None:
        if not self.layers or not 0 < len(self.concepts) < PARTNER:
            raise ValueError(f"a dissection has layers, and 1 to {PARTNER - 1} concepts; got {len(self.concepts)}")
        if (
            min(self.num_samples, self.batch_size, self.label_channels, *self.label_size, *self.image_size) < 1
            or self.top_images < 0
            or self.batch_size % 2
        ):
            raise ValueError(f"counts are 1 or more, top_images 0 or more, batch_size even; got {self}")
        check_padding(self.padding)
        check_concepts(self.concepts)
        rank_of(self.quantile, 1)

    @property
    def label_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a label map."""
        return (self.label_channels, *self.label_size)

    @property
    def target(self) -> Target:
        """Which order statistic a threshold is."""
        return Target(self.quantile, self.num_samples, self.label_size)

    @property
    def num_groups(self) -> int:
        """Groups of samples."""
        return num_groups(self.num_samples)

    @property
    def count_type(self) -> torch.dtype:
        """What the pixels of a group are counted in: int32 if they are certain to fit."""
        samples = 2 * (self.num_samples // 2 // self.num_groups + 1)
        most = samples * self.label_channels * self.label_size[0] * self.label_size[1]
        return torch.int32 if most < 2**31 else torch.int64

    def part(self, index: int, count: int) -> range:
        """Return the samples of one of several parts, whole batches each.

        Args:
            index: Which part, from 0.
            count: Parts, 1 or more.
        """
        batches = -(-self.num_samples // self.batch_size)
        start, stop = (batches * each // count * self.batch_size for each in (index, index + 1))
        return range(min(start, self.num_samples), min(stop, self.num_samples))
