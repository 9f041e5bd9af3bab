"""Measure what truncation does to a class-conditional generator: class accuracy and coverage over the limit.

    python examples/truncation_curve.py runs/biggan --data scenes:30000 --unseen scenes:12000 --segmenter unet-scenes \
        --figure curve.png --out curve.json

The noise is drawn from a normal distribution truncated at each limit, which is what redrawing entries beyond the limit
gives. A judge, trained on pictures that the generator never saw, names the class of each sample; coverage is the share
of held-out pictures that have a sample nearby, among the features of a segmenter. Samples have the classes of the
held-out pictures. As the limit falls, samples become more typical of their class, and less varied.

Source: Brock et al. 2019, arXiv 1809.11096, Sec. 3.1 and Fig. 17; coverage: Naeem et al. 2020, arXiv 2002.09797.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from judge_classes import Examples, Options as JudgeOptions, measure, open_sides, read_examples, train_classifier
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

import generators
import segmenters
from gandissect.core import to_uint8
from gandissect.fidelity import Judge, Yardstick
from gandissect.latent import truncated_z
from gandissect.storage import write_json
from generators import ConditionalGenerator

BATCH = 64


@dataclass(frozen=True)
class Options:
    """Measure class accuracy and coverage over truncation limits.

    Args:
        generator: Bundled name, file or training folder of the generator.
        data: Pictures that the generator was trained on, with classes.
        unseen: Pictures that it never saw, in place of those that were held out; of scenes, those for evaluation.
        hold_out: Share that was held out from its training.
        segmenter: Segmenter whose features coverage is measured with.
        limits: Largest magnitudes of an entry of the noise.
        num_samples: Number of samples at each limit, and of held-out pictures.
        steps: Training steps of the judge, of 128 pictures.
        seed: Seed of samples and judge.
        out: JSON file to write.
        figure: PNG file to write.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, ...]
    unseen: str | None = None
    hold_out: float = 0.05
    segmenter: str = "unet-scenes"
    limits: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    num_samples: int = 1_000
    steps: int = 1_500
    seed: int = 0
    out: Path | None = None
    figure: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Point:
    """Figures of one set of pictures.

    Attributes:
        name: Limit of the noise, or what else the pictures are.
        accuracy: Share of pictures whose class the judge names.
        low: Lower end of its 95% interval.
        high: Upper end.
        coverage: Share of held-out pictures with one of the set nearby.
        distance: Fréchet distance from the held-out pictures.
    """

    name: str
    accuracy: float
    low: float
    high: float
    coverage: float
    distance: float


@torch.inference_mode()
def draw_truncated(generator: ConditionalGenerator, classes: Tensor, seed: int, limit: float) -> Examples:
    """Return samples of the given classes, one each, with truncated noise; an infinite limit truncates none."""
    noise = truncated_z(generator, len(classes), seed, limit)[:, : generator.noise_dim]
    rows = torch.split(generator.join_row(noise, classes), BATCH)
    return Examples(torch.cat([generator(z).clamp(-1, 1).cpu() for z in rows]), classes)


def measure_point(name: str, examples: Examples, judge: Judge, yardstick: Yardstick, classes: tuple[str, ...]) -> Point:
    """Return the figures of a set of pictures."""
    accuracy, scores = measure(judge, examples, classes), yardstick.compare(yardstick.extract_features(examples.images))
    return Point(name, accuracy.accuracy, *accuracy.interval, scores.coverage, scores.distance)


def measure_points(options: Options) -> list[Point]:
    """Return the figures at each limit, without truncation, and of training pictures."""
    generator = generators.load(options.generator, options.device)
    if not isinstance(generator, ConditionalGenerator):
        raise ValueError(f"{generator.name} has no classes to judge")
    pictures = JudgeOptions(
        options.generator,
        options.data,
        hold_out=options.hold_out,
        unseen=options.unseen,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
    )
    learned, unseen = open_sides(pictures, generator.image_size[0])
    held_out, rest = _split(read_examples(unseen), options.num_samples)
    judge = train_classifier(rest, len(generator.classes), pictures, "judge")
    network = segmenters.load(options.segmenter, options.device)
    yardstick = Yardstick.of(network, learned, to_uint8(held_out.images), max_held_out=len(held_out.images))
    sets = {f"{limit:g}": draw_truncated(generator, held_out.classes, options.seed, limit) for limit in options.limits}
    sets["none"] = draw_truncated(generator, held_out.classes, options.seed, float("inf"))
    sets["training pictures"] = read_examples(learned, len(held_out.images))
    return [measure_point(name, examples, judge, yardstick, generator.classes) for name, examples in sets.items()]


def _split(examples: Examples, count: int) -> tuple[Examples, Examples]:
    """Return every n-th example, ``count`` of them or half if there are fewer, and all others."""
    step = max(2, len(examples.images) // count)
    chosen = torch.arange(len(examples.images)) % step == 0
    return examples.pick(chosen), examples.pick(~chosen)


def draw_curve(points: list[Point], limits: tuple[float, ...], path: Path) -> None:
    """Write the figure: both shares over the limit, and, dashed, without truncation."""
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    *truncated, whole, _ = points
    for name, color in (("accuracy", "tab:blue"), ("coverage", "tab:orange")):
        axes.plot(limits, [getattr(point, name) for point in truncated], "o-", color=color, label=name)
        axes.axhline(getattr(whole, name), color=color, linestyle="--", linewidth=1)
    axes.fill_between(limits, [p.low for p in truncated], [p.high for p in truncated], color="tab:blue", alpha=0.2)
    axes.set(xscale="log", xlabel="limit of the noise (dashed: none)", ylabel="share", ylim=(0, 1))
    axes.set_xticks(limits, [f"{limit:g}" for limit in limits])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path)


def main(options: Options) -> None:
    """Print a Markdown table, and write the files that were asked for."""
    points = measure_points(options)
    print("| Limit | Class accuracy (95% interval) | Coverage | Distance |\n|---|---|---|---|")
    for p in points:
        print(f"| {p.name} | {p.accuracy:.3f} ({p.low:.3f} to {p.high:.3f}) | {p.coverage:.3f} | {p.distance:.2f} |")
    if options.out is not None:
        write_json(options.out, {"points": [asdict(point) for point in points]}, overwrite=True)
    if options.figure is not None:
        draw_curve(points, options.limits, options.figure)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
