"""Training of a GAN: the task that `gandissect.storage.train` runs, whatever the architecture.

All randomness of step ``i`` derives from ``(seed, stream, i)``, so a resumed run is bit-equal to an
uninterrupted one on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import save_image

from gandissect.core.defaults import plain_defaults
from gandissect.core.environment import resolve_device
from gandissect.core.images import from_uint8
from gandissect.core.pictures import load_pictures
from gandissect.core.protocols import PictureSource
from gandissect.core.ranges import POSITIVE, check_number
from gandissect.core.sampling import derive_seed, make_rng
from gandissect.storage.files import atomic_path
from gandissect.storage.runs import ema_decay, train, update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.blocks import MinibatchStd
from ..hub import BEST, LAST, save
from .augmentation import diff_augment
from .draws import Draws
from .growth import Growth, growth_at, shrink
from .losses import LOSSES, drift, gradient_penalty, r1_penalty
from .networks import build_networks, sizes_of
from .processes import N, Processes
from .recipes import GANSettings

Evaluate = Callable[[LayeredGenerator], Mapping[str, float]]


class GANTask:
    """A generator, a discriminator and their optimizers.

    Args:
        settings: How to train.
        source: Real pictures of the settings' resolution.
        evaluate: Called with the averaged generator at each snapshot of full size; its figures are logged, and the
            snapshot with the least ``distance`` is kept as ``best.safetensors``.
        held_out: Pictures that are never learned from; how much less real the discriminator finds them is logged.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ValueError: If the pictures have another size, or are fewer than a batch.
    """

    def __init__(
        self,
        settings: GANSettings,
        source: PictureSource,
        evaluate: Evaluate | None = None,
        held_out: PictureSource | None = None,
        device: str = "auto",
    ) -> None:
        _check_pictures(settings, source)
        self.settings, self.source, self.evaluate, self.held_out = settings, source, evaluate, held_out
        self.processes = Processes(resolve_device(device))
        self.device = self.processes.device
        self.rows = self.processes.rows(settings.batch_size, MinibatchStd.GROUP)
        self.images_per_step = settings.batch_size
        self.loss = LOSSES[settings.loss]
        with plain_defaults(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(settings.seed, "weights"))
            generator, discriminator = build_networks(settings)
        self.sizes = sizes_of(settings)
        self.network = self._place(generator)
        self.discriminator = self._place(discriminator)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        adam = partial(
            torch.optim.Adam,
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            fused=self.device.type in {"cpu", "cuda"},
        )
        self.generator_optimizer = adam(self.network.parameters())
        self.discriminator_optimizer = adam(self.discriminator.parameters())
        self._generate = self.processes.connect(self.network)
        self._discriminate = self.processes.connect(self.discriminator)
        self.best = math.inf
        self._resident: Tensor | None = None

    @property
    def generator(self) -> LayeredGenerator:
        """The generator that is trained."""
        return self.network.generator

    def growth(self, images_seen: int) -> Growth:
        """Return how far the networks have grown after so many images."""
        return growth_at(images_seen, self.sizes, self.settings.hold_images, self.settings.fade_images)

    def step(self, index: int) -> dict[str, float]:
        """Train the discriminator, then the generator, on one batch; return their losses and mean logits."""
        growth = self.growth(index * self.settings.batch_size)
        self._schedule(index, growth)
        figures = self.processes.average(self._discriminator_step(index, growth) | self._generator_step(index, growth))
        half_life = min(self.settings.ema_half_life, 0.05 * (index + 1) * self.settings.batch_size)
        update_ema(self.average, self.network, ema_decay(half_life, self.settings.batch_size))
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return both networks, the average, both optimizers, and the least distance so far."""
        return {name: part.state_dict() for name, part in self._parts.items()} | {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.best = float(state["best"])

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Write the averaged generator and a grid of 64 samples of a fixed seed, and evaluate it.

        The generator stays under the number of images that were seen, and is the run's last until the next snapshot.
        While a resolution is faded in, what is written still makes images of the one before.
        """
        growth, facts = self.growth(images_seen), self._describe(images_seen)
        generator = self._make_average(growth)
        for name in (LAST, f"generator-{images_seen:08d}.safetensors"):
            save(generator, folder / name, facts, overwrite=True)
        with torch.inference_mode():
            images = generator(generator.sample_z(64, seed=1))
        with atomic_path(folder / f"samples-{images_seen:08d}.png", overwrite=True) as temporary:
            save_image(images, temporary, nrow=8, normalize=True, value_range=(-1, 1), format="png")
        figures = {} if self.held_out is None else self._measure_overfitting(self.held_out, growth)
        if self.evaluate is not None and growth == Growth(self.settings.resolution, 1.0):
            figures |= self.evaluate(generator)
        if (distance := figures.get("distance", math.inf)) < self.best:
            self.best = distance
            save(generator, folder / BEST, facts | {"distance": distance}, overwrite=True)
        return figures

    def export(self, folder: Path, images_seen: int) -> None:
        """Write the averaged generator as the run's last."""
        average = self._make_average(self.growth(images_seen))
        save(average, folder / LAST, self._describe(images_seen), overwrite=True)

    def _make_average(self, growth: Growth) -> LayeredGenerator:
        generator = self.average.export(growth.size if growth.alpha == 1 else growth.size // 2)
        calibrate_batch_norm(generator, self.settings.seed)
        return generator

    def _describe(self, images_seen: int) -> dict[str, Any]:
        return {"images_seen": images_seen, "data": self.source.name, "settings": asdict(self.settings)}

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.network,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _discriminator_step(self, index: int, growth: Growth) -> dict[str, Tensor]:
        settings = self.settings
        real = shrink(self._load_real(index), growth)
        with torch.no_grad():
            fake = self._generate_images(self.network, index, growth, "discriminator")
        real = diff_augment(real, settings.augmentation, self._make_draws("augment-real", index))
        fake = diff_augment(fake, settings.augmentation, self._make_draws("augment-fake", index))
        judge = partial(_judge, self._discriminate, growth=growth)
        with self._autocast():
            real_logits, fake_logits = judge(real).float(), judge(fake).float()
        loss = self.loss.discriminator(real_logits, fake_logits)
        if self.loss.penalty_weight:
            penalty = gradient_penalty(judge, real, fake, self._make_draws("penalty", index))
            loss = loss + self.loss.penalty_weight * penalty + self.loss.drift_weight * drift(real_logits)
        if settings.r1_gamma and index % settings.r1_every == 0:
            gamma = settings.r1_gamma * (growth.size / settings.resolution) ** 2  # it sums over pixels
            loss = loss + gamma * settings.r1_every * r1_penalty(judge, real)
        self._descend(self.discriminator_optimizer, loss)
        return {"loss_discriminator": loss, "logit_real": real_logits.mean(), "logit_fake": fake_logits.mean()}

    def _generator_step(self, index: int, growth: Growth) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(False)
        fake = self._generate_images(self._generate, index, growth, "generator")
        fake = diff_augment(fake, self.settings.augmentation, self._make_draws("augment-generator", index))
        with self._autocast():
            logits = _judge(self.discriminator, fake, growth).float()
        loss = self.loss.generator(logits)
        self._descend(self.generator_optimizer, loss)
        self.discriminator.requires_grad_(True)
        everyone = Draws(self._make_rng("z-generator", index), self.settings.batch_size)
        self.network.observe(everyone.normal(self.settings.z_dim).to(self.device))
        return {"loss_generator": loss}

    def _generate_images(self, network: nn.Module, index: int, growth: Growth, stream: str) -> Tensor:
        """Return generated images; those that only the discriminator learns from need no averaged gradients."""
        z = self._make_draws(f"z-{stream}", index).normal(self.settings.z_dim).to(self.device)
        with self._autocast():
            images: Tensor = network(z, growth, self._make_draws(f"styles-{stream}", index, self.device))
        return images.float()

    def _load_real(self, index: int) -> Tensor:
        order = self._choose_pictures(index)
        if self.settings.resident:
            if self._resident is None:
                self._resident = load_pictures(self.source, len(self.source)).to(
                    self.device, memory_format=torch.channels_last
                )
            images = self._resident[order[self.rows]]
            flipped = (self._make_draws("crop", index).uniform(1, 1, 1) < 0.5).to(self.device)
            images = torch.where(flipped, images.flip(3), images)
        else:
            images = self.source.batch(order, self._make_rng("crop", index)).images[self.rows].to(self.device)
        return _to_images(images)

    def _measure_overfitting(self, held_out: PictureSource, growth: Growth) -> dict[str, float]:
        """Return how real the discriminator finds pictures that it learned from, and held-out ones."""
        discriminator = deepcopy(self.discriminator)  # batch norm would learn from what it sees
        batch = min(self.settings.batch_size, len(held_out), len(self.source))
        means = []
        for source in (self.source, held_out):
            pictures = load_pictures(source, limit=512)
            count = len(pictures) // batch * batch
            with torch.no_grad():
                logits = [
                    _judge(discriminator, shrink(_to_images(part.to(self.device)), growth), growth)
                    for part in torch.split(pictures[:count], batch)
                ]
            means.append(torch.cat(logits).mean().item())
        return {"logit_learned": means[0], "logit_held_out": means[1]}

    def _choose_pictures(self, index: int) -> list[int]:
        """Return which pictures step ``index`` sees: each epoch is a permutation of its own."""
        size, count = self.settings.batch_size, len(self.source)
        indices = range(index * size, (index + 1) * size)
        return [_shuffle(self.settings.seed, i // count, count)[i % count] for i in indices]

    def _make_draws(self, stream: str, index: int, device: torch.device | str = "cpu") -> Draws:
        return Draws(self._make_rng(stream, index, device), self.settings.batch_size, self.rows)

    def _make_rng(self, stream: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
        return make_rng(self.settings.seed, stream, index, device=device)

    def _schedule(self, index: int, growth: Growth) -> None:
        """Set the learning rate, a pure function of the step; forget the optimizers' moments when networks grow."""
        has_grown = index > 0 and growth.size != self.growth((index - 1) * self.settings.batch_size).size
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * decay_at(index, self.settings)
            if has_grown:
                optimizer.state.clear()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16)

    def _place(self, network: N) -> N:
        network = self.processes.synchronize_norms(network)
        return network.to(self.device).to(memory_format=torch.channels_last).train()

    def _descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.settings.clip_gradient:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.settings.clip_gradient)
        optimizer.step()


def decay_at(step: int, settings: GANSettings) -> float:
    """Return the share of the learning rate in a step: 1, then from ``decay_from`` of the steps on a line to zero."""
    left = 1 - step / settings.num_steps
    return min(1.0, left / max(1 - settings.decay_from, 1 / settings.num_steps))


def _judge(discriminator: nn.Module, images: Tensor, growth: Growth) -> Tensor:
    """Return logits; only networks that grow know of ``alpha``."""
    logits: Tensor = discriminator(images, growth.alpha) if growth.alpha < 1 else discriminator(images)
    return logits


def _to_images(images: Tensor) -> Tensor:
    return from_uint8(images).contiguous(memory_format=torch.channels_last)


def _check_pictures(settings: GANSettings, source: PictureSource) -> None:
    if source.size != settings.resolution:
        raise ValueError(
            f"the pictures of {source.name!r} are {source.size} px; the GAN makes {settings.resolution} px"
        )
    if len(source) < settings.batch_size:
        raise ValueError(
            f"{source.name!r} has {len(source)} pictures, fewer than a batch of {settings.batch_size}; "
            "give more pictures or a smaller batch_size"
        )


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=make_rng(seed, "order", epoch), device="cpu").tolist()


@torch.no_grad()
def calibrate_batch_norm(generator: LayeredGenerator, seed: int, num_batches: int = 16, batch_size: int = 128) -> None:
    """Measure batch-norm statistics anew, in place: averaged weights do not fit the statistics of the live ones.

    Args:
        generator: Left in eval mode; one without batch norm as it is.
        seed: Seed of the latent vectors.
        num_batches: How many batches are averaged.
        batch_size: Latent vectors a batch.

    Source: Brock et al. 2019 ("standing statistics").
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    generator.train()
    for index in range(num_batches):
        shape, rng = (batch_size, generator.z_dim), make_rng(seed, "calibrate", index)
        generator(torch.randn(shape, generator=rng, dtype=torch.float32, device="cpu"))
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode(False)
@torch.enable_grad()
def train_generator(
    settings: GANSettings,
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
    """Train a GAN, or continue the training that the folder holds.

    Args:
        settings: How to train.
        source: Real pictures of the settings' resolution.
        folder: The run: checkpoint, metrics, each snapshot's samples and generator, ``generator.safetensors`` (the last
            of them), and with ``evaluate`` ``best.safetensors``, the one with the least distance.
        evaluate: Called with the averaged generator at each snapshot of full size; its figures are logged.
        held_out: Pictures that are never learned from; how much less real the discriminator finds them is logged.
        snapshot_images: Images between snapshots.
        checkpoint_images: Images between checkpoints.
        resume: Continue from the folder's checkpoint, if it has one; otherwise a folder that has one is refused. With
            more images than the run was begun with it is extended, unless its learning rate has begun to fall.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The path of the trained generator, which `generators.load` reads.

    Raises:
        TypeError: If the source or the settings are something else.
        ValueError: If the pictures have another size, the folder holds a run with other settings, or that run cannot be
            extended.
        FloatingPointError: If the training diverges.
    """
    _check_types(settings, source)
    for name, images in (("snapshot_images", snapshot_images), ("checkpoint_images", checkpoint_images)):
        check_number(f"{name} (--{name.replace('_', '-')})", images, POSITIVE)
    task = GANTask(settings, source, evaluate, held_out, device)
    policies = list(settings.augmentation)
    identity = asdict(settings) | {"augmentation": policies, "data": source.name, "pictures": len(source)}
    train(
        task,
        folder,
        identity,
        num_steps=settings.num_steps,
        snapshot_every=max(1, snapshot_images // settings.batch_size),
        checkpoint_every=max(1, checkpoint_images // settings.batch_size),
        resume=resume,
        writes=task.processes.rank == 0,
        adopt=partial(_extend, settings, identity),
    )
    return Path(folder) / LAST


def _extend(settings: GANSettings, identity: dict[str, Any], saved: dict[str, Any], steps_done: int) -> dict[str, Any]:
    """Return what a run would be with more images, if it would have come to where it is with as many.

    Raises:
        ValueError: If its learning rate has fallen already, as it would not have in a longer training.
    """
    images = saved.get("images")
    if saved | {"images": settings.images} != identity or not isinstance(images, int) or images > settings.images:
        return saved
    shorter = replace(settings, images=images)
    if settings.decay_from < 1 and steps_done and decay_at(steps_done - 1, shorter) < 1:
        raise ValueError(
            f"a training of {images} images cannot be extended to {settings.images}: its learning rate has fallen "
            f"since image {math.ceil(settings.decay_from * images)} (decay_from is {settings.decay_from}); train in "
            "another folder (--out), with decay_from (--decay-from) 1 if that training may be extended later"
        )
    return identity


def _check_types(settings: object, source: object) -> None:
    if not isinstance(settings, GANSettings):
        raise TypeError(f"settings must be GANSettings, such as RECIPES['progan']; got {settings!r}")
    if not isinstance(source, PictureSource):
        raise TypeError(
            "source must be a source of pictures with name, size, len() and batch(), such as "
            f"segmenters.datasets.Photos(FOLDER, {settings.resolution}); got {source!r}"
        )
