"""Training of a generator of any family, from the beginning or from a run's checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gandissect.core.protocols import PictureSource
from gandissect.core.ranges import POSITIVE, check_number
from gandissect.storage.runs import train

from ..hub import LAST
from .agecgan import AgeCGANTask
from .agecgan_settings import AgeCGANSettings
from .cyclegan import CycleGANTask
from .engine import Evaluate, TrainingTask, decay_at
from .evolution import EvolutionTask
from .evolution_settings import EvolutionSettings
from .gan import GANTask
from .pix2pix import Pix2PixTask
from .settings import USED_BY, GANSettings, TrainingSettings
from .stackgan import StackGANTask
from .stackgan_settings import StackGANSettings
from .stargan import StarGANTask
from .stargan_settings import StarGANSettings
from .translation_settings import CycleGANSettings, Pix2PixSettings
from .unit import UNITTask
from .unit_settings import UNITSettings
from .vae import VAETask
from .vaegan import VAEGANTask
from .variational_settings import VAEGANSettings, VAESettings

TASKS: Mapping[type[TrainingSettings], type[TrainingTask[Any]]] = {
    GANSettings: GANTask,
    VAESettings: VAETask,
    VAEGANSettings: VAEGANTask,
    EvolutionSettings: EvolutionTask,
    StackGANSettings: StackGANTask,
    AgeCGANSettings: AgeCGANTask,
    StarGANSettings: StarGANTask,
    UNITSettings: UNITTask,
    Pix2PixSettings: Pix2PixTask,
    CycleGANSettings: CycleGANTask,
}
"""The training task of each class of settings."""


def make_task(
    settings: TrainingSettings,
    source: PictureSource,
    evaluate: Evaluate | None = None,
    held_out: PictureSource | None = None,
    device: str = "auto",
) -> TrainingTask[Any]:
    """Return the training task of some settings; see `TrainingTask` for the arguments."""
    kind = next(TASKS[base] for base in type(settings).__mro__ if base in TASKS)
    return kind(settings, source, evaluate, held_out, device)


@torch.inference_mode(False)
@torch.enable_grad()
def train_generator(
    settings: TrainingSettings,
    source: PictureSource,
    folder: Path | str,
    *,
    evaluate: Evaluate | None = None,
    held_out: PictureSource | None = None,
    snapshot_images: int = 50_000,
    checkpoint_images: int = 25_000,
    resume: bool = True,
    device: str = "auto",
) -> Path:
    """Train a generator, or continue the training that the folder holds.

    Args:
        settings: Settings of the training, such as ``RECIPES["progan"]``.
        source: Real pictures of the settings' resolution, with classes where the family needs them.
        folder: Folder of the run: checkpoint, metrics, each snapshot's samples and generator, ``generator.safetensors``
            (the last of them), and with ``evaluate`` ``best.safetensors``, the one with the smallest distance.
        evaluate: Called with the averaged generator at each snapshot of full size; its figures are logged.
        held_out: Pictures that are never trained on; how much less real the discriminator finds them is logged.
        snapshot_images: Images between snapshots.
        checkpoint_images: Images between checkpoints.
        resume: Continue from the folder's checkpoint, if it has one; otherwise a folder that has one is refused. A run
            is extended by settings with more images, unless its learning rate has begun to fall.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The path of the trained generator, which `generators.load` reads.

    Raises:
        TypeError: If the source or the settings have another type.
        ValueError: If the pictures have another size, the folder holds a run with other settings, or that run cannot be
            extended.
        FloatingPointError: If the training diverges.
    """
    _check_types(settings, source)
    for name, images in (("snapshot_images", snapshot_images), ("checkpoint_images", checkpoint_images)):
        check_number(f"{name} (--{name.replace('_', '-')})", images, POSITIVE)
    task = make_task(settings, source, evaluate, held_out, device)
    identity = _as_json(settings) | {"data": source.name, "pictures": len(source)}
    train(
        task,
        folder,
        identity,
        num_steps=settings.num_steps,
        snapshot_every=max(1, snapshot_images // settings.images_per_step),
        checkpoint_every=max(1, checkpoint_images // settings.images_per_step),
        resume=resume,
        writes=task.processes.rank == 0,
        adopt=partial(_adopt, settings, identity),
    )
    return Path(folder) / LAST


def _as_json(settings: TrainingSettings) -> dict[str, Any]:
    """Return settings as they are read back from JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def _adopt(
    settings: TrainingSettings, identity: dict[str, Any], saved: dict[str, Any], steps_done: int
) -> dict[str, Any]:
    """Return what a run's settings are today: with settings that are newer than the run, and with more images.

    Raises:
        ValueError: If the run's learning rate has already fallen, which it would not have in a longer training.
    """
    unused = {name for name, architectures in USED_BY.items() if settings.architecture not in architectures}
    kept = {name: value for name, value in saved.items() if name not in unused}
    saved = {field.name: field.default for field in fields(settings)} | kept
    images = saved.get("images")
    if saved | {"images": settings.images} != identity or not isinstance(images, int) or images > settings.images:
        return saved
    shorter = replace(settings, images=images)
    if settings.decay_from < 1 and steps_done and decay_at(steps_done - 1, shorter) < 1:
        raise ValueError(
            f"a training run of {images} images cannot be extended to {settings.images}: its learning rate has fallen "
            f"since image {math.ceil(settings.decay_from * images)} (decay_from is {settings.decay_from}); train in "
            "another folder (--out), with decay_from (--decay-from) 1 if that training may be extended later"
        )
    return identity


def _check_types(settings: object, source: object) -> None:
    if not isinstance(settings, TrainingSettings):
        raise TypeError(f"settings must be TrainingSettings, such as RECIPES['progan']; got {settings!r}")
    if not isinstance(source, PictureSource):
        raise TypeError(
            "source must be a source of pictures with name, size, len() and batch(), such as "
            f"segmenters.datasets.Photos(FOLDER, {settings.resolution}); got {source!r}"
        )
