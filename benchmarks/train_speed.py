"""How many images per second does a training run see? ``python benchmarks/train_speed.py``.

Each architecture's `GANTask.step` is compared with a plain implementation of the same training. Networks, losses,
batches, augmentation, R1, weight averaging and the order of operations are the same, but the plain version runs in
eager float32 with torch's default memory format and Adam, and fetches pictures from their source at every step. The
ratio is thus the combined gain of bfloat16, channels_last, fused Adam and resident pictures. The two alternate, so that
other work on the machine affects both; pictures are rendered, and warm-up steps run, before the clock starts. Growing
networks are measured at full resolution.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
import tyro
from scenes_speed import name_processor
from torch import Tensor

from gandissect.core import from_uint8, make_rng, resolve_device
from gandissect.storage import ema_decay, update_ema
from generators.training import RECIPES, GANSettings, GANTask
from generators.training.augmentation import diff_augment
from generators.training.draws import Draws
from generators.training.families import build_networks
from generators.training.growth import Growth
from generators.training.losses import LOSSES, r1_penalty
from segmenters.datasets import ImageSource, Scenes

NUM_PICTURES, WARM_UP = 512, 3


@dataclass(frozen=True)
class Options:
    """Print the images per second of every architecture, compared with a plain float32 loop.

    Args:
        sizes: Heights and widths of the images.
        batch_size: Number of images per step; by default each recipe's.
        steps: Steps per repetition; every 16th has an R1 penalty if the recipe has one.
        repeats: Number of repetitions for the median.
        full_width: Use 8192 / size units, at most 512, in growing networks, which is a width for GPUs.
        device: Device to train on: auto, cpu, cuda or mps.
        threads: Number of CPU threads; by default torch's choice.
    """

    sizes: tuple[int, ...] = (32, 64)
    batch_size: int | None = None
    steps: int = 16
    repeats: int = 5
    full_width: bool = False
    device: str = "auto"
    threads: int | None = None


class PlainTask:
    """A plain implementation of a training run.

    Args:
        settings: Settings of the training: full resolution, ``logistic`` or ``hinge`` loss, no clipping, no decay.
        source: Real pictures.
        device: Device to train on.
    """

    def __init__(self, settings: GANSettings, source: ImageSource, device: torch.device) -> None:
        self.settings, self.source, self.device = settings, source, device
        self.growth, self.loss = Growth(settings.resolution, 1.0), LOSSES[settings.loss]
        torch.manual_seed(make_rng(settings.seed, "weights").initial_seed())  # same initial weights as GANTask
        self.generator, self.discriminator = (
            network.to(device).train() for network in build_networks(settings).values()
        )
        self.average = deepcopy(self.generator).requires_grad_(False)
        betas = (settings.beta1, settings.beta2)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), settings.learning_rate, betas)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), settings.learning_rate, betas)

    def step(self, index: int) -> dict[str, float]:
        """Train the discriminator, then the generator, on one batch; return their losses."""
        settings = self.settings
        real = self._augment(self._real(index), "real", index)
        with torch.no_grad():
            fake = self._augment(self._generate("discriminator", index), "fake", index)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        discriminator_loss = self.loss.discriminator(real_logits, fake_logits)
        if settings.r1_gamma and index % settings.r1_every == 0:
            weight = settings.r1_gamma * settings.r1_every
            discriminator_loss = discriminator_loss + weight * r1_penalty(self.discriminator, real)
        _descend(self.discriminator_adam, discriminator_loss)

        self.discriminator.requires_grad_(False)
        fake = self._augment(self._generate("generator", index), "generator", index)
        generator_loss = self.loss.generator(self.discriminator(fake))
        _descend(self.generator_adam, generator_loss)
        self.discriminator.requires_grad_(True)
        self.generator.observe(self._z("generator", index))
        update_ema(self.average, self.generator, ema_decay(settings.ema_half_life, settings.batch_size))
        return {"loss_discriminator": discriminator_loss.item(), "loss_generator": generator_loss.item()}

    def _real(self, index: int) -> Tensor:
        chosen = torch.randint(len(self.source), (self.settings.batch_size,), generator=self._rng("order", index))
        images = self.source.batch(chosen.tolist(), self._rng("crop", index)).images
        return from_uint8(images.to(self.device))

    def _generate(self, stream: str, index: int) -> Tensor:
        styles = Draws(self._rng(f"styles-{stream}", index, self.device), self.settings.batch_size)
        images: Tensor = self.generator(self._z(stream, index), self.growth, styles)
        return images

    def _z(self, stream: str, index: int) -> Tensor:
        return self._draws(f"z-{stream}", index).normal(self.settings.z_dim).to(self.device)

    def _augment(self, images: Tensor, stream: str, index: int) -> Tensor:
        return diff_augment(images, self.settings.augmentation, self._draws(f"augment-{stream}", index))

    def _draws(self, stream: str, index: int) -> Draws:
        return Draws(self._rng(stream, index), self.settings.batch_size)

    def _rng(self, stream: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
        return make_rng(self.settings.seed, stream, index, device=device)


def _descend(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


def build_settings(architecture: str, size: int, options: Options) -> GANSettings:
    """Return a recipe with a fixed resolution and with all pictures resident on the device."""
    recipe = RECIPES[architecture]
    if options.full_width and architecture != "dcgan":
        recipe = replace(recipe, width=min(512, 8192 // size), max_width=512)
    return replace(
        recipe,
        resolution=size,
        batch_size=options.batch_size or recipe.batch_size,
        images=10**9,  # large enough that the learning rate stays constant
        start_resolution=None,
        resident=True,
    )


def measure_rate(step: Callable[[int], object], first: int, count: int, batch_size: int, device: torch.device) -> float:
    """Return the images per second over ``count`` steps that start at index ``first``."""
    _finish(device)
    start = time.perf_counter()
    for index in range(first, first + count):
        step(index)
    _finish(device)
    return count * batch_size / (time.perf_counter() - start)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def format_row(architecture: str, source: ImageSource, options: Options, device: torch.device) -> str:
    """Return the row of the table for an architecture at the size of the pictures."""
    settings = build_settings(architecture, source.size, options)
    tasks = [GANTask(settings, source, device=str(device)), PlainTask(settings, source, device)]
    for task in tasks:
        for index in range(WARM_UP):
            task.step(index)
    rates = [
        [measure_rate(task.step, turn * options.steps, options.steps, settings.batch_size, device) for task in tasks]
        for turn in range(options.repeats)
    ]
    ours, plain = (statistics.median(column) for column in zip(*rates, strict=True))
    ratios = [one / other for one, other in rates]
    weights = [
        sum(weight.numel() for weight in network.parameters()) / 1e6 for network in build_networks(settings).values()
    ]
    return (
        f"| {architecture} | {source.size} | {settings.batch_size} | {weights[0]:.1f} + {weights[1]:.1f} | {ours:.0f} "
        f"| {plain:.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
    )


def main(options: Options) -> None:
    """Print a description of the machine and the table."""
    device = resolve_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    print(
        f"{gpu}{name_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}; device {device.type}; medians of {options.repeats} repetitions of "
        f"{options.steps} steps, the ratio with its range\n"
    )
    print("| architecture | px | batch | million weights, G + D | images/s | plain float32, images/s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        source = Scenes(size, NUM_PICTURES)
        source.batch(range(NUM_PICTURES))  # renders and caches them
        for architecture in RECIPES:
            print(format_row(architecture, source, options, device), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
