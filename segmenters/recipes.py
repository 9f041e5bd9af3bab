"""How the bundled segmenters were trained: settings and pictures, to be trained again or varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .augmentation import Augmentation
from .datasets import ImageSource
from .training import SegmenterSettings

CAMVID_AS_STREETS: Mapping[str, str | tuple[str, ...]] = {
    "building": ("building", "door", "window"),  # camvid does not tell them apart
    "car": "car",
    "pavement": "pavement",
    "road": "road",
    "sky": "sky",
    "tree": "vegetation",
}
"""What camvid's concepts are called in labelmefacade; the others become unlabelled."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a training needs.

    Args:
        settings: The settings.
        sources: What it learns from.
        held_out: What its snapshots are judged by.
    """

    settings: SegmenterSettings
    sources: tuple[ImageSource, ...]
    held_out: ImageSource


def streets(data: Path | str, num_steps: int = 5800, seed: int = 1) -> Recipe:
    """Return the recipe of ``unet-streets``.

    Args:
        data: A folder with ``labelmefacade`` and ``camvid`` as `Photos` reads them.
        num_steps: Training steps.
        seed: Of the training.

    Raises:
        FileNotFoundError: If the folder lacks them.
    """
    from .datasets.combining import concat

    held_out = labelmefacade(data, "val")
    learned = concat([labelmefacade(data, "train"), camvid(data, "train", held_out)])
    settings = SegmenterSettings(num_steps=num_steps, seed=seed, augmentation=Augmentation(color=0.4))
    return Recipe(settings, (learned,), held_out)


def labelmefacade(data: Path | str, split: str, size: int = 160) -> ImageSource:
    """Return a split of labelmefacade; its class ``various`` is left unlabelled."""
    from .datasets.photos import Photos

    return Photos(Path(data) / "labelmefacade", size, split, margin=1.0, unlabelled=("various",))


def camvid(data: Path | str, split: str, like: ImageSource, size: int = 160) -> ImageSource:
    """Return a split of camvid under the concepts of labelmefacade (``like``)."""
    from .datasets.combining import remap
    from .datasets.photos import Photos

    photos = Photos(Path(data) / "camvid", size, split, margin=1.0, unlabelled=("unlabelled",))
    return remap(photos, like.concepts, CAMVID_AS_STREETS)
