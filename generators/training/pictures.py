"""The real pictures of each step: which ones, in which order, cropped and flipped how; their classes and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.pictures import BATCH
from gandissect.core.protocols import PictureSource, as_classed, as_paired, may_flip
from gandissect.core.sampling import make_rng

from .draws import Draws
from .settings import TrainingSettings


class _Inputs(Protocol):
    images: UInt8[Tensor, "batch 3 H W"]
    labels: Int64[Tensor, "batch H W"]


class _Pairs(Protocol):
    inputs: _Inputs


@dataclass(frozen=True, slots=True)
class RealBatch:
    """Real images of one turn, with their classes and their inputs where the source has any.

    Attributes:
        images: float32 ``[batch, 3, H, W]`` in [-1, 1].
        classes: int64 ``[batch]``, or None.
        inputs: float32 ``[batch, channel, H, W]``, or None: pictures in [-1, 1], or label maps as numbers of one
            channel, as `Translator.to_rows` takes them.
    """

    images: Float32[Tensor, "batch 3 H W"]
    classes: Int64[Tensor, " batch"] | None
    inputs: Float32[Tensor, "batch channel H W"] | None = None


class RealPictures:
    """The real pictures of a training run, by the number of the batch.

    Args:
        settings: Settings of the training.
        source: Pictures to learn from.
        rows: Rows of each batch that this process holds.
        device: Device that the images are returned on.

    Raises:
        ValueError: If the pictures have another size than the settings' resolution, or are fewer than a batch.
    """

    def __init__(self, settings: TrainingSettings, source: PictureSource, rows: slice, device: torch.device) -> None:
        _check_pictures(settings, source)
        self.settings, self.source, self.rows, self.device = settings, source, rows, device
        self._resident: list[Tensor] | None = None

    @property
    def class_frequencies(self) -> Float32[Tensor, " class"] | None:
        """Share of the pictures in each class; None where the source has no classes."""
        if (source := as_classed(self.source)) is None:
            return None
        counts = torch.bincount(source.class_indices, minlength=len(source.classes))
        return counts.float() / len(self.source)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that at least one picture is of."""
        if (source := as_classed(self.source)) is None:
            return ()
        return tuple(source.classes[index] for index in sorted(set(source.class_indices.tolist())))

    def load(self, number: int) -> RealBatch:
        """Return a batch; it depends on the seed and its number only."""
        order = self.choose(number)
        source = as_classed(self.source)
        classes = None if source is None else source.class_indices[order][self.rows].to(self.device)
        images, *inputs = self._read(order, number)
        return RealBatch(to_images(images), classes, to_images(inputs[0]) if inputs else None)

    def _read(self, order: list[int], number: int) -> list[Tensor]:
        """Return pictures and, where the source is of pairs, their inputs."""
        rng = make_rng(self.settings.seed, "crop", number)
        if not self.settings.resident:
            return [part[self.rows].to(self.device) for part in read_views(self.source, order, rng)]
        if self._resident is None:
            self._resident = self._read_all()
        parts = [part[order[self.rows]] for part in self._resident]
        if not may_flip(self.source):
            return parts
        flipped = (Draws(rng, self.settings.batch_size, self.rows).uniform(1, 1, 1) < 0.5).to(self.device)
        return [torch.where(flipped, part.flip(3), part) for part in parts]

    def _read_all(self) -> list[Tensor]:
        count = len(self.source)
        parts = [read_views(self.source, range(start, min(start + BATCH, count))) for start in range(0, count, BATCH)]
        return [torch.cat(same).to(self.device, memory_format=torch.channels_last) for same in zip(*parts, strict=True)]

    def choose(self, number: int) -> list[int]:
        """Return the indices of a batch's pictures; each epoch is its own permutation."""
        size, count = self.settings.batch_size, len(self.source)
        indices = range(number * size, (number + 1) * size)
        return [_shuffle(self.settings.seed, i // count, count)[i % count] for i in indices]


def read_views(source: PictureSource, indices: Sequence[int], rng: torch.Generator | None = None) -> list[Tensor]:
    """Return pictures of a source, ``[batch, 3, H, W]``, and where it is of pairs their inputs.

    Args:
        source: Source of pictures, or of pairs.
        indices: Indices of the pictures.
        rng: Random number generator of the training view; None returns the evaluation view.

    Returns:
        uint8 pictures, or points; inputs are uint8 pictures, or int16 label maps ``[batch, 1, H, W]``.
    """
    batch, paired = source.batch(indices, rng), as_paired(source)
    if paired is None:
        return [batch.images]
    inputs = cast(_Pairs, batch).inputs
    return [batch.images, inputs.labels[:, None].short() if paired.label_maps else inputs.images]


def to_images(pixels: Tensor) -> Float32[Tensor, "batch channel H W"]:
    """Return pixels, uint8 ``[batch, 3, H, W]``, as images in [-1, 1], channels last; others stay as they are."""
    images = from_uint8(pixels) if pixels.dtype == torch.uint8 else pixels.float()
    return images.contiguous(memory_format=torch.channels_last)


def _check_pictures(settings: TrainingSettings, source: PictureSource) -> None:
    if source.size != settings.resolution:
        raise ValueError(
            f"the pictures of {source.name!r} are {source.size} px; the generator makes {settings.resolution} px"
        )
    if len(source) < settings.batch_size:
        raise ValueError(
            f"{source.name!r} has {len(source)} pictures, fewer than a batch of {settings.batch_size}; "
            "use more pictures or a smaller batch_size (--batch-size)"
        )


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=make_rng(seed, "order", epoch), device="cpu").tolist()
