"""The settings and the plan of a dissection, which all of its shards share."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from ...core.drawn import Drawn
from ...core.lookup import check_choice
from ...core.network_id import NetworkId
from ...core.sampling import check_num_samples, check_seed
from ...core.types import Concept, LayerInfo, check_concepts
from ...inference.labels import LabelSource
from ...inference.upsampling import Padding
from ...stats.quantiles import rank_of
from .groups import num_groups
from .numba_counts import PARTNER
from .pilot import Target


@dataclass(frozen=True, slots=True)
class DissectSettings:
    """Settings of a dissection.

    Args:
        num_samples: Number of samples, at least 1; their indices are 0 to ``num_samples - 1``.
        seed: Seed of the latent vectors.
        quantile: Maximum share of all pixels where a unit is on, above 0 and below 1.
        batch_size: Samples per batch, at least 1; an odd number is rounded up, since samples are paired.
        top_images: Number of top images to keep for each unit, at least 0.
        padding: Values beyond the border of a layer's grid: ``"edge"`` repeats the border, ``"zeros"`` follows the
            convention of davidbau/dissect.
        curves: Also count pixels at many thresholds.
        labels: Source of the label maps: ``"output"``, the segmented images, or ``"input"``, the true labels of the
            pictures that a translator is on.

    Raises:
        KeyError: If ``padding`` or ``labels`` is unknown.
        ValueError: If a number is out of range.
    """

    num_samples: int = 1_000
    seed: int = 0
    quantile: float = 0.01
    batch_size: int = 32
    top_images: int = 5
    padding: Padding = "edge"
    curves: bool = False
    labels: LabelSource = field(default="output", metadata={"is_optional": True})

    SAVED_AS: ClassVar[Mapping[str, str]] = {
        name: name
        for name in ("num_samples", "seed", "quantile", "batch_size", "top_images", "padding", "curves", "labels")
    }

    def __post_init__(self) -> None:
        check_choice(self.padding, Padding, "padding")
        check_choice(self.labels, LabelSource, "labels")
        rank_of(self.quantile, 1)
        plain = {
            "num_samples": check_whole_number("num_samples", self.num_samples, 1),
            "seed": check_seed(self.seed),
            "quantile": float(self.quantile),
            "batch_size": check_whole_number("batch_size", self.batch_size, 1),
            "top_images": check_whole_number("top_images", self.top_images, 0),
            "curves": bool(self.curves),
        }
        check_num_samples(self.num_samples)
        for name, value in plain.items():
            object.__setattr__(self, name, value)


def check_whole_number(name: str, value: int, least: int) -> int:
    """Return an integer as a Python int.

    Args:
        name: Name of the number, for the message.
        value: Integer of any type.
        least: Minimum value.

    Raises:
        ValueError: If ``value`` is not an integer or is below ``least``.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < least:
        raise ValueError(f"{name} must be an integer of at least {least}; got {value!r}")
    return operator.index(value)


@dataclass(frozen=True, slots=True)
class DissectionPlan:
    """The networks, layers and settings of a dissection, which all of its shards share.

    Args:
        generator: Name and fingerprint of the generator.
        image_size: Height and width of the generator's images.
        segmenter: Name and fingerprint of the segmenter.
        concepts: Concepts of the segmenter.
        layers: Shapes of the layers, by name, in the generator's order.
        label_size: Height and width of a label map.
        label_channels: Number of concepts that a pixel can belong to.
        settings: Settings of the dissection.
        drawn: Classes, pictures or captions that the samples are drawn from.
    """

    generator: NetworkId
    image_size: tuple[int, int]
    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    layers: Mapping[str, LayerInfo]
    label_size: tuple[int, int]
    label_channels: int
    settings: DissectSettings
    drawn: Drawn = field(default_factory=Drawn)

    def __post_init__(self) -> None:
        if not self.layers or not 0 < len(self.concepts) < PARTNER:
            raise ValueError(
                f"a dissection must have at least one layer and 1 to {PARTNER - 1} concepts; got {len(self.layers)} "
                f"layers and {len(self.concepts)} concepts"
            )
        if min(self.label_channels, *self.label_size, *self.image_size) < 1 or self.settings.batch_size % 2:
            raise ValueError(f"sizes and channels must be at least 1, and batch_size even; got {self}")
        check_concepts(self.concepts)

    @property
    def label_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a label map."""
        return (self.label_channels, *self.label_size)

    @property
    def target(self) -> Target:
        """Order statistic that a threshold is."""
        return Target(self.settings.quantile, self.settings.num_samples, self.label_size)

    @property
    def num_groups(self) -> int:
        """Number of groups of samples."""
        return num_groups(self.settings.num_samples)

    @property
    def count_type(self) -> torch.dtype:
        """Dtype of the counts: int32 if the pixels of a group are certain to fit, otherwise int64."""
        samples = 2 * (self.settings.num_samples // 2 // self.num_groups + 1)
        most = samples * self.label_channels * self.label_size[0] * self.label_size[1]
        return torch.int32 if most < 2**31 else torch.int64

    def part(self, index: int, count: int) -> range:
        """Return the samples of one shard, in whole batches.

        Args:
            index: Index of the shard, from 0.
            count: Number of shards, at least 1.
        """
        num_samples, batch_size = self.settings.num_samples, self.settings.batch_size
        num_batches = -(-num_samples // batch_size)
        start, stop = (num_batches * edge // count * batch_size for edge in (index, index + 1))
        return range(min(start, num_samples), min(stop, num_samples))
