"""Training recipes of the bundled segmenters: settings and pictures, to reproduce or vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .augmentation import Augmentation
from .datasets.combining import concat, remap
from .datasets.source import ImageSource
from .training import SegmenterSettings
from .unet import UNetArchitecture

CAMVID_AS_STREETS: Mapping[str, str | tuple[str, ...]] = {
    "building": ("building", "door", "window"),  # camvid does not distinguish them
    "car": "car",
    "pavement": "pavement",
    "road": "road",
    "sky": "sky",
    "tree": "vegetation",
}
"""Names in labelmefacade of camvid's concepts; all other concepts become unlabeled."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Settings and pictures of a training run.

    Args:
        settings: Training settings.
        sources: Training pictures.
        held_out: Held-out pictures to evaluate snapshots on.
    """

    settings: SegmenterSettings
    sources: tuple[ImageSource, ...]
    held_out: ImageSource


def streets(data: Path | str, num_steps: int = 3000, seed: int = 1) -> TrainingRecipe:
    """Return the recipe of ``unet-streets``.

    Args:
        data: Folder that contains the folders ``labelmefacade`` and ``camvid``, in the format of `Photos`.
        num_steps: Number of training steps.
        seed: Seed of the training.

    Raises:
        FileNotFoundError: If one of the two folders is missing.
    """
    held_out = labelmefacade(data, "val")
    pictures = concat([labelmefacade(data, "train"), camvid(data, "train", held_out)])
    settings = SegmenterSettings(num_steps=num_steps, seed=seed, augmentation=Augmentation(color=0.4))
    return TrainingRecipe(settings, (pictures,), held_out)


def labelmefacade(data: Path | str, split: str, size: int = 160) -> ImageSource:
    """Return a split of labelmefacade, with its class ``various`` unlabeled."""
    from .datasets.photos import Photos

    return Photos(Path(data) / "labelmefacade", size, split, margin=1.0, unlabeled=("various",))


def camvid(data: Path | str, split: str, like: ImageSource, size: int = 160) -> ImageSource:
    """Return a split of camvid, labeled with the concepts of labelmefacade (``like``)."""
    from .datasets.photos import Photos

    photos = Photos(Path(data) / "camvid", size, split, margin=1.0, unlabeled=("unlabelled",))
    return remap(photos, like.concepts, CAMVID_AS_STREETS)


def digits(data: Path | str, num_steps: int = 1200, seed: int = 3) -> TrainingRecipe:
    """Return the recipe of ``unet-digits``: the ink of each digit, learned from half of MNIST's test set.

    The other half is what ``cgan-digits32`` learned from, so that the segmenter never saw those pictures.

    Args:
        data: Folder that contains the folder ``mnist10k``, in the format of `IdxPictures`.
        num_steps: Number of training steps.
        seed: Seed of the training.

    Raises:
        FileNotFoundError: If the folder is missing.
    """
    return _ink(Path(data) / "mnist10k", 0.5, num_steps, seed)


def clothes(data: Path | str, num_steps: int = 2000, seed: int = 4) -> TrainingRecipe:
    """Return the recipe of ``unet-clothes``: the ink of each article, learned from a quarter of Fashion-MNIST.

    The other three quarters are what ``cgan-clothes32`` learned from, so that the segmenter never saw those pictures.

    Args:
        data: Folder that contains the folder ``fashion``, in the format of `IdxPictures`.
        num_steps: Number of training steps.
        seed: Seed of the training.

    Raises:
        FileNotFoundError: If the folder is missing.
    """
    return _ink(Path(data) / "fashion", 0.25, num_steps, seed)


def _ink(folder: Path, held_out_from_generators: float, num_steps: int, seed: int) -> TrainingRecipe:
    """Return the recipe of a segmenter of gray pictures, learned from those that no bundled generator learned from."""
    from .datasets.idx import IdxPictures

    unseen = IdxPictures(folder, 32).hold_out(held_out_from_generators)[1]
    train, held_out = unseen.hold_out(0.2, seed=1)
    soft = Augmentation(0.85, 1.2, 10.0, color=0.1, small=0.3, min_small=20, blur=0.3, max_sigma=0.8, max_noise=0.05)
    network = UNetArchitecture(decoder_channels=(96, 48, 32), input_size=32)
    settings = SegmenterSettings(num_steps, 32, seed, ema_half_life=4000.0, architecture=network, augmentation=soft)
    return TrainingRecipe(settings, (train,), held_out)


def objects(data: Path | str, num_steps: int = 2500, seed: int = 5) -> TrainingRecipe:
    """Return the recipe of ``unet-objects``: the ten classes of CIFAR-10, learned from whole pictures.

    No pixel labels exist for these photographs; see `LabeledByClass`.

    Args:
        data: Folder that contains the folder ``cifar10``, with subfolders ``train`` and ``test`` in the format of
            `Photos`.
        num_steps: Number of training steps.
        seed: Seed of the training.

    Raises:
        FileNotFoundError: If the folder is missing.
    """
    from .datasets.by_class import LabeledByClass
    from .datasets.photos import Photos

    train, held_out = (LabeledByClass(Photos(Path(data) / "cifar10" / split, 32)) for split in ("train", "test"))
    network = UNetArchitecture(decoder_channels=(96, 48, 32), input_size=32)
    soft = Augmentation(0.85, 1.2, 10.0, color=0.2, small=0.0, blur=0.0, max_noise=0.02)
    settings = SegmenterSettings(
        num_steps, 64, seed, dice_weight=0.0, ema_half_life=8000.0, architecture=network, augmentation=soft
    )
    return TrainingRecipe(settings, (train,), held_out)


def scenes(num_steps: int = 3000, seed: int = 2) -> TrainingRecipe:
    """Return the recipe of ``unet-scenes``: alternating rendered scenes of 64 and 128 pixels.

    Rendered pictures need little augmentation; blur and noise imitate a generator's images.

    Args:
        num_steps: Number of training steps.
        seed: Seed of the training; the scenes have seed 1 (training) and 2 (held out).
    """
    from .datasets.scenes import Scenes

    pictures = tuple(Scenes(size, num_images=10_000, seed=1) for size in (64, 128))
    soft = Augmentation(1.0, 1.0, 0.0, color=0.2, small=0.2, min_small=32, blur=0.2, max_sigma=0.8, max_noise=0.05)
    settings = SegmenterSettings(num_steps, seed=seed, dice_weight=1.0, ema_half_life=2000.0, augmentation=soft)
    return TrainingRecipe(settings, pictures, Scenes(64, num_images=600, seed=2))
