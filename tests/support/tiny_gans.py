"""Pictures and settings so small that a GAN trains on them in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn

from gandissect.core.types import Concept
from generators.training import RECIPES, GANSettings, TrainingSettings, make_task
from generators.training.draws import Draws
from generators.training.engine import TrainingTask
from generators.training.families import build_networks
from generators.training.networks import TrainedGenerator
from generators.training.settings import GROWING, USED_BY


class Noise:
    """Coloured noise pictures of three classes, with captions that state the class or nothing, and inputs.

    An input is a label map of concepts that are named as the classes are.

    The training view is the evaluation view, flipped for some numbers of the generator.
    """

    name = "noise"
    classes: tuple[str, ...] = ("plain", "rough", "wild")
    vocabulary = ("noise", "plain", "rough", "wild")
    num_captions = 2
    inputs = SimpleNamespace(concepts=tuple(Concept(*each, (9, 9, 9)) for each in enumerate(classes)))
    label_maps = True

    def __init__(self, count: int = 20, size: int = 16, classes: tuple[str, ...] = classes) -> None:
        self.count, self.size, self.classes = count, size, classes
        self.class_indices = torch.arange(count) % len(classes)

    def __len__(self) -> int:
        return self.count

    def captions(self, indices: Sequence[int], numbers: Sequence[int]) -> tuple[str, ...]:
        stated = (self.classes[index % 3] for index in indices)
        return tuple(f"{name} noise" if number else "noise" for name, number in zip(stated, numbers, strict=True))

    def fits(self, indices: Sequence[int], numbers: Sequence[int]) -> torch.Tensor:
        captions = list(zip(indices, numbers, strict=True))
        return torch.tensor([[not number or other % 3 == i % 3 for other, number in captions] for i in indices])

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        shape = (3, self.size, self.size)
        pictures = [torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(i)) for i in indices]
        flips = torch.zeros(len(indices)) if rng is None else torch.rand(len(indices), generator=rng)
        images = torch.stack([p.flip(2) if f > 0.5 else p for p, f in zip(pictures, flips, strict=True)])
        return SimpleNamespace(images=images.to(torch.uint8), inputs=SimpleNamespace(labels=images[:, 0] % 4 - 1))


class Stops(Noise):
    """Is interrupted when it is asked for pictures to learn from for the n-th time."""

    def __init__(self, at: int, **options: Any) -> None:
        super().__init__(**options)
        self.left = at

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        self.left -= rng is not None
        if self.left == 0:
            raise KeyboardInterrupt
        return super().batch(indices, rng)


def noise_for(architecture: str, **options: Any) -> Noise:
    """Return noise of as many classes as an architecture needs, which is interrupted ``at`` a time if one is given."""
    kind = Stops if "at" in options else Noise
    return kind(**options, classes=Noise.classes[:2] if architecture == "cyclegan" else Noise.classes)


def count_reads(settings: TrainingSettings) -> int:
    """Return how often a step of a training reads pictures."""
    endless = cast(Stops, noise_for(settings.architecture, at=10**6))
    make_task(settings, endless, device="cpu").step(0)
    return 10**6 - endless.left


def tiny(architecture: str, /, **changes: Any) -> Any:
    """Return an architecture's recipe at 16 px, eight images a step, growing where it can: 8 px for two steps, then
    16 px, faded in during four, and so on up to the resolution, which is trained for two steps alone."""
    small = {"resolution": 16, "width": 4, "max_width": 8, "z_dim": 6, "mapping_depth": 2}
    small |= {"discriminator_width": 4, "blocks": 1, "pool_size": 6}
    doublings = (changes.get("resolution", 16) // 8).bit_length() - 1
    run = {"batch_size": 8, "images": 16 + 48 * max(1, doublings), "r1_every": 3, "resident": False, "bf16": False}
    run |= {"discriminator_turns": 1}
    growth = {"hold_images": 16, "fade_images": 32} if architecture in GROWING else {}
    if architecture == "stackgan":
        small |= {"caption_dim": 4, "code_dim": 3, "text_dim": 3, "caption_images": 8, "first_images": 8}
    if architecture == "agecgan":
        small |= {"gan_images": 16, "encoder_width": 4}
    recipe = RECIPES[architecture]
    known = {field.name for field in fields(recipe) if architecture in USED_BY.get(field.name, [architecture])}
    sizes = {name: value for name, value in {**small, **run, **growth}.items() if name in known}
    return replace(recipe, **{**sizes, **changes})


def whole_training(architecture: str) -> tuple[int, ...]:
    """Return steps of a tiny training in which every network learns: in the middle of fading in, where it grows."""
    return (0, 1, 4, 5) if architecture in ("agecgan", "stackgan") else (4, 5)


def tiny_task(architecture: str, /, **changes: Any) -> TrainingTask[Any]:
    """Return a family's task with tiny networks, which learn from noise."""
    return make_task(tiny(architecture, **changes), noise_for(architecture), device="cpu")


def enliven(network: nn.Module, seed: int = 1) -> nn.Module:
    """Give what begins as zero other values, so that a mistake shows."""
    rng = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if not name.endswith("num_batches_tracked") and not value.any():
            value.normal_(0, 0.3, generator=rng)
    return network


def networks(settings: GANSettings, seed: int = 0) -> tuple[TrainedGenerator, nn.Module]:
    """Return both networks of a training, alive, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = build_networks(settings, Noise.classes).values()
    return enliven(generator).eval(), enliven(discriminator).eval()


def draws(total: int, seed: int = 0) -> Draws:
    """Return random numbers of a batch."""
    return Draws(torch.Generator().manual_seed(seed), total)
