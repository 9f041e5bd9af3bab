"""Compare losses and techniques on points in the plane: how many modes of a mixture each covers, over several seeds.

    python examples/compare_losses.py --out runs/losses                # 2 mixtures x 9 configurations x 3 seeds: hours
    python examples/compare_losses.py --out runs/losses --only-table   # from finished runs

All runs have the same networks (multilayer perceptrons with three layers of 128 units), batch size and number of
generator steps; the optimizer, its learning rate and the number of critic turns are those of each loss's paper.
Techniques are added to the logistic loss, one at a time. egan takes the same number of discriminator steps as the
logistic loss; in each, the generator has three children of one step. The result is printed as a Markdown table. Rerun
the command to resume a stopped comparison.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
import tyro

import generators
from gandissect.fidelity import ModeCoverage, measure_modes
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import MIXTURES, Points

NUM_POINTS = 2_500
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "minimax": {},
    "least-squares": {},
    "wasserstein": {"optimizer": "rmsprop", "learning_rate": 5e-5, "beta2": 0.99, "discriminator_turns": 5},
    "wgan-gp": {
        "learning_rate": 1e-4,
        "beta1": 0.5,
        "beta2": 0.9,
        "discriminator_turns": 5,
        "penalty_weight": 0.1,
        "drift_weight": 0.0,
    },
    "feature-matching": {"loss": "logistic", "feature_matching": True},
    "minibatch": {"loss": "logistic", "minibatch_kernels": 8},
    "historical-averaging": {"loss": "logistic", "historical_averaging": 0.01},
    "egan": {"loss": "logistic", "architecture": "egan", "discriminator_turns": 1, "fitness_gamma": 1.0},
}
"""Settings that differ from the common ones, by loss or technique."""


@dataclass(frozen=True)
class Options:
    """Compare losses and techniques on points in the plane.

    Args:
        out: Folder of the runs.
        images: Real points shown to a run with one turn of the critic per step; a run with more turns is shown
            proportionally more, so that all runs take the same number of generator steps.
        seeds: Number of seeds of each configuration.
        mixtures: Names of the mixtures.
        losses: Names of the losses and techniques.
        only_table: Print the table of finished runs without training.
    """

    out: Path
    images: int = 1_000_000
    seeds: int = 3
    mixtures: tuple[str, ...] = tuple(MIXTURES)
    losses: tuple[str, ...] = tuple(CONFIGURATIONS)
    only_table: bool = False


def make_settings(loss: str, seed: int, images: int) -> GANSettings:
    """Return the settings of a run."""
    changes: dict[str, Any] = {"loss": loss} | CONFIGURATIONS[loss]
    common = replace(
        cast(GANSettings, RECIPES[changes.get("architecture", "gan")]),
        resolution=1,
        width=128,
        max_width=128,
        z_dim=2,
        batch_size=128,
        images=images,
        learning_rate=1e-4,
        ema_half_life=5_000.0,
        resident=False,
        bf16=False,
        gray=False,
        augmentation=(),
        seed=seed,
    )
    settings = replace(common, **changes)
    return replace(settings, images=images * settings.discriminator_turns)


def measure_run(path: Path, source: Points) -> ModeCoverage:
    """Return the mode coverage of a run's generator."""
    generator = generators.load(path, device="cpu")
    with torch.inference_mode():
        points = generator(generator.sample_z(NUM_POINTS, seed=1))[:, :2, 0, 0]
    return measure_modes(points, source.mixture.centers, source.mixture.sigma)


def format_row(mixture: str, loss: str, coverages: list[ModeCoverage]) -> str:
    """Return a row of the table: medians over seeds, with the minimum and the maximum."""
    covered = [coverage.num_well_covered for coverage in coverages]
    good = [coverage.share_good for coverage in coverages]
    divergence = [coverage.divergence for coverage in coverages]
    return (
        f"| `{mixture}` | `{loss}` "
        f"| {median(covered)} of {coverages[0].num_modes} ({min(covered)} to {max(covered)}) | "
        f"{median(good):.0%} ({min(good):.0%} to {max(good):.0%}) | "
        f"{median(divergence):.2f} ({min(divergence):.2f} to {max(divergence):.2f}) |"
    )


def main() -> None:
    """Complete the training runs and print the table."""
    logging.basicConfig(level=logging.WARNING)
    options = tyro.cli(Options)
    print("| mixture | loss | modes with at least 20 points | points within 3 sd of a mode | KL from uniform, nats |")
    print("|---|---|---|---|---|")
    for mixture in options.mixtures:
        source = Points(mixture)
        real = Points(mixture, NUM_POINTS, seed=2)
        points = real.batch(range(NUM_POINTS)).images[:, :2, 0, 0]
        print(format_row(mixture, "real points", [measure_modes(points, source.mixture.centers, source.mixture.sigma)]))
        for loss in options.losses:
            coverages = []
            for seed in range(options.seeds):
                folder = options.out / f"{mixture}-{loss}-{seed}"
                settings = make_settings(loss, seed, options.images)
                if not options.only_table:
                    train_generator(settings, source, folder, snapshot_images=settings.images // 4, device="cpu")
                coverages.append(measure_run(folder, source))
            print(format_row(mixture, loss, coverages), flush=True)


if __name__ == "__main__":
    main()
