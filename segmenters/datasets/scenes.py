"""Rendered outdoor scenes with exact labels: ground truth without a download.

Picture i is a pure function of (seed, i), and shows the same scene at every size. Colors are anti-aliased; a label is
the topmost object at the pixel's center, so every pixel has exactly one concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import index as as_integer
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from gandissect.core.sampling import check_num_samples, check_seed
from gandissect.core.types import Concept

from ..scenes.attributes import Attributes, describe_scene
from ..scenes.captions import Caption, write_caption
from ..scenes.hours import HOURS, group_of
from ..scenes.layout import PLACES, Setting
from ..scenes.objects import CONCEPTS
from ..scenes.rendering import check_scene_size, draw_place, draw_scene_hour, lay_out_picture, render
from .source import LabeledPictures

RESIDENT_BYTES = 2 << 30
"""Default memory limit of a source's rendered pictures; pictures beyond it are rendered for every batch."""


class Scenes:
    """Source of rendered scenes, which stay in memory as uint8 once rendered; their classes are the places.

    A mood, an hour, a season or a place of its own leaves all else as it is: sources that differ only in the mood, the
    hour or the season show the same things at the same pixels. If the hours are drawn, the classes are their five
    groups.

    Args:
        size: Height and width, 16 to 1024 pixels.
        num_images: Number of pictures, at least 1.
        seed: Seed of the scenes, any integer. Sources that differ only in size show the same scenes.
        resident_bytes: Memory limit of rendered pictures (4 size^2 bytes each); pictures beyond it are rendered for
            every batch.
        mood: Light and weather of every scene: noon, morning, golden, sunset, overcast, mist or dusk; None draws it.
        season: Season of every scene: summer, spring, autumn or winter; None draws one of the first three.
        place: Place of every scene: street, lane, country, lake, coast, city or wild; None draws it.
        hour: Hour of the day of every scene, in place of its mood: from 0, morning, over noon, golden light and sunset
            to 1, dusk; "drawn" draws it for each scene, uniformly and independently of everything else.

    Raises:
        KeyError: If a name is unknown; the message suggests the nearest one and lists all of them.
        ValueError: If a number is out of range, or both a mood and an hour are given.

    Examples:
        >>> from segmenters.datasets import Scenes
        >>> scenes = Scenes(64, num_images=100)
        >>> scenes
        Scenes(64, num_images=100, seed=0)
        >>> batch = scenes.batch([0, 1])
        >>> batch.images.shape, batch.labels.shape
        (torch.Size([2, 3, 64, 64]), torch.Size([2, 64, 64]))
        >>> scenes.concepts[int(batch.labels[0, 0, 0])].name
        'sky'
    """

    concepts: tuple[Concept, ...] = CONCEPTS

    def __init__(
        self,
        size: int,
        num_images: int,
        seed: int = 0,
        resident_bytes: int = RESIDENT_BYTES,
        *,
        mood: str | None = None,
        season: str | None = None,
        place: str | None = None,
        hour: float | Literal["drawn"] | None = None,
    ) -> None:
        check_scene_size(size)
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1; got {num_images}")
        check_num_samples(num_images)
        if resident_bytes < 0:
            raise ValueError(f"resident_bytes must be at least 0; got {resident_bytes}")
        self.size, self.seed, self._num_images = size, check_seed(seed), num_images
        self._setting = Setting(mood, season, place, hour)
        self.classes: tuple[str, ...] = HOURS if hour == "drawn" else tuple(PLACES)
        kept = min(num_images, resident_bytes // (4 * size * size))
        self._kept = np.empty((kept, 4, size, size), np.uint8)
        self._rendered = np.zeros(kept, bool)
        self._attributes: dict[int, Attributes] = {}

    def __repr__(self) -> str:
        names = "".join(f", {kind}={value!r}" for kind, value in self._setting.given.items())
        return f"Scenes({self.size}, num_images={len(self)}, seed={self.seed}{names})"

    def __len__(self) -> int:
        return self._num_images

    @property
    def name(self) -> str:
        """Name for reports: ``scenes``, with the names given after it, such as ``scenes@dusk@winter``."""
        names = ("hours" if value == "drawn" else str(value) for value in self._setting.given.values())
        return "@".join(["scenes", *names])

    @cached_property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every scene's class, int64, drawn without rendering the scenes."""
        if self._setting.hour == "drawn":
            return torch.tensor([group_of(hour) for hour in self.hours.tolist()], dtype=torch.int64, device="cpu")
        places = (self._setting.place or draw_place(self.seed, index) for index in range(len(self)))
        return torch.tensor([self.classes.index(place) for place in places], dtype=torch.int64, device="cpu")

    @cached_property
    def hours(self) -> Float64[Tensor, " picture"]:
        """Hour of every scene, float64 in [0, 1].

        Raises:
            ValueError: If the scenes have moods instead of hours.
        """
        if (hour := self._setting.hour) is None:
            raise ValueError(f'the scenes must have hours (hour="drawn", or scenes@hours); got {self.name}')
        hours = [draw_scene_hour(self.seed, i) if hour == "drawn" else hour for i in range(len(self))]
        return torch.tensor(hours, dtype=torch.float64, device="cpu")

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return a batch of pictures and labels.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            rng: Random number generator that mirrors each picture with probability 1/2; None mirrors none.

        Raises:
            ValueError: If an index is out of range, or there are no indices.
            TypeError: If an index is not an integer.
        """
        if len(indices) == 0:
            raise ValueError("a batch needs at least one picture; got no indices")
        planes = torch.from_numpy(np.stack([self._planes(as_integer(index)) for index in indices]))
        if rng is not None:
            mirrored = torch.rand(len(planes), generator=rng, dtype=torch.float32, device="cpu") < 0.5
            planes[mirrored] = planes[mirrored].flip(-1)
        return LabeledPictures(planes[:, :3].contiguous(), planes[:, 3].long())

    def attributes(self, index: int) -> Attributes:
        """Return what a picture shows.

        Args:
            index: Index of the picture, from 0 to ``len(self) - 1``.

        Raises:
            ValueError: If the index is out of range.
        """
        self._check_index(index)
        if index not in self._attributes:
            self._attributes[index] = describe_scene(lay_out_picture(self.seed, index, self._setting))
        return self._attributes[index]

    def caption(self, index: int, number: int = 0) -> Caption:
        """Return a caption of a picture, all of which is true.

        Args:
            index: Index of the picture, from 0 to ``len(self) - 1``.
            number: Number of the caption, at least 0. Which attributes a caption states, and their wordings, depend on
                the seed and both numbers only.

        Raises:
            ValueError: If the index or the number is out of range.
        """
        if number < 0:
            raise ValueError(f"number must be at least 0; got {number}")
        return write_caption(self.attributes(index), self.seed, index, number)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self._num_images:
            raise ValueError(f"indices must be 0 to {self._num_images - 1}; got {index}")

    def _planes(self, index: int) -> UInt8[np.ndarray, "4 size size"]:
        """Return the red, green, blue and label planes of a picture, uint8 ``[4, size, size]``."""
        self._check_index(index)
        if index < len(self._kept) and self._rendered[index]:
            planes: UInt8[np.ndarray, "4 size size"] = self._kept[index]
            return planes
        image, labels = render(self.seed, index, self.size, self._setting)
        planes = np.concatenate([image.transpose(2, 0, 1), labels[None]])
        if index < len(self._kept):
            self._kept[index] = planes
            self._rendered[index] = True
        return planes
