"""Compare what the loss and the class change in the units of a generator of digits, over several seeds.

    python examples/compare_units.py --data DATA/mnist10k --out runs/units-digits   # 6 x 3 trainings: two hours

All generators have the same layers, take the same number of steps on the same digits, and are dissected with the
bundled segmenter of digits, which learned from other pictures. For every generator and layer three figures are
printed as a row of a Markdown table: how many units match the ink of a digit beyond chance, the best IoU of a digit
(the mean over the ten), and the average causal effect of the 20 units that agree most with a digit (the mean over the
ten, in percent of all pixels). Rerun the command to resume.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any, cast

import tyro
from loss_settings import LOSSES

import generators
import segmenters
from gandissect import average_causal_effect, dissect
from gandissect.core.protocols import Generator, Segmenter
from generators.training import RECIPES, GANSettings, train_generator
from segmenters.datasets import open_pictures

SIZE, LAYERS = 32, ("layer2", "layer3")
CONFIGURATIONS: dict[str, dict[str, Any]] = {**LOSSES, "logistic, class": {"architecture": "cgan"}}
"""Settings that differ from the common ones, by configuration."""


@dataclass(frozen=True)
class Options:
    """Compare the units of generators of digits.

    Args:
        data: Digits, an idx folder such as DATA/mnist10k.
        out: Folder of the runs.
        images: Digits shown to each generator's discriminator; with five turns of the discriminator per step, five
            times as many, so that all generators take the same number of steps.
        width: Units of the generators' last layer.
        seeds: Number of seeds of each configuration.
        num_samples: Samples per dissection.
        num_effects: Samples per measured effect.
    """

    data: str
    out: Path
    images: int = 100_000
    width: int = 32
    seeds: int = 3
    num_samples: int = 2_000
    num_effects: int = 100


@dataclass(frozen=True)
class Figures:
    """Figures of one layer of one generator, as printed."""

    num_matched: int
    best_iou: float
    effect: float


def make_settings(name: str, seed: int, options: Options) -> GANSettings:
    """Return the settings of a run."""
    changes = CONFIGURATIONS[name]
    common = replace(
        cast(GANSettings, RECIPES["dcgan"]),
        resolution=SIZE,
        width=options.width,
        z_dim=64,
        augmentation=("translation",),
        resident=True,
        seed=seed,
    )
    settings = replace(common, **changes)
    return replace(settings, images=options.images * settings.discriminator_turns)


def measure_units(
    generator: Generator,
    segmenter: Segmenter,
    layers: Sequence[str],
    num_samples: int,
    num_effects: int,
    quantile: float = 0.01,
) -> dict[str, Figures]:
    """Return the figures of a generator's layers, over all concepts but the background."""
    dissection = dissect(generator, segmenter, layers, num_samples, quantile=quantile, seed=0)
    names = [concept.name for concept in segmenter.concepts if concept.name != "background"]
    figures = {}
    for layer in dissection:
        matched = [match for match in layer.matches if match.is_interpretable() and match.concept in names]
        best = layer.iou[[layer.concept_index(name) for name in names]].amax(1)
        effects = []
        for name in names:
            units = layer.units_for(name, 0.0, top=20)
            if units.units:  # a generator that never draws the concept has none
                effects.append(average_causal_effect(generator, segmenter, units, name, num_effects, seed=1).ace)
            else:
                effects.append(0.0)
        figures[layer.name] = Figures(len(matched), float(best.mean()), mean(effects))
    return figures


def format_row(name: str, layer: str, figures: list[Figures]) -> str:
    """Return a row of the table: medians over seeds, with the minimum and the maximum of several."""
    columns: dict[str, list[float]] = {
        "{:g}": [row.num_matched for row in figures],
        "{:.3f}": [row.best_iou for row in figures],
        "{:.2f}": [100 * row.effect for row in figures],
    }
    texts = [
        form.format(median(values)) + f" ({form.format(min(values))} to {form.format(max(values))})" * (len(values) > 1)
        for form, values in columns.items()
    ]
    return f"| {name} | {layer} | {len(figures)} | {' | '.join(texts)} |"


def main(options: Options) -> None:
    """Complete the training runs and print the table."""
    learned, _ = open_pictures([options.data], SIZE, hold_out=0.5)
    segmenter = segmenters.load("unet-digits", "cpu")
    paths: dict[str, list[Path]] = {name: [] for name in CONFIGURATIONS}
    for seed in range(options.seeds):
        for name in CONFIGURATIONS:
            folder = options.out / f"{'-'.join(name.replace(',', '').split())}-{seed}"
            settings = make_settings(name, seed, options)
            paths[name].append(
                train_generator(settings, learned, folder, snapshot_images=settings.images, device="cpu")
            )
    print("| generator | layer | runs | units that match a digit | best IoU | effect of 20 units, points |")
    print("|---|---|---|---|---|---|")
    for name in CONFIGURATIONS:
        loaded = [generators.load(path, "cpu") for path in paths[name]]
        numbers = options.num_samples, options.num_effects
        measured = [measure_units(generator, segmenter, LAYERS, *numbers, quantile=0.05) for generator in loaded]
        for layer in LAYERS:
            print(format_row(name, layer, [figures[layer] for figures in measured]), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(tyro.cli(Options, description=__doc__))
