"""Draw the README's pictures: units that match a concept and what they cause, and a strip of samples per model.

python examples/readme_pictures.py docs/img
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
from jaxtyping import Bool, Float
from matplotlib import pyplot as plt
from torch import Tensor

import generators
import segmenters
from apps.explorer.networks import open_generator
from apps.explorer.visit import choose_inputs
from gandissect import Ablation, Insertion, UnitSet, dissect, generate, quantile_values
from gandissect.core.images import to_uint8
from gandissect.inference.upsampling import upsample
from gandissect.report import write_grid

MODEL, LAYER, CONCEPT, NUM_UNITS = "progan-scenes64", "layer8", "cloud", 5
COUNT, SEED = 7, 1


def draw_hero(folder: Path) -> None:
    """Draw samples, where the best units are on, and the same samples with the units forced off and on."""
    generator, segmenter = generators.load(MODEL), segmenters.load("unet-scenes")
    layer = dissect(generator, segmenter, [LAYER], num_samples=1_000)[LAYER]
    units = layer.units_for(CONCEPT, top=NUM_UNITS)
    with torch.inference_mode():
        z = pick_samples(generator.sample_z(64, SEED), generator, segmenter)
        activation = upsample(generator.head(z, LAYER).float(), generator.image_size)
        on = (activation > layer.thresholds[:, None, None])[:, list(units.units)].any(1)
        region = torch.zeros(generator.image_size)
        region[: region.shape[0] // 3] = 1
        values = quantile_values(generator, units, 0.99)
        rows = {
            "samples": generator(z),
            f"where the {len(units)} units\nthat best match\n“{CONCEPT}” are on": shade(generator(z), on),
            "the same samples,\nthese units off": generate(generator, z, [Ablation(units)]),
            "these units on\nin the upper third": generate(generator, z, [Insertion(units, values, region=region)]),
        }
    save_rows(rows, folder / "hero.png", units)


def pick_samples(
    z: Float[Tensor, "batch z"], generator: generators.LayeredGenerator, segmenter: segmenters.UNetSegmenter
) -> Float[Tensor, "count z"]:
    """Return the latent vectors of the first samples in which the concept covers at least 3% of the pixels."""
    index = [concept.name for concept in segmenter.concepts].index(CONCEPT)
    shares = (segmenter(generator(z)) == index).float().mean((1, 2))
    return z[(shares >= 0.03).nonzero()[:COUNT, 0]]


def shade(images: Float[Tensor, "batch 3 H W"], on: Bool[Tensor, "batch H W"]) -> Float[Tensor, "batch 3 H W"]:
    """Darken images where the units are off."""
    return torch.where(on[:, None], images, (images + 1) * 0.3 - 1)


def save_rows(rows: dict[str, Float[Tensor, "batch 3 H W"]], path: Path, units: UnitSet) -> None:
    """Write labeled rows of images."""
    matplotlib.use("agg")
    figure, axes = plt.subplots(len(rows), COUNT, figsize=(COUNT * 1.1 + 1.7, len(rows) * 1.1))
    for row, (label, images) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, labelpad=8)
        for axis, image in zip(row, to_uint8(images).permute(0, 2, 3, 1).cpu(), strict=True):
            axis.imshow(image, interpolation="bicubic")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    figure.subplots_adjust(left=0.19, right=1, top=1, bottom=0, wspace=0.03, hspace=0.03)
    figure.savefig(path, dpi=110)
    print(f"{path}: units {', '.join(map(str, units.units))} of {units.layer}")


def draw_strips(folder: Path) -> None:
    """Write a strip of four samples for each bundled generator; a translator translates pictures like those it saw."""
    for name in generators.names():
        generator = open_generator(name, "auto", choose_inputs(name))
        with torch.inference_mode():
            write_grid(generator(generator.sample_z(4, SEED)), folder / f"{name}.png", 4)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    draw_strips(target)
    draw_hero(target)
