"""How the bundled segmenters were trained: settings and pictures, to be trained again or varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .augmentation import Augmentation
from .datasets.combining import concat, remap
from .datasets.source import ImageSource
from .training import SegmenterSettings

CAMVID_AS_STREETS: Mapping[str, str | tuple[str, ...]] = {
    "building": ("building", "door", "window"),  # camvid does not tell them apart
    "car": "car",
    "pavement": "pavement",
    "road": "road",
    "sky": "sky",
    "tree": "vegetation",
}
"""What camvid's concepts are called in labelmefacade; the others become unlabeled."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """All that a training needs.

    Args:
        settings: The settings.
        sources: What it learns from.
        held_out: What its snapshots are judged by.
    """

    settings: SegmenterSettings
    sources: tuple[ImageSource, ...]
    held_out: ImageSource


def streets(data: Path | str, num_steps: int = 3000, seed: int = 1) -> TrainingRecipe:
    """Return the recipe of ``unet-streets``.

    Args:
        data: A folder with ``labelmefacade`` and ``camvid`` as `Photos` reads them.
        num_steps: Training steps.
        seed: Of the training.

    Raises:
        FileNotFoundError: If the folder lacks them.
    """
    held_out = labelmefacade(data, "val")
    learned = concat([labelmefacade(data, "train"), camvid(data, "train", held_out)])
    settings = SegmenterSettings(num_steps=num_steps, seed=seed, augmentation=Augmentation(color=0.4))
    return TrainingRecipe(settings, (learned,), held_out)


def labelmefacade(data: Path | str, split: str, size: int = 160) -> ImageSource:
    """Return a split of labelmefacade; its class ``various`` is left unlabeled."""
    from .datasets.photos import Photos

    return Photos(Path(data) / "labelmefacade", size, split, margin=1.0, unlabeled=("various",))


def camvid(data: Path | str, split: str, like: ImageSource, size: int = 160) -> ImageSource:
    """Return a split of camvid under the concepts of labelmefacade (``like``)."""
    from .datasets.photos import Photos

    photos = Photos(Path(data) / "camvid", size, split, margin=1.0, unlabeled=("unlabelled",))
    return remap(photos, like.concepts, CAMVID_AS_STREETS)


def scenes(num_steps: int = 3000, seed: int = 2) -> TrainingRecipe:
    """Return the recipe of ``unet-scenes``: rendered scenes of 64 and 128 pixels by turns, judged by another seed's.

    Rendered pictures need little augmentation; blur and noise imitate a generator's samples.

    Args:
        num_steps: Training steps.
        seed: Of the training; pictures are of the scenes seeds 1 (learned from) and 2 (held out).
    """
    from .datasets.scenes import Scenes

    pictures = tuple(Scenes(size, num_images=10_000, seed=1) for size in (64, 128))
    soft = Augmentation(1.0, 1.0, 0.0, color=0.2, small=0.2, min_small=32, blur=0.2, max_sigma=0.8, max_noise=0.05)
    settings = SegmenterSettings(num_steps, seed=seed, dice_weight=1.0, ema_half_life=2000.0, augmentation=soft)
    return TrainingRecipe(settings, pictures, Scenes(64, num_images=600, seed=2))
