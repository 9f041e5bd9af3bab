"""What is dissected, and how; parts of one dissection have it in common."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.lookup import check_choice
from ...core.network_id import NetworkId
from ...core.sampling import check_num_samples, check_seed
from ...core.types import Concept, LayerInfo, check_concepts
from ...inference.upsampling import Padding
from ...stats.quantiles import rank_of
from .groups import num_groups
from .numba_counts import PARTNER
from .pilot import Target


@dataclass(frozen=True, slots=True)
class DissectSettings:
    """How a dissection is done.

    Args:
        num_samples: Number of latent vectors, 1 or more, those of index 0 to ``num_samples - 1``.
        seed: Seed of the latent vectors.
        quantile: Share of all pixels on which a unit is on, at most; above 0 and below 1.
        batch_size: Samples that go through the networks at once, 1 or more; an odd number is rounded up, because
            samples are compared in pairs.
        top_images: Images to keep for each unit, 0 or more.
        padding: What is beyond the border of a layer's grid: ``"edge"``, the value at the edge, or ``"zeros"``, the
            convention of davidbau/dissect.
        curves: Whether pixels are counted at many thresholds too.

    Raises:
        KeyError: If there is no such padding.
        ValueError: If a number is out of range.
    """

    num_samples: int = 1_000
    seed: int = 0
    quantile: float = 0.01
    batch_size: int = 32
    top_images: int = 5
    padding: Padding = "edge"
    curves: bool = False

    SAVED_AS: ClassVar[Mapping[str, str]] = {
        name: name for name in ("num_samples", "seed", "quantile", "batch_size", "top_images", "padding", "curves")
    }

    def __post_init__(self) -> None:
        check_choice(self.padding, Padding, "padding")
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
    """Return a number as Python's own.

    Raises:
        ValueError: If it is no whole number, or too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < least:
        raise ValueError(f"{name} must be a whole number, {least} or more; got {value!r}")
    return operator.index(value)


@dataclass(frozen=True, slots=True)
class DissectionPlan:
    """What is dissected, and how; parts of one dissection have it in common.

    Args:
        generator: The generator's name and fingerprint.
        image_size: Height and width of its images.
        segmenter: The segmenter's name and fingerprint.
        concepts: What it names.
        layers: Shapes of the layers, by name, in the generator's order.
        label_size: Rows and columns of a label map.
        label_channels: How many concepts a pixel can belong to.
        settings: How the dissection is done.
    """

    generator: NetworkId
    image_size: tuple[int, int]
    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    layers: Mapping[str, LayerInfo]
    label_size: tuple[int, int]
    label_channels: int
    settings: DissectSettings

    def __post_init__(self) -> None:
        if not self.layers or not 0 < len(self.concepts) < PARTNER:
            raise ValueError(f"a dissection has layers, and 1 to {PARTNER - 1} concepts; got {len(self.concepts)}")
        if min(self.label_channels, *self.label_size, *self.image_size) < 1 or self.settings.batch_size % 2:
            raise ValueError(f"sizes and channels must be 1 or more, and batch_size even; got {self}")
        check_concepts(self.concepts)

    @property
    def label_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a label map."""
        return (self.label_channels, *self.label_size)

    @property
    def target(self) -> Target:
        """Which order statistic a threshold is."""
        return Target(self.settings.quantile, self.settings.num_samples, self.label_size)

    @property
    def num_groups(self) -> int:
        """Groups of samples."""
        return num_groups(self.settings.num_samples)

    @property
    def count_type(self) -> torch.dtype:
        """What the pixels of a group are counted in: int32 if they are certain to fit."""
        samples = 2 * (self.settings.num_samples // 2 // self.num_groups + 1)
        most = samples * self.label_channels * self.label_size[0] * self.label_size[1]
        return torch.int32 if most < 2**31 else torch.int64

    def part(self, index: int, count: int) -> range:
        """Return the samples of one of several parts, whole batches each.

        Args:
            index: Which part, from 0.
            count: Parts, 1 or more.
        """
        num_samples, batch_size = self.settings.num_samples, self.settings.batch_size
        num_batches = -(-num_samples // batch_size)
        start, stop = (num_batches * edge // count * batch_size for edge in (index, index + 1))
        return range(min(start, num_samples), min(stop, num_samples))
