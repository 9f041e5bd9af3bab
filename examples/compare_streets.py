"""Compare five losses on photographs of streets at equal time: how good the images are, and what changes in the units.

    python examples/compare_streets.py --data DATA/outdoor/buildings DATA/outdoor/street DATA/labelmefacade@train

All runs have the same DCGAN (that of wgan-gp has no batch norm in the discriminator) and the same pictures; optimizer
and critic turns are those of each loss's paper. Time is equal because a run with a slower loss is shown fewer pictures,
in proportion to measured rates (`--minutes 15` each). Two Markdown tables are printed: fidelity to held-out pictures
beside that of real pictures, and figures of the units per layer, as by `compare_units.py`. Rerun the command to resume.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import tyro
from compare_units import Figures, format_row, measure_units
from loss_settings import LOSSES

import generators
import segmenters
from gandissect import Yardstick
from gandissect.fidelity import Scores
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import open_pictures

SIZE, WIDTH, LAYERS = 64, 32, ("layer2", "layer3", "layer4")
RATES = {"logistic": 360, "minimax": 360, "least-squares": 360, "wasserstein": 570, "wgan-gp": 220}
"""Real pictures per second of processor time, measured on one core of an AMD EPYC."""


@dataclass(frozen=True)
class Options:
    """Compare losses on photographs of streets.

    Args:
        data: Folders of photographs.
        out: Folder of the runs.
        minutes: Processor time of each run in minutes, as far as the rates hold.
        losses: Names of the losses.
        num_samples: Samples per dissection.
        num_effects: Samples per measured effect.
    """

    data: tuple[str, ...]
    out: Path = Path("runs/streets")
    minutes: float = 15
    losses: tuple[str, ...] = tuple(LOSSES)
    num_samples: int = 2_000
    num_effects: int = 200


def make_settings(loss: str, minutes: float) -> GANSettings:
    """Return the settings of a run."""
    common = replace(
        cast(GANSettings, RECIPES["dcgan"]),
        resolution=SIZE,
        width=WIDTH,
        images=int(60 * minutes * RATES[loss]),
        augmentation=("translation",),
        resident=True,
        decay_from=0.7,
    )
    return replace(common, **LOSSES[loss])


def format_scores(name: str, images: str, steps: str, scores: Scores) -> str:
    """Return a row of the table of fidelity."""
    figures = f"{scores.distance.mean:.1f} ± {scores.distance.std:.1f} | {scores.precision.mean:.2f}"
    return f"| {name} | {images} | {steps} | {figures} | {scores.recall.mean:.2f} |"


def main(options: Options) -> None:
    """Complete the training runs and print the tables."""
    train, held_out = open_pictures(options.data, SIZE, hold_out=0.05)
    if held_out is None:
        raise SystemExit("held-out pictures are needed: name at least one folder without a split of its own")
    segmenter = segmenters.load("unet-streets", "cpu")
    yardstick = Yardstick.of(segmenter, train, held_out)
    rows: dict[str, dict[str, Figures]] = {}
    print("| loss | real pictures shown | generator steps | Fréchet distance | precision | recall |")
    print("|---|---|---|---|---|---|")
    for loss in options.losses:
        settings = make_settings(loss, options.minutes)
        snapshot = settings.images // 4
        path = train_generator(settings, train, options.out / loss, snapshot_images=snapshot, device="cpu")
        generator = generators.load(path, "cpu")
        fidelity = yardstick.measure(generator)
        steps = settings.images // (settings.batch_size * settings.discriminator_turns)
        print(format_scores(loss, f"{settings.images:,}", f"{steps:,}", fidelity.generated), flush=True)
        rows[loss] = measure_units(generator, segmenter, LAYERS, options.num_samples, options.num_effects)
    print(format_scores("real pictures", "", "", fidelity.real))
    print("\n| loss | layer | runs | units that match a concept | best IoU | effect of 20 units, points |")
    print("|---|---|---|---|---|---|")
    for loss, layers in rows.items():
        for layer, figures in layers.items():
            print(format_row(loss, layer, [figures]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(tyro.cli(Options, description=__doc__))
