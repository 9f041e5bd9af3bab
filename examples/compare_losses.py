"""Compare losses and techniques on points in the plane: how many modes of a mixture each covers, over several seeds.

    python examples/compare_losses.py --out runs/losses                # 2 mixtures x 9 configurations x 3 seeds: hours
    python examples/compare_losses.py --out runs/losses --only-table --images 250000   # from an earlier snapshot
    python examples/compare_losses.py --out runs/losses --picture losses.png

All runs have the same networks (multilayer perceptrons with three layers of 128 units), batch size and number of
generator steps; the optimizer, its learning rate and the number of critic turns are those of each loss's paper.
Techniques are added to the logistic loss, one at a time. egan takes the same number of discriminator steps as the
logistic loss; in each, the generator has three children of one step. The result is printed as a Markdown table. Rerun
the command to resume a stopped comparison.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any, cast

import torch
import tyro
from loss_settings import LOSSES
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torchvision.io import read_image

import generators
from gandissect.fidelity import ModeCoverage, measure_modes
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import MIXTURES, Points

NUM_POINTS = 2_500
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **LOSSES,
    "wgan-gp": LOSSES["wgan-gp"] | {"beta1": 0.5, "penalty_weight": 0.1, "discriminator_norm": "batch"},  # for points
    "feature-matching": {"feature_matching": True},
    "minibatch": {"minibatch_kernels": 8},
    "historical-averaging": {"historical_averaging": 0.01},
    "egan": {"architecture": "egan", "discriminator_turns": 1, "fitness_gamma": 1.0},
}
"""Settings that differ from the common ones, by loss or technique. Networks of points have no batch norm."""


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
        only_table: Print the tables of the runs that exist, without training, from the snapshots nearest to images.
        picture: Draw samples over time in this PNG file instead of printing tables.
        drawn: Names of the runs to draw.
    """

    out: Path
    images: int = 1_000_000
    seeds: int = 3
    mixtures: tuple[str, ...] = tuple(MIXTURES)
    losses: tuple[str, ...] = tuple(CONFIGURATIONS)
    only_table: bool = False
    picture: Path | None = None
    drawn: tuple[str, ...] = ("ring8-logistic-0", "ring8-wgan-gp-0")


def make_settings(loss: str, seed: int, images: int) -> GANSettings:
    """Return the settings of a run."""
    changes = CONFIGURATIONS[loss]
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
        f"| `{mixture}` | `{loss}` | {len(coverages)} "
        f"| {median(covered):g} of {coverages[0].num_modes} ({min(covered)} to {max(covered)}) | "
        f"{median(good):.0%} ({min(good):.0%} to {max(good):.0%}) | "
        f"{median(divergence):.2f} ({min(divergence):.2f} to {max(divergence):.2f}) |"
    )


def find_snapshots(folders: list[Path], images: int) -> list[Path]:
    """Return each run's snapshot after the number of images, to within one percent; runs without one are left out."""
    snapshots = [sorted(folder.glob("generator-*.safetensors")) for folder in folders]
    near = [[path for path in paths if abs(_count_images(path) - images) <= images / 100] for paths in snapshots]
    return [paths[-1] for paths in near if paths]


def print_table(options: Options) -> None:
    """Complete the training runs, unless only the table is asked for, and print a row per configuration."""
    print("| mixture | loss | runs | modes with at least 20 points | points within 3 sd | KL from uniform, nats |")
    print("|---|---|---|---|---|---|")
    for mixture in options.mixtures:
        source = Points(mixture)
        real = Points(mixture, NUM_POINTS, seed=2)
        points = real.batch(range(NUM_POINTS)).images[:, :2, 0, 0]
        print(format_row(mixture, "real points", [measure_modes(points, source.mixture.centers, source.mixture.sigma)]))
        for loss in options.losses:
            folders = [options.out / f"{mixture}-{loss}-{seed}" for seed in range(options.seeds)]
            shown = make_settings(loss, 0, options.images).images
            if not options.only_table:
                for seed, folder in enumerate(folders):
                    settings = make_settings(loss, seed, options.images)
                    train_generator(settings, source, folder, snapshot_images=shown // 4, device="cpu")
            if trained := find_snapshots(folders, shown):
                print(format_row(mixture, loss, [measure_run(path, source) for path in trained]), flush=True)


def print_survivors(options: Options) -> None:
    """Print how often each mutation of egan survives, in four parts of the training."""
    for folder in sorted(options.out.glob("*-egan-*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        lines = [line for line in lines if "fitness" in line and line["images"] <= options.images]
        names = [name for name in lines[0] if name.startswith("survived_")]
        parts = [lines[len(lines) * part // 4 : len(lines) * (part + 1) // 4] for part in range(4)]
        for name in names:
            shares = [f"{mean(line[name] for line in part):.0%}" for part in parts]
            print(f"| `{folder.name}` | {name.removeprefix('survived_')} | {' | '.join(shares)} |")


def draw_snapshots(folders: list[Path], path: Path) -> None:
    """Draw the samples of runs over time: one row per run, one column per snapshot."""
    rows = [sorted(folder.glob("samples-*.png"))[:4] for folder in folders]
    figure = Figure(figsize=(10, 2.7 * len(rows)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for folder, row, pictures in zip(folders, grid, rows, strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(read_image(str(picture)).permute(1, 2, 0).numpy())
            axes.set_title(f"{folder.name}, {round(_count_images(picture), -4):,} points", fontsize=8)
            axes.axis("off")
    figure.savefig(path)


def _count_images(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def main() -> None:
    """Complete the training runs and print the tables, or draw snapshots."""
    logging.basicConfig(level=logging.WARNING)
    options = tyro.cli(Options)
    if options.picture is not None:
        draw_snapshots([options.out / name for name in options.drawn], options.picture)
        return
    print_table(options)
    print_survivors(options)


if __name__ == "__main__":
    main()
