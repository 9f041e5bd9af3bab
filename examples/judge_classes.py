"""Judge a generator of gray pictures, or one of several classes, by classifiers trained on real pictures and samples.

    python examples/judge_classes.py cgan-digits32 --data DATA/mnist10k --hold-out 0.5 --out judged.json

The pictures are split as for the generator's training: one part it learned from, one it never saw (or `--unseen`). Of
the unseen part a fifth is never trained on here either. Four figures, each with Wilson's 95% interval:

- *samples*: how often a judge, trained on unseen pictures, names the class that a sample was made for;
- *real*: how often it is right on the fifth, which is the ceiling; chance is the floor;
- *trained on samples*: how often a classifier trained on samples is right on all unseen pictures;
- *trained on real*: the same for one trained on the pictures that the generator learned from, which is its ceiling.

Of a generator without classes, the first two are how many of the pictures' classes the samples cover, how evenly, and
how often the judge is sure:

    python examples/judge_classes.py gan-digits32 --data DATA/mnist10k

Source: Ravuri and Vinyals 2019, arXiv 1905.10887; Shmelkov et al. 2018, arXiv 1807.09499.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn

import generators
from gandissect.core import from_uint8, load_pictures, make_rng, resolve_device
from gandissect.core.pictures import pick_evenly
from gandissect.core.protocols import PictureSource, as_classed
from gandissect.fidelity import (
    ClassAccuracy,
    Judge,
    ModeCoverage,
    count_classes,
    count_stacked_modes,
    measure_class_accuracy,
    measure_stacked_modes,
)
from gandissect.storage import write_json
from generators import ConditionalGenerator
from segmenters.datasets import open_pictures, open_source

BATCH = 128
SHIFT = 2
"""Largest shift of a picture in training, in pixels, along each axis."""


@dataclass(frozen=True)
class Options:
    """Judge a generator of gray pictures, or one of several classes.

    Args:
        generator: Bundled name, file or training folder of the generator.
        data: Pictures that the generator was trained on, with classes, as for gandissect train generator.
        hold_out: Share that was held out from its training.
        judge_on: Pictures that the judge learns from: unseen by the generator, or learned by it.
        unseen: Pictures that it never saw, in place of those that were held out; of scenes, those for evaluation.
        num_samples: Number of samples to judge.
        steps: Training steps of each classifier, of 128 pictures.
        seed: Seed of samples and classifiers.
        out: JSON file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, ...]
    hold_out: float = 0.5
    judge_on: Literal["unseen", "learned"] = "unseen"
    unseen: str | None = None
    num_samples: int = 5_000
    steps: int = 1_500
    seed: int = 0
    out: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Examples:
    """Images in [-1, 1], float32 ``[n, 3, H, W]``, with the index of their class, int64 ``[n]``."""

    images: Tensor
    classes: Tensor

    def pick(self, chosen: Tensor) -> Examples:
        """Return some of the examples, by index or by mask."""
        return Examples(self.images[chosen], self.classes[chosen])


def build_classifier(num_classes: int, width: int = 16) -> nn.Module:
    """Return a small convolutional network, which halves the grid three times and averages over it."""
    head = (nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * width, num_classes))
    return nn.Sequential(*make_stages(width), *head)


def make_stages(width: int) -> list[nn.Module]:
    """Return convolutions of a picture that halve the grid three times; the last have ``4 * width`` units."""
    layers: list[nn.Module] = []
    before = 3
    for units in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(before, units, 3, 2, 1, bias=False), nn.BatchNorm2d(units), nn.ReLU()]
        layers += [nn.Conv2d(units, units, 3, 1, 1, bias=False), nn.BatchNorm2d(units), nn.ReLU()]
        before = units
    return layers


def train_classifier(examples: Examples, num_classes: int, options: Options, stream: str) -> Judge:
    """Return a classifier trained on examples, each shifted at random, with a learning rate that falls to 0."""
    device = resolve_device(options.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = build_classifier(num_classes).to(device)
        adam = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
        for step in range(options.steps):
            rng = make_rng(options.seed, stream, step)
            chosen = torch.randint(len(examples.images), (BATCH,), generator=rng)
            down, across = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=rng).tolist()
            images = examples.images[chosen].roll((down, across), (2, 3)).to(device)
            loss = nn.functional.cross_entropy(
                network(images), examples.classes[chosen].to(device), label_smoothing=0.05
            )
            for group in adam.param_groups:
                group["lr"] = 2e-3 * (1 - step / options.steps)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
    network.eval().requires_grad_(False)
    return lambda images: network(images.to(device))


def read_examples(source: PictureSource, limit: int | None = None) -> Examples:
    """Return the pictures of a source that has classes: all of them, or evenly spaced ones up to a limit."""
    if (classed := as_classed(source)) is None:
        raise ValueError(f"{source.name} has no classes")
    count = len(source) if limit is None else limit
    return Examples(from_uint8(load_pictures(source, count)), classed.class_indices[list(pick_evenly(source, count))])


def open_sides(options: Options, size: int) -> tuple[PictureSource, PictureSource]:
    """Return the pictures that the generator learned from, and those that it never saw."""
    learned, held_out = open_pictures(options.data, size, options.hold_out)
    unseen = held_out if options.unseen is None else open_source(options.unseen, size, held_out=True)
    if unseen is None:
        raise ValueError("no pictures are held out; set --hold-out or --unseen")
    return learned, unseen


@torch.no_grad()
def draw_examples(generator: ConditionalGenerator, count: int, seed: int) -> Examples:
    """Return samples of a generator with the classes that they were made for."""
    parts = [generator.sample_z(min(BATCH, count - start), seed, start) for start in range(0, count, BATCH)]
    images = torch.cat([generator(z).clamp(-1, 1).cpu() for z in parts])
    return Examples(images, torch.cat(parts)[:, generator.noise_dim :].argmax(1))


def measure(judge: Judge, examples: Examples, classes: tuple[str, ...]) -> ClassAccuracy:
    """Return how often a judge is right on examples."""
    batches = zip(examples.images.split(BATCH), examples.classes.split(BATCH), strict=True)
    counts = [count_classes(judge, images, right, len(classes)) for images, right in batches]
    return ClassAccuracy(classes, torch.stack(counts).sum(0))


def judge_generator(options: Options) -> dict[str, ClassAccuracy] | dict[str, ModeCoverage]:
    """Return the figures by name."""
    generator = generators.load(options.generator, options.device)
    learned, unseen = map(read_examples, open_sides(options, generator.image_size[0]))
    count = int(unseen.classes.max()) + 1
    tested = torch.arange(len(unseen.images)) % (5 if options.judge_on == "unseen" else 1) == 0
    material = unseen.pick(~tested) if options.judge_on == "unseen" else learned
    judge, real = train_classifier(material, count, options, "judge"), unseen.pick(tested)
    if not isinstance(generator, ConditionalGenerator):
        coverage = measure_stacked_modes(generator, judge, options.num_samples, options.seed, stacked=1)
        return {"samples": coverage, "real": count_stacked_modes(real.images.split(BATCH), judge, stacked=1)}
    classes = generator.classes
    figures = {
        "samples": measure_class_accuracy(generator, judge, options.num_samples, options.seed),
        "real": measure(judge, real, classes),
    }
    samples = draw_examples(generator, len(learned.images), options.seed + 1)
    for name, examples in (("trained on samples", samples), ("trained on real", learned)):
        figures[name] = measure(train_classifier(examples, count, options, "student"), unseen, classes)
    return figures


def describe(accuracy: ClassAccuracy | ModeCoverage) -> dict[str, Any]:
    """Return a figure as JSON values."""
    if isinstance(accuracy, ModeCoverage):
        return asdict(accuracy)
    figures = {"accuracy": accuracy.accuracy, "interval": accuracy.interval, "chance": accuracy.chance}
    return figures | {"num_images": accuracy.num_images, "confusion": accuracy.confusion.tolist()}


def main(options: Options) -> None:
    """Print the figures, and write them if asked to."""
    figures = judge_generator(options)
    for name, accuracy in figures.items():
        print(f"{name}: {accuracy!r}")
    if options.out is not None:
        write_json(options.out, {name: describe(accuracy) for name, accuracy in figures.items()}, overwrite=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
