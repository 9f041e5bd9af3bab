"""The engine: what the training of every family has in common.

A task owns networks and their optimizers by name, takes its turns on each step, averages the generator's weights, and
writes checkpoints and snapshots. All randomness of a turn derives from ``(seed, stream, number)``, so a resumed run is
bit-equal to an uninterrupted one on CPU.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchvision.utils import save_image

from gandissect.core.defaults import plain_defaults
from gandissect.core.environment import resolve_device
from gandissect.core.protocols import PictureSource
from gandissect.core.sampling import derive_seed, make_rng
from gandissect.storage.files import atomic_path
from gandissect.storage.runs import ema_decay, update_ema

from ..architectures.base import LayeredGenerator
from ..architectures.blocks import MinibatchStd
from ..architectures.conditional import ConditionalGenerator
from ..hub import BEST, LAST, save
from .calibration import calibrate_batch_norm
from .draws import Draws
from .families import build_networks
from .growth import Growth, growth_at
from .needs import check_pictures, names_of
from .networks import TrainedGenerator, sizes_of
from .pictures import RealPictures
from .points import draw_points
from .processes import Processes
from .settings import TrainingSettings
from .turns import Turn

Evaluate = Callable[[LayeredGenerator], Mapping[str, float]]
S = TypeVar("S", bound=TrainingSettings)


class Stateful(Protocol):
    """Anything whose state is saved in checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Restore the state."""


class TrainingTask(ABC, Generic[S]):
    """The networks of a family with their optimizers, and the turns of a step.

    Args:
        settings: Settings of the training.
        source: Real pictures of the settings' resolution, with classes where the family needs them.
        evaluate: Called with the averaged generator at each snapshot of full size; its figures are logged, and the
            snapshot with the smallest ``distance`` is kept as ``best.safetensors``.
        held_out: Pictures that are never trained on; what they are used for depends on the family.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ValueError: If the pictures have another size, are fewer than a batch, or lack classes that the family needs.
    """

    def __init__(
        self,
        settings: S,
        source: PictureSource,
        evaluate: Evaluate | None = None,
        held_out: PictureSource | None = None,
        device: str = "auto",
    ) -> None:
        self.settings, self.source, self.evaluate, self.held_out = settings, source, evaluate, held_out
        self.processes = Processes(resolve_device(device))
        self.device = self.processes.device
        self.rows = self.processes.rows(settings.batch_size, MinibatchStd.GROUP)
        self.pictures = RealPictures(settings, source, self.rows, self.device)
        self.images_per_step = settings.images_per_step
        check_pictures(settings.architecture, source, self.pictures.classes)
        with plain_defaults(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(settings.seed, "weights"))
            networks = build_networks(settings, names_of(settings.architecture, source))
        self.sizes = sizes_of(settings)
        self.networks = {name: self._place(network) for name, network in networks.items()}
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = {name: self._make_optimizer(name) for name in self.networks}
        self.connected = {name: self.processes.connect(network) for name, network in self.networks.items()}
        self.best = math.inf
        self.turns = self.make_turns()

    @abstractmethod
    def make_turns(self) -> Sequence[Turn]:
        """Return the turns of a step, in order."""

    def turns_at(self, index: int) -> Sequence[Turn]:  # noqa: ARG002
        """Return the turns of a step; by default all in every step."""
        return self.turns

    @property
    def state(self) -> dict[str, Stateful]:
        """What a checkpoint holds besides networks and optimizers, by name; here nothing."""
        return {}

    @property
    def network(self) -> TrainedGenerator:
        """The generator in training."""
        return cast(TrainedGenerator, self.networks["generator"])

    @property
    def generator(self) -> LayeredGenerator:
        """The generator of full-size images that is trained."""
        return self.network.generator

    def growth(self, images_seen: int) -> Growth:
        """Return how far the networks have grown after a number of images."""
        hold, fade = (getattr(self.settings, name, 0) for name in ("hold_images", "fade_images"))
        return growth_at(images_seen, self.sizes, hold, fade)

    def step(self, index: int) -> dict[str, float]:
        """Take every turn on new pictures; return their figures."""
        growth = self.growth(index * self.images_per_step)
        self._schedule(index, growth)
        figures: dict[str, Tensor] = {}
        for turn in self.turns_at(index):
            figures |= turn.take(self, index, growth)
        half_life = min(self.settings.ema_half_life, 0.05 * (index + 1) * self.images_per_step)
        averaged = self.processes.average(figures)
        self.update_averages(ema_decay(half_life, self.images_per_step))
        return averaged

    def update_averages(self, decay: float) -> None:
        """Move the averaged generator towards the one in training."""
        update_ema(self.average, self.network, decay)

    def descend(self, names: Sequence[str], loss: Float[Tensor, ""]) -> None:
        """Take a step down the gradient of a loss with the optimizers of some networks."""
        optimizers = [self.optimizers[name] for name in names]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            if self.settings.clip_gradient:
                weights = [weight for group in optimizer.param_groups for weight in group["params"]]
                nn.utils.clip_grad_norm_(weights, self.settings.clip_gradient)
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {name: part.state_dict() for name, part in self._parts.items()} | {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.best = float(state["best"])

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Write the averaged generator and a grid of 64 samples of a fixed seed, and evaluate it.

        The generator is written under the number of images seen, and is the run's last until the next snapshot. While
        a resolution is faded in, the generator that is written still makes images of the resolution before.
        """
        growth, facts = self.growth(images_seen), self._describe(images_seen)
        generator = self._make_average(growth)
        for name in (LAST, f"generator-{images_seen:08d}.safetensors"):
            self.write(generator, folder / name, facts)
        self.draw_samples(generator, folder / f"samples-{images_seen:08d}.png")
        figures = self.measure(generator, growth)
        if self.evaluate is not None and growth == Growth(self.settings.resolution, 1.0):
            figures |= self.evaluate(self.place(generator))
        if (distance := figures.get("distance", math.inf)) < self.best:
            self.best = distance
            self.write(generator, folder / BEST, facts | {"distance": distance})
        return figures

    def write(self, generator: LayeredGenerator, path: Path, facts: dict[str, Any]) -> None:
        """Write the averaged generator to a file."""
        save(generator, path, facts, overwrite=True)

    def measure(self, generator: LayeredGenerator, growth: Growth) -> dict[str, float]:  # noqa: ARG002
        """Return the family's own figures of a snapshot of the averaged generator; here none."""
        return {}

    def place(self, generator: LayeredGenerator) -> LayeredGenerator:
        """Return the averaged generator as it is evaluated: a translator on held-out pictures."""
        return generator

    def draw_samples(self, generator: LayeredGenerator, path: Path) -> None:
        """Write a picture of the generator's samples, with one row per class where there are classes."""
        if generator.image_size == (1, 1):
            draw_points(generator, self.source, path)
            return
        with torch.inference_mode():
            images = generator(_draw_samples(generator))
        with atomic_path(path, overwrite=True) as temporary:
            save_image(images, temporary, nrow=8, normalize=True, value_range=(-1, 1), format="png")

    def export(self, folder: Path, images_seen: int) -> None:
        """Write the averaged generator as the run's last."""
        average = self._make_average(self.growth(images_seen))
        self.write(average, folder / LAST, self._describe(images_seen))

    def make_draws(self, stream: str, number: int, device: torch.device | str = "cpu") -> Draws:
        """Return the random numbers of a stream for a whole batch, of which this process sees its rows."""
        rng = make_rng(self.settings.seed, stream, number, device=device)
        return Draws(rng, self.settings.batch_size, self.rows)

    def draw_rows(self, stream: str, number: int, *, everyone: bool = False) -> Float[Tensor, "batch z"]:
        """Draw the generator's rows: standard normal noise, and classes as frequent as among the real pictures.

        Args:
            stream: Name of the stream.
            number: Number of the turn.
            everyone: Draw the rows of all processes.
        """
        rows = slice(None) if everyone else self.rows

        def draws(purpose: str) -> Draws:
            return Draws(make_rng(self.settings.seed, f"{purpose}-{stream}", number), self.settings.batch_size, rows)

        noise = draws("z").normal(self.generator.noise_dim)
        frequencies = self.pictures.class_frequencies
        if not self.generator.classes or frequencies is None:
            return noise.to(self.device)
        classes = torch.searchsorted(frequencies.cumsum(0)[:-1], draws("classes").uniform(), right=True)
        return self.generator.join_row(noise, classes).to(self.device)

    def generate(self, network: nn.Module, rows: Tensor, stream: str, number: int, growth: Growth) -> Tensor:
        """Return the images of rows, float32; ``network`` is the generator in training or its connected form."""
        with self.autocast():
            images: Tensor = network(rows, growth, self.make_draws(f"styles-{stream}", number, self.device))
        return images.float()

    def classes_of(self, rows: Float[Tensor, "batch z"]) -> Int64[Tensor, " batch"] | None:
        """Return the classes of rows, or None where the generator has none."""
        return rows[:, -len(classes) :].argmax(1) if (classes := self.generator.classes) else None

    def autocast(self) -> torch.autocast:
        """Return a context that computes in bfloat16 where the settings allow it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16)

    def _make_average(self, growth: Growth) -> LayeredGenerator:
        generator = self.average.export(growth.size if growth.alpha == 1 else growth.size // 2)
        calibrate_batch_norm(generator, self.settings.seed)
        return generator

    def _describe(self, images_seen: int) -> dict[str, Any]:
        return {"images_seen": images_seen, "data": self.source.name, "settings": asdict(self.settings)}

    @property
    def _parts(self) -> dict[str, Stateful]:
        optimizers = {f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()}
        return {**self.networks, "average": self.average, **optimizers, **self.state}

    def learning_rate_at(self, name: str, index: int) -> float:
        """Return the learning rate of a network in a step."""
        return self.settings.learning_rate_of(name) * decay_at(index, self.settings)

    def _schedule(self, index: int, growth: Growth) -> None:
        """Set the learning rates, a pure function of the step; clear the optimizers' moments when networks grow."""
        has_grown = index > 0 and growth.size != self.growth((index - 1) * self.images_per_step).size
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate_at(name, index)
            if has_grown:
                optimizer.state.clear()

    def _make_optimizer(self, name: str) -> torch.optim.Optimizer:
        settings, weights = self.settings, self.networks[name].parameters()
        rate = settings.learning_rate_of(name)
        if settings.optimizer == "rmsprop":
            return torch.optim.RMSprop(weights, lr=rate, alpha=settings.beta2)
        fused = self.device.type in {"cpu", "cuda"}
        return torch.optim.Adam(weights, lr=rate, betas=(settings.beta1, settings.beta2), fused=fused)

    def _place(self, network: nn.Module) -> nn.Module:
        network = self.processes.synchronize_norms(network)
        return network.to(self.device).to(memory_format=torch.channels_last).train()


def _draw_samples(generator: LayeredGenerator) -> Float[Tensor, "batch z"]:
    """Return 64 rows of a fixed seed, or eight of each of the first classes."""
    if not isinstance(generator, ConditionalGenerator):
        return generator.sample_z(64, seed=1)
    count = 8 * min(len(generator.classes), 16)
    return generator.sample_z(count, seed=1, classes=torch.arange(count, device="cpu") // 8)


def decay_at(step: int, settings: TrainingSettings) -> float:
    """Return the share of the learning rate in a step: 1, then from ``decay_from`` of the steps linearly to zero."""
    left = 1 - step / settings.num_steps
    return min(1.0, left / max(1 - settings.decay_from, 1 / settings.num_steps))
