"""Judge whether a generator of scenes by hour (an Age-cGAN) draws the hours, and shows a scene at other hours.

    python examples/judge_hours.py agecgan-scenes64 --out judged.json --strip hours.png

Whether it draws the hours, by a judge that was trained on real scenes of its own seed; each figure beside that of real
scenes, at the middle of each hour's fifth of the day:

- *accuracy*: how often the judge names the hour of a sample (Wilson's 95% interval), and by how many hours it is wrong;
- *rising*: for how many noises the judge's expected hour rises at every step through the day; by chance 1 in 120.

Whether a scene stays the same: scenes that the generator never saw are inverted with their hour held, and shown at the
four others. The labels that a segmenter gives to the result are compared with the scene's true labels; the IoU is
averaged over the concepts that are in either, over the four hours, and over scenes, with its 95% interval.

- *encoder*: the noise is the encoder's; *pixels* and *identity*: it is optimized from there by L-BFGS, for the smallest
  distance of pixels, or of the segmenter's features;
- *real*: the true scene at the other hour, which is the ceiling;
- *chance*: the identity's result, with the labels of another scene.

The segmenter that judges is the one whose features are compared. Labels of the true scenes do not depend on it.

Source: Antipov et al. 2017, arXiv 1702.01983, Sec. 3 (with a face recognizer in place of the segmenter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import judge_classes
import torch
import tyro
from judge_pairs import BATCH, label_masks
from torch import Tensor
from torch.nn import functional

import generators
import segmenters
from gandissect.core import from_uint8
from gandissect.fidelity import ClassAccuracy, Judge, measure_class_accuracy, overlap
from gandissect.latent import invert
from gandissect.report import draw_columns, save_png
from gandissect.stats import half_width
from gandissect.storage import write_json
from generators import ConditionalGenerator
from segmenters import UNetSegmenter
from segmenters.datasets import Scenes

JUDGE_SEED, UNSEEN_SEED = 101, 102
"""Seeds of the scenes that the judge learns from, and of those that neither it nor the generator saw."""
METHODS: dict[str, dict[str, Any]] = {
    "encoder": {"num_steps": 0},
    "pixels": {"optimizer": "lbfgs"},
    "identity": {"optimizer": "lbfgs", "pixels": False},
}


@dataclass(frozen=True)
class Options:
    """Judge a generator of scenes by hour.

    Args:
        generator: Bundled name, file or training folder of the generator, with its encoder.
        segmenter: Segmenter of scenes whose features are kept.
        num_learned: Number of scenes that the judge learns from.
        judge_steps: Training steps of the judge, of 128 scenes.
        num_samples: Number of samples to judge, and of real scenes; a fifth of it is the number of noises.
        num_scenes: Number of scenes to show at other hours, at least two per hour.
        num_steps: Largest number of steps of L-BFGS.
        seed: Seed of the samples and the judge.
        out: JSON file to write.
        strip: PNG file to write: a few scenes, and what is shown of each at every hour.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    segmenter: str = "unet-scenes"
    num_learned: int = 4_000
    judge_steps: int = 600
    num_samples: int = 2_000
    num_scenes: int = 60
    num_steps: int = 60
    seed: int = 0
    out: Path | None = None
    strip: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of scenes is kept at other hours: IoU of each scene, float64 ``[scene]``."""

    iou: Tensor

    def describe(self) -> dict[str, Any]:
        """Return mean, 95% interval by Student's t, and number of scenes."""
        mean, count = float(self.iou.mean()), len(self.iou)
        reach = half_width(float(self.iou.std()) / count**0.5, count - 1)
        return {"iou": mean, "interval": (mean - reach, mean + reach), "num_scenes": count}


def train_judge(size: int, options: Options) -> Judge:
    """Return a classifier of hours, trained on scenes that the generator never saw."""
    scenes = Scenes(size, options.num_learned, JUDGE_SEED, hour="drawn")
    words = judge_classes.Options("", (), steps=options.judge_steps, seed=options.seed, device=options.device)
    return judge_classes.train_classifier(judge_classes.read_examples(scenes), len(scenes.classes), words, "hours")


def scenes_by_hour(size: int, count: int) -> list[Scenes]:
    """Return the same unseen scenes at the middle of each hour's share of the day."""
    num_hours = len(Scenes(size, 1, hour="drawn").classes)
    return [Scenes(size, count, UNSEEN_SEED, hour=(hour + 0.5) / num_hours) for hour in range(num_hours)]


def mean_error(accuracy: ClassAccuracy) -> float:
    """Return by how many hours the judge is wrong on average."""
    hours = torch.arange(len(accuracy.classes))
    return float((accuracy.confusion * (hours[:, None] - hours).abs()).sum().double() / accuracy.confusion.sum())


@torch.no_grad()
def expect_hours(judge: Judge, images: Tensor) -> Tensor:
    """Return the expectation of the judge's hour for images, float64 ``[image]``."""
    chances = functional.softmax(judge(images).double().cpu(), dim=1)
    return chances @ torch.arange(chances.shape[1], dtype=torch.float64)


def share_rising(expected: Tensor) -> float:
    """Return the share of the rows of expected hours, ``[row, hour]``, that rise at every step."""
    return float((expected.diff(dim=1) > 0).all(1).double().mean())


def judge_samples(generator: ConditionalGenerator, judge: Judge, options: Options) -> dict[str, Any]:
    """Return how well the judge tells the hours of samples."""
    accuracy = measure_class_accuracy(generator, judge, options.num_samples, options.seed)
    count = options.num_samples // len(generator.classes)
    z, expected = generator.sample_z(count, options.seed).to(generator.device), list[Tensor]()
    for name in generator.classes:
        rows = generator.change_class(z, name).split(BATCH)
        expected.append(torch.cat([expect_hours(judge, draw(generator, part)) for part in rows]))
    return describe(accuracy, torch.stack(expected, dim=1))


def judge_real(size: int, classes: tuple[str, ...], judge: Judge, options: Options) -> dict[str, Any]:
    """Return the same of real scenes."""
    columns, confusion = list[Tensor](), torch.zeros(len(classes), len(classes), dtype=torch.int64)
    for hour, scenes in enumerate(scenes_by_hour(size, options.num_samples // len(classes))):
        images = list(read(scenes))
        columns.append(torch.cat([expect_hours(judge, part) for part in images]))
        named = torch.cat([judge(part).argmax(1).cpu() for part in images])
        confusion[hour] = torch.bincount(named, minlength=len(classes))
    return describe(ClassAccuracy(classes, confusion), torch.stack(columns, dim=1))


def describe(accuracy: ClassAccuracy, expected: Tensor) -> dict[str, Any]:
    """Return figures of hours as JSON values."""
    return {
        "accuracy": accuracy.accuracy,
        "interval": accuracy.interval,
        "num_images": accuracy.num_images,
        "mean_error": mean_error(accuracy),
        "rising": share_rising(expected),
        "num_noises": len(expected),
        "confusion": accuracy.confusion.tolist(),
    }


def judge_identity(
    generator: ConditionalGenerator, segmenter: UNetSegmenter, judge: Judge, options: Options
) -> dict[str, Any]:
    """Return how much of scenes each method keeps at other hours, and how often the hour is right there."""
    encode = generators.load_encoder(options.generator, options.device).encode
    size, num_hours = generator.image_size[0], len(generator.classes)
    scenes, masks = scenes_by_hour(size, options.num_scenes), label_masks(segmenter)
    kept = {name: torch.zeros(options.num_scenes, dtype=torch.float64) for name in (*METHODS, "real", "chance")}
    right = dict.fromkeys(METHODS, 0)
    for hour, name in enumerate(generator.classes):
        chosen = list(range(hour, options.num_scenes, num_hours))
        pictures = from_uint8(scenes[hour].batch(chosen).images)
        true = one_hot(scenes[hour].batch(chosen).labels, len(segmenter.concepts))
        found = {}
        for method, words in METHODS.items():
            features = segmenter.encode if method == "identity" else None
            steps = {"num_steps": options.num_steps, "features": features, **words}
            inversion = invert(generator.of_classes(name), pictures, encoder=encode, num_starts=1, **steps)
            found[method] = inversion.latents.to(generator.device)
        for other in set(range(num_hours)) - {hour}:
            for method, z in found.items():
                images = draw(generator, generator.change_class(z, other))
                labels = masks(images).cpu()
                kept[method][chosen] += overlap(true, labels) / (num_hours - 1)
                right[method] += int((judge(images).argmax(1).cpu() == other).sum())
                if method == "identity":
                    kept["chance"][chosen] += overlap(true.roll(1, 0), labels) / (num_hours - 1)
            real = from_uint8(scenes[other].batch(chosen).images)
            kept["real"][chosen] += overlap(true, masks(real).cpu()) / (num_hours - 1)
    shown = options.num_scenes * (num_hours - 1)
    figures = {name: Kept(iou).describe() for name, iou in kept.items()}
    for method, count in right.items():
        figures[method]["hour_right"] = count / shown
    return figures


def draw_strip(generator: ConditionalGenerator, features: Callable[[Tensor], list[Tensor]], options: Options) -> None:
    """Write a table: one scene per hour, and what is shown of it at every hour."""
    encode = generators.load_encoder(options.generator, options.device).encode
    rows = list[Tensor]()
    for hour, scenes in enumerate(scenes_by_hour(generator.image_size[0], len(generator.classes))):
        picture = from_uint8(scenes.batch([hour]).images)
        held = generator.of_classes(hour)
        words = {"encoder": encode, "features": features, "num_steps": options.num_steps, **METHODS["identity"]}
        z = invert(held, picture, num_starts=1, **words).latents.to(generator.device)
        shown = [draw(generator, generator.change_class(z, name)).cpu() for name in generator.classes]
        rows.append(torch.cat([picture, *shown]))
    assert options.strip is not None
    save_png(draw_columns(["scene", *generator.classes], torch.stack(rows)), options.strip)


def one_hot(labels: Tensor, count: int) -> Tensor:
    """Return the mask of each concept, bool ``[batch, concept, H, W]``; labels of -1 are in none."""
    return functional.one_hot(labels.long() + 1, count + 1)[..., 1:].movedim(3, 1).bool()


def read(scenes: Scenes) -> Iterator[Tensor]:
    """Yield the images of scenes in batches."""
    for start in range(0, len(scenes), BATCH):
        yield from_uint8(scenes.batch(range(start, min(start + BATCH, len(scenes)))).images)


@torch.no_grad()
def draw(generator: ConditionalGenerator, z: Tensor) -> Tensor:
    """Return the images of rows, in [-1, 1]."""
    return generator(z).clamp(-1, 1)


def main(options: Options) -> None:
    """Print the figures, and write what is asked for."""
    generator = generators.load(options.generator, options.device)
    segmenter = segmenters.load(options.segmenter, options.device)
    if not isinstance(generator, ConditionalGenerator) or not isinstance(segmenter, UNetSegmenter):
        raise ValueError(f"{generator.name} must have classes and {segmenter.name} an encoder")
    size = generator.image_size[0]
    judge = train_judge(size, options)
    figures = {
        "samples": judge_samples(generator, judge, options),
        "real": judge_real(size, generator.classes, judge, options),
        "identity": judge_identity(generator, segmenter, judge, options),
    }
    for kind, found in figures.items():
        print(f"{kind}: {found}")
    if options.out is not None:
        write_json(options.out, figures, overwrite=True)
    if options.strip is not None:
        draw_strip(generator, segmenter.encode, options)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
