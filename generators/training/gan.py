"""Training of a GAN: the task that `gandissect.runs.train` runs, whatever the architecture.

All randomness of step ``i`` derives from ``(seed, stream, i)``, so a resumed run is bit-equal to an
uninterrupted one on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torchvision.utils import save_image

from gandissect.devices import resolve_device
from gandissect.files import atomic_path
from gandissect.names import lookup
from gandissect.runs import ema_decay, ema_update, train
from gandissect.sampling import make_rng

from ..base import LayeredGenerator
from ..dcgan import DCGAN, DCGANDiscriminator
from ..hub import save
from .augmentation import POLICIES, diff_augment
from .losses import LOSSES, gradient_penalty, r1_penalty

Evaluate = Callable[[LayeredGenerator], Mapping[str, float]]


class Pictures(Protocol):
    """Real pictures to learn from; every dataset of ``segmenters`` is one."""

    name: str
    size: int

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> Any:
        """Return an object whose ``images`` are uint8 ``[batch, 3, size, size]``, randomly cropped and flipped."""


@dataclass(frozen=True, slots=True)
class GANSettings:
    """How a GAN is trained.

    Args:
        size: Height and width of an image.
        width: Units of the generator's last and the discriminator's first layer.
        z_dim: Length of a latent vector.
        seed: Seed of everything random.
        batch_size: Images a step.
        images: Real images shown in all, repetitions counted.
        learning_rate: Of Adam, for both networks.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        loss: ``logistic`` (non-saturating), ``hinge`` or ``wgan-gp``.
        r1_gamma: Weight of the R1 penalty; 0 is none.
        r1_every: Steps between R1 penalties (each is scaled up by as much).
        augmentation: DiffAugment policies, in order.
        ema_half_life: Images after which the averaged generator has forgotten half.
        decay_from: Share of the training after which the learning rate falls linearly to zero; 1 keeps it.
        bf16: Compute in bfloat16 where that is safe.

    Raises:
        ValueError: If a number is out of range.
        KeyError: If a loss or policy is unknown.
    """

    size: int = 64
    width: int = 64
    z_dim: int = 128
    seed: int = 0
    batch_size: int = 64
    images: int = 1_000_000
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    loss: Literal["logistic", "hinge", "wgan-gp"] = "logistic"
    r1_gamma: float = 0.0
    r1_every: int = 16
    augmentation: tuple[str, ...] = ("color", "translation")
    ema_half_life: float = 10_000.0
    decay_from: float = 1.0
    bf16: bool = True

    def __post_init__(self) -> None:
        if min(self.batch_size, self.images, self.r1_every) < 1 or not (
            0 < self.learning_rate < math.inf and 0 < self.ema_half_life < math.inf
        ):
            raise ValueError(f"counts are 1 or more, learning rate and half-life positive; got {self}")
        if not 0 <= self.decay_from <= 1:
            raise ValueError(f"decay_from is between 0 and 1; got {self.decay_from}")
        if not (0 <= self.r1_gamma < math.inf and 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"r1_gamma is 0 or more, beta1 and beta2 from 0 to below 1; got {self}")
        lookup(LOSSES, self.loss, "loss")
        for policy in self.augmentation:
            lookup(POLICIES, policy, "augmentation")

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return -(-self.images // self.batch_size)


class GANTask:
    """A generator, a discriminator and their optimizers.

    Args:
        settings: How to train.
        source: Real pictures of the settings' size.
        evaluate: Called with the averaged generator at each snapshot; its figures are logged.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ValueError: If the pictures have another size.
    """

    def __init__(
        self, settings: GANSettings, source: Pictures, evaluate: Evaluate | None = None, device: str = "auto"
    ) -> None:
        if source.size != settings.size:
            raise ValueError(f"the pictures of {source.name!r} are {source.size} px; the GAN makes {settings.size} px")
        self.settings, self.source, self.evaluate = settings, source, evaluate
        self.device = resolve_device(device)
        self.images_per_step = settings.batch_size
        self.loss = LOSSES[settings.loss]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(make_rng(settings.seed, "weights").initial_seed())
            generator = DCGAN(settings.size, settings.width, settings.z_dim)
            discriminator = DCGANDiscriminator(settings.size, settings.width)
        self.generator = self._place(generator)
        self.discriminator = self._place(discriminator)
        self.average = deepcopy(self.generator).eval().requires_grad_(False)
        adam = partial(torch.optim.Adam, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2))
        self.generator_optimizer = adam(self.generator.parameters())
        self.discriminator_optimizer = adam(self.discriminator.parameters())

    def step(self, index: int) -> dict[str, float]:
        """Train the discriminator, then the generator, on one batch; return their losses and mean logits."""
        self._schedule(index)
        figures = self._discriminator_step(index) | self._generator_step(index)
        half_life = min(self.settings.ema_half_life, 0.05 * (index + 1) * self.settings.batch_size)
        ema_update(self.average, self.generator, ema_decay(half_life, self.settings.batch_size))
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return both networks, the average, and both optimizers."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Write the averaged generator and a grid of 64 samples of a fixed seed, and evaluate it."""
        generator = deepcopy(self.average)
        calibrate_batch_norm(generator, self.settings.seed)
        facts = {"images_seen": images_seen, "data": self.source.name, "settings": asdict(self.settings)}
        save(generator, folder / "generator.safetensors", facts)
        with atomic_path(folder / f"samples-{images_seen:08d}.png") as temporary, torch.inference_mode():
            images = generator(generator.sample_z(64, seed=1))
            save_image(images, temporary, nrow=8, normalize=True, value_range=(-1, 1), format="png")
        return dict(self.evaluate(generator)) if self.evaluate is not None else {}

    @property
    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _discriminator_step(self, index: int) -> dict[str, float]:
        settings = self.settings
        real = self._real(index)
        with torch.no_grad(), self._autocast():
            fake = self.generator(self._z(index, "z-discriminator"))
        real = diff_augment(real, settings.augmentation, self._rng("augment-real", index))
        fake = diff_augment(fake.float(), settings.augmentation, self._rng("augment-fake", index))
        real_logits, fake_logits = self._logits(real), self._logits(fake)
        loss = self.loss.discriminator(real_logits, fake_logits)
        if self.loss.penalty_weight:
            penalty = gradient_penalty(self.discriminator, real, fake, self._rng("penalty", index))
            loss = loss + self.loss.penalty_weight * penalty
        if settings.r1_gamma and index % settings.r1_every == 0:
            loss = loss + settings.r1_gamma * settings.r1_every * r1_penalty(self.discriminator, real)
        self._descend(self.discriminator_optimizer, loss)
        return {
            "loss_discriminator": loss.item(),
            "logit_real": real_logits.mean().item(),
            "logit_fake": fake_logits.mean().item(),
        }

    def _generator_step(self, index: int) -> dict[str, float]:
        self.discriminator.requires_grad_(False)
        with self._autocast():
            fake = self.generator(self._z(index, "z-generator"))
        fake = diff_augment(fake.float(), self.settings.augmentation, self._rng("augment-generator", index))
        loss = self.loss.generator(self._logits(fake))
        self._descend(self.generator_optimizer, loss)
        self.discriminator.requires_grad_(True)
        return {"loss_generator": loss.item()}

    def _logits(self, images: Tensor) -> Tensor:
        with self._autocast():
            logits: Tensor = self.discriminator(images)
        return logits.float()

    def _real(self, index: int) -> Tensor:
        batch = self.source.batch(self._order(index), self._rng("crop", index))
        images: Tensor = batch.images.to(self.device).float() / 127.5 - 1
        return images.contiguous(memory_format=torch.channels_last)

    def _order(self, index: int) -> list[int]:
        """Return which pictures step ``index`` sees: each epoch is a permutation of its own."""
        size, count = self.settings.batch_size, len(self.source)
        wanted = range(index * size, (index + 1) * size)
        return [_permutation(self.settings.seed, i // count, count)[i % count] for i in wanted]

    def _z(self, index: int, stream: str) -> Tensor:
        shape = (self.settings.batch_size, self.settings.z_dim)
        return torch.randn(shape, generator=self._rng(stream, index)).to(self.device)

    def _rng(self, stream: str, index: int) -> torch.Generator:
        return make_rng(self.settings.seed, stream, index)

    def _schedule(self, index: int) -> None:
        """Set the learning rate, a pure function of the step."""
        left = 1 - index / self.settings.num_steps
        share = min(1.0, left / max(1 - self.settings.decay_from, 1 / self.settings.num_steps))
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * share

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16)

    def _place(self, network: nn.Module) -> Any:
        return network.to(self.device, memory_format=torch.channels_last).train()

    @staticmethod
    def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=make_rng(seed, "order", epoch)).tolist()


@torch.no_grad()
def calibrate_batch_norm(generator: LayeredGenerator, seed: int, num_batches: int = 16, batch_size: int = 128) -> None:
    """Measure batch-norm statistics anew, in place: averaged weights do not fit the statistics of the live ones.

    Args:
        generator: Left in eval mode.
        seed: Seed of the latent vectors.
        num_batches: How many batches are averaged.
        batch_size: Latent vectors a batch.

    Source: Brock et al. 2019 ("standing statistics").
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    generator.train()
    for index in range(num_batches):
        generator(torch.randn(batch_size, generator.z_dim, generator=make_rng(seed, "calibrate", index)))
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def train_generator(
    settings: GANSettings,
    source: Pictures,
    folder: Path | str,
    *,
    evaluate: Evaluate | None = None,
    snapshot_images: int = 50_000,
    checkpoint_images: int = 25_000,
    device: str = "auto",
) -> Path:
    """Train a GAN, or continue the training that the folder holds.

    Args:
        settings: How to train.
        source: Real pictures of the settings' size.
        folder: The run: checkpoint, metrics, sample grids, and ``generator.safetensors``.
        evaluate: Called with the averaged generator at each snapshot; its figures are logged.
        snapshot_images: Images between snapshots.
        checkpoint_images: Images between checkpoints.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The path of the trained generator, which `generators.load` reads.

    Raises:
        ValueError: If the pictures have another size, or the folder holds a run with other settings.
        FloatingPointError: If the training diverges.
    """
    task = GANTask(settings, source, evaluate, device)
    policies = list(settings.augmentation)
    identity = asdict(settings) | {"augmentation": policies, "data": source.name, "pictures": len(source)}
    steps = partial(_steps, settings.batch_size)
    train(
        task,
        folder,
        identity,
        num_steps=settings.num_steps,
        snapshot_every=steps(snapshot_images),
        checkpoint_every=steps(checkpoint_images),
    )
    return Path(folder) / "generator.safetensors"


def _steps(batch_size: int, images: int) -> int:
    if images < 1:
        raise ValueError(f"snapshot_images and checkpoint_images are 1 or more; got {images}")
    return max(1, images // batch_size)
