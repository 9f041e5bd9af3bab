"""The real pictures of each step: which ones, in which order, cropped and flipped how, and their classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.pictures import load_pictures
from gandissect.core.protocols import PictureSource, as_classed, may_flip
from gandissect.core.sampling import make_rng

from .draws import Draws
from .settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class RealBatch:
    """Real images of one turn, with their classes where the source has classes.

    Attributes:
        images: float32 ``[batch, 3, H, W]`` in [-1, 1].
        classes: int64 ``[batch]``, or None.
    """

    images: Float32[Tensor, "batch 3 H W"]
    classes: Int64[Tensor, " batch"] | None


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
        self._resident: Tensor | None = None

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
        return RealBatch(to_images(self._read(order, number)), classes)

    def _read(self, order: list[int], number: int) -> Tensor:
        rng = make_rng(self.settings.seed, "crop", number)
        if not self.settings.resident:
            return self.source.batch(order, rng).images[self.rows].to(self.device)
        if self._resident is None:
            self._resident = load_pictures(self.source, len(self.source)).to(
                self.device, memory_format=torch.channels_last
            )
        images = self._resident[order[self.rows]]
        if not may_flip(self.source):
            return images
        flipped = Draws(rng, self.settings.batch_size, self.rows).uniform(1, 1, 1) < 0.5
        return torch.where(flipped.to(self.device), images.flip(3), images)

    def choose(self, number: int) -> list[int]:
        """Return the indices of a batch's pictures; each epoch is its own permutation."""
        size, count = self.settings.batch_size, len(self.source)
        indices = range(number * size, (number + 1) * size)
        return [_shuffle(self.settings.seed, i // count, count)[i % count] for i in indices]


def to_images(pixels: Tensor) -> Float32[Tensor, "batch 3 H W"]:
    """Return pixels, uint8 ``[batch, 3, H, W]``, as images in [-1, 1], channels last; images stay as they are."""
    images = pixels if pixels.is_floating_point() else from_uint8(pixels)
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
