"""Do units ranked by effect or by IoU paint better? ``python benchmarks/brush_ranking.py NAME``.

The explorer's brushes draw and remove each concept in the middle of the images, in the layer that is shown first. The
table shows the concept's share of the pixels there, in percent: as generated, and after drawing and removing it with
units of either ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import tyro
from torch.nn.functional import interpolate

import generators
import segmenters
from apps.explorer.background import disk_cache
from apps.explorer.bundle import NUM_EFFECT_SAMPLES, NUM_SAMPLES
from apps.explorer.levels import LEVELS
from apps.explorer.painting import brush
from apps.explorer.painting.strokes import make_edit
from apps.explorer.units.chooser import EFFECT_SEED
from apps.explorer.visit import first_layer
from gandissect import UnitSet, generate
from gandissect.causal import quantile_table
from gandissect.interventions import Edit


@dataclass(frozen=True)
class Options:
    """Print a table as Markdown.

    Args:
        generator: Name of a bundled generator.
        num_samples: Number of images.
        seed: Seed of the latent vectors.
    """

    generator: tyro.conf.Positional[str] = "dcgan-scenes64"
    num_samples: int = 48
    seed: int = 9


@torch.inference_mode()
def main(options: Options) -> None:
    """Paint with all brushes and print the table."""
    generator = generators.load(options.generator)
    segmenter = segmenters.load(segmenters.find_for(options.generator))
    layer = first_layer(generator)
    info = generator.layers[layer]
    dissection = disk_cache.find_dissection(generator, segmenter, layer, NUM_SAMPLES)
    effects = disk_cache.find_effects(generator, segmenter, layer, NUM_EFFECT_SAMPLES, EFFECT_SEED)
    if dissection is None or effects is None:
        raise SystemExit("the explorer's precomputed results are missing; run python -m apps.explorer.bundle")
    brushes = (brush.rank_units_by_effect(effects, segmenter.concepts), brush.rank_units_by_iou(dissection[layer]))
    table = quantile_table(generator, UnitSet(layer, tuple(range(info.units))), LEVELS[1:])
    region = torch.zeros(info.height, info.width)
    region[info.height // 4 : 3 * info.height // 4, info.width // 4 : 3 * info.width // 4] = 1
    inside = interpolate(region[None, None], generator.image_size, mode="nearest")[0, 0] > 0
    z = generator.sample_z(options.num_samples, options.seed)

    def share(concept: int, *edits: Edit) -> float:
        labels = segmenter(generate(generator, z, list(edits)))
        return 100 * float((labels[:, inside] == concept).double().mean())

    print(
        "| concept | as generated | drawn by effect | by IoU | removed by effect | by IoU |\n|---|---|---|---|---|---|"
    )
    for concept in sorted({*brushes[0], *brushes[1]}, key=lambda concept: concept.index):
        cells = [f"{share(concept.index):.1f}"]
        for level in (brush.DEFAULT_LEVEL, 0.0):
            for ranked in brushes:
                units = ranked[concept].top(brush.DEFAULT_UNITS) if concept in ranked else None
                edits = [make_edit(units, [level] * len(units), table, region)] if units else []
                cells.append(f"{share(concept.index, *edits):.1f} ({len(units)})" if units else "no unit")
        print(f"| {concept.name} | {' | '.join(cells)} |", flush=True)
    print(f"\n{options.generator}, {layer}, {options.num_samples} images; number of units in parentheses")


if __name__ == "__main__":
    main(tyro.cli(Options))
