"""Compare the techniques of Salimans et al. on stacked digits: how many of a thousand modes each covers.

    python examples/stacked_digits.py --data DATA/mnist10k --out runs/stacked   # 6 configurations x 3 seeds: hours
    python examples/stacked_digits.py --data DATA/mnist10k --out runs/stacked --seeds 1

A picture's color channels are three random digits. All runs have the same DCGAN, loss, batch size and number of steps;
each technique is added alone. A judge, trained on digits that no generator learned from, names the digit of each
channel of 26,000 samples. The result is printed as a Markdown table beside real pictures. Rerun the command to resume.

Source: Metz et al. 2017, arXiv 1611.02163, Sec. 3.3.1 (stacked digits); Salimans et al. 2016, arXiv 1606.03498.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import tyro
from judge_classes import Options as JudgeOptions, read_examples, train_classifier

import generators
from gandissect.core import from_uint8
from gandissect.fidelity import ModeCoverage, count_stacked_modes, measure_stacked_modes
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import StackedDigits, open_pictures

SIZE, NUM_SAMPLES, BATCH = 32, 26_000, 100
TECHNIQUES: dict[str, dict[str, Any]] = {
    "none": {},
    "feature matching": {"feature_matching": True},
    "minibatch discrimination": {"minibatch_kernels": 32},
    "label smoothing": {"label_smoothing": 0.1},
    "historical averaging": {"historical_averaging": 1e-3},
    "virtual batch norm": {"virtual_batch_norm": True},
}
"""Settings that differ from the common ones, by technique."""


@dataclass(frozen=True)
class Options:
    """Compare techniques on stacked digits.

    Args:
        data: Digits, an idx folder such as DATA/mnist10k.
        out: Folder of the runs.
        images: Stacked digits shown to each run.
        width: Units of the generator's last layer.
        seeds: Number of seeds of each technique.
        techniques: Names of the techniques.
    """

    data: str
    out: Path
    images: int = 200_000
    width: int = 16
    seeds: int = 3
    techniques: tuple[str, ...] = tuple(TECHNIQUES)


def make_settings(technique: str, seed: int, options: Options) -> GANSettings:
    """Return the settings of a run."""
    common = replace(
        cast(GANSettings, RECIPES["dcgan"]),
        resolution=SIZE,
        width=options.width,
        z_dim=64,
        images=options.images,
        augmentation=(),
        resident=True,
        seed=seed,
    )
    return replace(common, **TECHNIQUES[technique])


def format_row(name: str, coverages: list[ModeCoverage]) -> str:
    """Return a row of the table: medians over seeds, with the minimum and the maximum."""
    covered = [coverage.num_covered for coverage in coverages]
    divergence = [coverage.divergence for coverage in coverages]
    sure = [coverage.share_good for coverage in coverages]
    return (
        f"| {name} | {len(coverages)} | {median(covered):g} ({min(covered)} to {max(covered)}) "
        f"| {median(divergence):.2f} ({min(divergence):.2f} to {max(divergence):.2f}) "
        f"| {median(sure):.0%} ({min(sure):.0%} to {max(sure):.0%}) |"
    )


def main(options: Options) -> None:
    """Complete the training runs and print the table."""
    learned, unseen = open_pictures([options.data], SIZE, hold_out=0.5)
    if unseen is None:
        raise ValueError(f"{options.data} must be a folder without @SPLIT, half of which is held out for the judge")
    judge = train_classifier(read_examples(unseen), 10, JudgeOptions("", ()), "judge")
    real = StackedDigits(unseen, NUM_SAMPLES, seed=1)
    batches = [range(start, start + BATCH) for start in range(0, NUM_SAMPLES, BATCH)]
    print("| technique | runs | modes covered, of 1,000 | KL from uniform, nats | samples with three sure digits |")
    print("|---|---|---|---|---|")
    coverage = count_stacked_modes((from_uint8(real.batch(indices).images) for indices in batches), judge)
    print(format_row("real pictures", [coverage]), flush=True)
    source = StackedDigits(learned)
    for technique in options.techniques:
        coverages = []
        for seed in range(options.seeds):
            folder = options.out / f"{technique.replace(' ', '-')}-{seed}"
            settings = make_settings(technique, seed, options)
            path = train_generator(settings, source, folder, snapshot_images=options.images, device="cpu")
            coverages.append(measure_stacked_modes(generators.load(path, device="cpu"), judge, NUM_SAMPLES))
        print(format_row(technique, coverages), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(tyro.cli(Options, description=__doc__))
