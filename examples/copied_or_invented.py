"""Which units of a translator copy what is in its input, and which invent what it draws.

    python examples/copied_or_invented.py pix2pix-scenes64 --inputs scenes:500@noon --out runs/copied
    python examples/copied_or_invented.py stargan-scenes64 stargan-scenes64 --classes dusk noon \
        --inputs scenes:500@noon scenes:500@dusk --out runs/directions

Every layer is dissected twice: by the segmented outputs, and by the true labels of the inputs (`compare_labels`). For
each layer the script prints how many units follow the input, the output, both alike or neither, and what ablating a
unit alone takes from its concept, on other pictures: the mean over the units of each kind with its 95% interval over
units, beside the mean effect of the layer's other units on the same concepts (control). Above the table is how well the
segmented outputs agree with the labels of the inputs, beside their agreement with those of the next picture (floor):
where both label maps are the same, no unit can follow one of them.

Of two translators, or of two directions of one, it also tests whether units of the same number have the same concept
more often than at random: the share among the units that match a concept in both, beside its mean and 95% range over
permutations of the units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from jaxtyping import Float32
from torch import Tensor
from torchvision.utils import save_image

import generators
import segmenters
from gandissect import Segmenter, compare_labels, dissect, measure_unit_effects
from gandissect.causal.results import UnitEffects
from gandissect.core import to_uint8
from gandissect.core.sampling import make_rng
from gandissect.dissection import LabelComparison, UnitAgreement
from gandissect.inference import InputLabels, upsample
from gandissect.report.regions import highlight
from gandissect.storage import write_json
from generators import Translator
from generators.architectures.class_translator import ClassTranslator
from segmenters.datasets import open_inputs
from segmenters.datasets.combining import Subset

KINDS = ("input", "output", "both")
PERMUTATIONS = 10_000
BATCH = 32
NUM_EXAMPLES, NUM_COLUMNS, NUM_SEARCHED = 3, 4, 200
"""Number of units of each kind with pictures, of pictures of each, and of pictures that these are chosen from."""

Thresholds = Mapping[str, Float32[Tensor, " unit"]]
"""Threshold of each unit, by layer."""


@dataclass(frozen=True)
class Options:
    """Compare what units of translators follow.

    Args:
        translators: Bundled names, files or training folders of one or more translators.
        inputs: Pictures with labels for each translator, such as scenes:500@noon.
        classes: Class that each translator translates to, for translators with classes.
        segmenter: Segmenter of the outputs.
        layers: Layers to dissect; by default all.
        num_samples: Number of pictures to dissect on, from the first.
        num_effects: Number of pictures, after those, to measure effects on, at least 2; 0 measures none.
        seed: Seed of the permutations.
        out: Folder for the figures (units.json), the plot (units.png), and pictures of a few units of each translator
            (examples-1.png, ...): labels of the inputs and outputs, outlined where the unit is on.
        device: Device to compute on: auto, cpu, cuda or mps.
    """

    translators: tyro.conf.Positional[tuple[str, ...]]
    inputs: tuple[str, ...]
    out: Path
    classes: tuple[str, ...] = ()
    segmenter: str = "unet-scenes"
    layers: tuple[str, ...] = ()
    num_samples: int = 500
    num_effects: int = 32
    seed: int = 0
    device: str = "auto"


def load(name: str, spec: str, target: str | None, options: Options) -> tuple[Translator, Translator | None]:
    """Return a translator on the pictures to dissect on, and on those to measure effects on, if any."""
    translator = generators.load(name, options.device)
    if not isinstance(translator, Translator):
        raise ValueError(f"{name} makes images from latent vectors; name translators")
    if target is not None:
        if not isinstance(translator, ClassTranslator):
            raise ValueError(f"{name} has no classes; omit --classes")
        translator = translator.of_classes(target)
    pictures = open_inputs([spec], translator.image_size[0], label_maps=bool(translator.input_concepts))
    count = options.num_samples + options.num_effects
    if len(pictures) < count:
        raise ValueError(f"inputs must have {count} pictures; {spec} has {len(pictures)}")
    first, second = (range(options.num_samples), range(options.num_samples, count))
    dissected = translator.on(Subset(pictures, first, "to dissect on"))
    return dissected, translator.on(Subset(pictures, second, "to measure effects on")) if second else None


@torch.inference_mode()
def measure_agreement(translator: Translator, segmenter: Segmenter) -> dict[str, float]:
    """Return the share of pixels where segmented outputs have the inputs' labels, and the mean IoU; with the floors."""
    assert translator.pictures is not None
    count, labels = len(translator.pictures), InputLabels(translator, segmenter)
    tables = torch.zeros(2, len(segmenter.concepts) + 1, len(segmenter.concepts) + 1, dtype=torch.int64, device="cpu")
    for start in range(0, count, BATCH):
        rows = range(start, min(count, start + BATCH))
        wanted = labels.maps(rows)
        made = segmenter(translator(translator.sample_z(len(rows), start=start).to(translator.device))).cpu()
        for table, truth in zip(tables, (wanted, wanted.roll(1, 0)), strict=True):
            table += torch.bincount(((truth + 1) * len(table) + made + 1).flatten(), minlength=table.numel()).view_as(
                table
            )
    found = {}
    for name, table in zip(("", "floor_"), tables[:, 1:, 1:].double(), strict=True):
        both, either = table.diagonal(), table.sum(0) + table.sum(1) - table.diagonal()
        found[f"{name}accuracy"] = float(both.sum() / table.sum())
        found[f"{name}mean_iou"] = float((both / either)[table.sum(1) > 0].mean())
    return found


def summarize_effects(units: Sequence[UnitAgreement], effects: UnitEffects) -> dict[str, dict[str, float | None]]:
    """Return what ablating a unit takes from its concept, in percent of all pixels, by what units follow.

    Each kind has its number of units, the mean with the half-width of its 95% interval over units, and the mean effect
    of all other units of the layer on the same concepts.
    """
    found: dict[str, dict[str, float | None]] = {}
    for kind in KINDS:
        chosen = [unit for unit in units if unit.follows == kind and unit.concept is not None]
        if not chosen:
            continue
        columns = [effects.concepts.index(str(unit.concept)) for unit in chosen]
        own = 100 * torch.stack([effects.mean[unit.unit, column] for unit, column in zip(chosen, columns, strict=True)])
        sums = torch.stack([100 * effects.mean[:, column].sum() for column in columns])
        others = (sums - own) / max(1, len(effects.mean) - 1)
        half = float(1.96 * own.std() / math.sqrt(len(own))) if len(own) > 1 else None
        found[kind] = {"units": len(own), "effect": float(own.mean()), "half": half, "others": float(others.mean())}
    return found


def compare_meaning(first: LabelComparison, second: LabelComparison, layer: str, seed: int) -> dict[str, float] | None:
    """Return how often units of the same number have the same concept in two translators; None if no unit matches."""
    pairs = zip(first.units_of(layer), second.units_of(layer), strict=True)
    matching = [(a.concept, b.concept) for a, b in pairs if "neither" not in (a.follows, b.follows)]
    if len(matching) < 2:
        return None
    names = sorted({str(name) for pair in matching for name in pair})
    a, b = (torch.tensor([names.index(str(pair[side])) for pair in matching], device="cpu") for side in (0, 1))
    rng = make_rng(seed, "permutations", layer)
    orders = torch.rand(PERMUTATIONS, len(b), generator=rng, dtype=torch.float64, device="cpu").argsort(1)
    shares: Tensor = (a == b[orders]).double().mean(1)
    low, high = shares.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64, device="cpu")).tolist()
    same = float((a == b).double().mean())
    return {"units": len(a), "same": same, "random": float(shares.mean()), "low": low, "high": high}


def examine(
    name: str, spec: str, target: str | None, segmenter: Segmenter, options: Options, examples: Path
) -> tuple[LabelComparison, dict[str, Any]]:
    """Return the comparison of a translator's units, and all figures."""
    translator, other = load(name, spec, target, options)
    layers = options.layers or tuple(translator.layers)
    output, inputs = (
        dissect(translator, segmenter, layers, options.num_samples, labels=labels, top_images=0)
        for labels in ("output", "input")
    )
    comparison = compare_labels(output, inputs)
    draw_examples(translator, segmenter, comparison, {layer.name: layer.thresholds for layer in output}, examples)
    rows = []
    for row in comparison.layer_records():
        summary = {}
        if other is not None:
            effects = measure_unit_effects(other, segmenter, row["layer"], options.num_effects)
            summary = summarize_effects(comparison.units_of(row["layer"]), effects)
        rows.append(row | {"effects": summary})
    title = name if target is None else f"{name} to {target}"
    facts = {
        "translator": title,
        "inputs": spec,
        "num_samples": options.num_samples,
        "num_effects": options.num_effects,
    }
    agreement = measure_agreement(translator, segmenter)
    return comparison, {**facts, "agreement": agreement, "layers": rows, "units": comparison.records()}


def draw(comparisons: Sequence[LabelComparison], titles: Sequence[str], path: Path) -> None:
    """Plot the IoU of all units with the inputs over that with the outputs, one row of layers for each translator."""
    from matplotlib.figure import Figure

    columns = max(len(comparison.layer_records()) for comparison in comparisons)
    figure = Figure((1.5 * columns + 0.8, 1.9 * len(comparisons) + 0.3), layout="constrained")
    axes = figure.subplots(len(comparisons), columns, squeeze=False, sharex=True, sharey=True)
    highest = max(max(unit.input_iou, unit.output_iou) for comparison in comparisons for unit in comparison.units)
    for row, comparison, title in zip(axes, comparisons, titles, strict=True):
        colors = {concept.name: concept.hex for concept in comparison.concepts}
        for axis, record in zip(row, comparison.layer_records(), strict=False):
            units = [unit for unit in comparison.units_of(record["layer"]) if unit.concept is not None]
            axis.plot([0, highest], [0, highest], color="#999999", linewidth=0.8, zorder=0)
            axis.scatter(
                [unit.output_iou for unit in units],
                [unit.input_iou for unit in units],
                s=14,
                c=[colors[str(unit.concept)] for unit in units],
                edgecolors=["black" if unit.follows in ("input", "output") else "none" for unit in units],
                linewidths=0.6,
            )
            axis.set_title(record["layer"], fontsize=8)
            axis.set_aspect("equal")
            axis.tick_params(labelsize=7)
        for axis in row[len(comparison.layer_records()) :]:
            axis.set_visible(False)
        row[0].set_ylabel(f"{title}\ninput IoU", fontsize=8)
    axes[-1][0].set_xlabel("output IoU", fontsize=8)
    figure.savefig(path, dpi=150)


@torch.inference_mode()
def draw_examples(
    translator: Translator, segmenter: Segmenter, comparison: LabelComparison, thresholds: Thresholds, path: Path
) -> None:
    """Write pictures of the units that follow input and output most, one row for each, in their most active samples.

    A row has pairs of the labels of an input, in colors, and the output, both outlined where the unit is on.
    """
    chosen = []
    for kind in ("input", "output"):
        units = [unit for unit in comparison.units if unit.follows == kind]
        chosen += sorted(units, key=lambda unit: -abs(unit.difference))[:NUM_EXAMPLES]
    assert translator.pictures is not None
    colors = torch.tensor(
        [*(concept.color for concept in segmenter.concepts), (0, 0, 0)], dtype=torch.uint8, device="cpu"
    )
    labels, z = InputLabels(translator, segmenter), translator.sample_z(min(NUM_SEARCHED, len(translator.pictures)))
    rows = []
    for unit in chosen:
        maps = translator.head(z.to(translator.device), unit.layer)[:, [unit.unit]].float().cpu()
        samples = maps.flatten(1).amax(1).argsort(descending=True)[:NUM_COLUMNS]
        on = upsample(maps[samples], translator.image_size)[:, 0] > thresholds[unit.layer][unit.unit]
        known = torch.cat([labels.maps(range(sample, sample + 1)) for sample in samples.tolist()])
        inputs = colors[known].permute(0, 3, 1, 2).contiguous()
        outputs = to_uint8(translator(z[samples].to(translator.device)).cpu())
        cells = [highlight(pixels, on) for pixels in (inputs, outputs)]
        rows.append(torch.stack(cells, dim=1).flatten(0, 1))
    if rows:
        pixels = torch.cat(rows).repeat_interleave(2, 2).repeat_interleave(2, 3).float() / 255
        save_image(pixels, path, nrow=2 * NUM_COLUMNS, pad_value=1)
        for unit in chosen:
            pair = f"input IoU {unit.input_iou:.3f}, output IoU {unit.output_iou:.3f}"
            print(f"{unit.layer}, unit {unit.unit}, {unit.concept}: {pair}")


def print_figures(figures: dict[str, Any]) -> None:
    """Print the figures of a translator as Markdown."""
    agreement = figures["agreement"]
    print(
        f"\n{figures['translator']} on {figures['inputs']}: outputs have the inputs' labels at "
        f"{agreement['accuracy']:.1%} of the pixels (floor {agreement['floor_accuracy']:.1%}), mean IoU "
        f"{agreement['mean_iou']:.3f} (floor {agreement['floor_mean_iou']:.3f}); n = {figures['num_samples']}\n"
    )
    heads = (
        "layer",
        "units",
        *(f"{kind}: units" for kind in (*KINDS, "neither")),
        *(f"{kind}: effect" for kind in KINDS),
    )
    for cells in (heads, ["---"] * len(heads), *map(_format_layer, figures["layers"])):
        print(f"| {' | '.join(cells)} |")


def _format_layer(row: dict[str, Any]) -> list[str]:
    effects = [row["effects"].get(kind) for kind in KINDS]
    texts = ["" if found is None else _format_effect(**found) for found in effects]
    return [row["layer"], str(row["units"]), *(str(row[kind]) for kind in (*KINDS, "neither")), *texts]


def _format_effect(units: int, effect: float, half: float | None, others: float) -> str:
    interval = "" if half is None else f" ± {half:.3f}"
    return f"{effect:+.3f}{interval} ({others:+.3f}), n = {units}"


def main(options: Options) -> None:
    """Print the figures, and write them and the plot."""
    if len(options.inputs) != len(options.translators):
        raise ValueError(f"name inputs for each translator; got {len(options.inputs)} for {len(options.translators)}")
    segmenter = segmenters.load(options.segmenter, options.device)
    if len(options.classes) not in (0, len(options.translators)):
        raise ValueError(f"name a class for each translator, or none; got {' '.join(options.classes)}")
    targets = options.classes or [None] * len(options.translators)
    options.out.mkdir(parents=True, exist_ok=True)
    triples = enumerate(zip(options.translators, options.inputs, targets, strict=True), 1)
    results = [
        examine(*triple, segmenter, options, options.out / f"examples-{number}.png") for number, triple in triples
    ]
    comparisons = [comparison for comparison, _ in results]
    for _, figures in results:
        print_figures(figures)
    meaning = {}
    if len(comparisons) == 2:
        shapes = [{row["layer"]: row["units"] for row in comparison.layer_records()} for comparison in comparisons]
        layers = [layer for layer, units in shapes[0].items() if shapes[1].get(layer) == units]
        meaning = {layer: compare_meaning(comparisons[0], comparisons[1], layer, options.seed) for layer in layers}
        print("\nunits of the same number with the same concept, and at random:")
        for layer, found in meaning.items():
            if found is not None:
                spread = f"{found['random']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
                print(f"  {layer}: {found['same']:.2f} of {found['units']} units, random {spread}")
    write_json(
        options.out / "units.json",
        {"translators": [figures for _, figures in results], "meaning": meaning},
        overwrite=True,
    )
    draw(comparisons, [Path(figures["translator"]).name for _, figures in results], options.out / "units.png")


if __name__ == "__main__":
    main(tyro.cli(Options))
