"""Compare five losses on photographs of streets at equal time.

    python examples/compare_streets.py --data DATA/outdoor/buildings DATA/outdoor/street DATA/labelmefacade@train

All runs have the same DCGAN (that of wgan-gp has no batch norm in the discriminator) and the same pictures; optimizer
and critic turns are those of each loss's paper. Time is equal because a run with a slower loss is shown fewer pictures,
in proportion to measured rates (`--minutes 15` each). A Markdown table is printed: fidelity to held-out pictures beside
that of real pictures. Rerun the command to resume.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import tyro
from loss_settings import LOSSES

import generators
import segmenters
from gandissect import Yardstick
from gandissect.fidelity import Scores
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import open_pictures

SIZE, WIDTH = 64, 32
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
    """

    data: tuple[str, ...]
    out: Path = Path("runs/streets")
    minutes: float = 15
    losses: tuple[str, ...] = tuple(LOSSES)


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
    """Complete the training runs and print the table."""
    train, held_out = open_pictures(options.data, SIZE, hold_out=0.05)
    if held_out is None:
        raise SystemExit("held-out pictures are needed: name at least one folder without a split of its own")
    yardstick = Yardstick.of(segmenters.load("unet-streets", "cpu"), train, held_out)
    print("| loss | real pictures shown | generator steps | Fréchet distance | precision | recall |")
    print("|---|---|---|---|---|---|")
    for loss in options.losses:
        settings = make_settings(loss, options.minutes)
        snapshot = settings.images // 4
        path = train_generator(settings, train, options.out / loss, snapshot_images=snapshot, device="cpu")
        fidelity = yardstick.measure(generators.load(path, "cpu"))
        steps = settings.images // (settings.batch_size * settings.discriminator_turns)
        print(format_scores(loss, f"{settings.images:,}", f"{steps:,}", fidelity.generated), flush=True)
    print(format_scores("real pictures", "", "", fidelity.real))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(tyro.cli(Options, description=__doc__))
