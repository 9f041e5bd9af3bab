"""The tables of docs/effects.md, repair.md and latent-models.md, from what the commands wrote.

python examples/tables.py effects runs/effects/*
python examples/tables.py repairs runs/repair/*
python examples/tables.py directions runs/directions/*
python examples/tables.py inversions runs/inverted/*
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

import segmenters
from apps.data import fitting_segmenter
from gandissect import CausalEffect, Repair, RepairCurve
from gandissect.latent import Direction, DirectionEffect, Inversion

EFFECT_HEADS = ("generator", "concept", "share, %", "layer", "units", "insertion", "ablation", "ACE", "random units")
REPAIR_HEADS = ("generator", "units off", "distance", "change", "random units", "real", "precision", "recall", "helps")
DIRECTION_HEADS = ("generator", "direction", "score", "what a step of 1 sd adds, % of all pixels", "random direction")
INVERSION_HEADS = ("generator", "space", "besides", "PSNR in dB: least, median, most", "lost, % of all pixels")
MOST_LOST = 3


@dataclass(frozen=True)
class Options:
    """Print a table as Markdown.

    Args:
        kind: effects, repairs, directions or inversions.
        folders: What `gandissect effect`, `repair`, `directions` or `invert` wrote with --out.
    """

    kind: tyro.conf.Positional[Literal["effects", "repairs", "directions", "inversions"]]
    folders: tyro.conf.Positional[tuple[Path, ...]]


def main(options: Options) -> None:
    """Print the table."""
    heads, find = {
        "effects": (EFFECT_HEADS, effect_rows),
        "repairs": (REPAIR_HEADS, repair_rows),
        "directions": (DIRECTION_HEADS, direction_rows),
        "inversions": (INVERSION_HEADS, inversion_rows),
    }[options.kind]
    rows = find(options.folders)
    for cells in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(cells)} |")


def effect_rows(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of causal effects, in percentage points with 95 % intervals."""
    for folder in folders:
        effects = [path for path in sorted(folder.glob("*.safetensors")) if not path.stem.endswith("-curves")]
        found = sorted(map(CausalEffect.load, effects), key=lambda effect: -effect.ace)
        for effect in found:
            record = next(each for each in effect.records() if each["concept"] == effect.concept)
            kinds = [_points(record, kind) for kind in ("insertion", "ablation", "ace", "control_ace")]
            units = effect.effect.units
            share = f"{100 * record['share']:.2f}"
            yield (effect.generator.name, effect.concept, share, units.layer, str(len(units)), *kinds)


def repair_rows(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of repairs: means over sets of held-out images."""
    for folder in folders:
        found = Repair.load(folder)
        records = {record["figure"]: record for record in found.records()}
        distance, change = records["distance"], found.change("distance")
        control = f"{distance['control_change_min']:+.2f} to {distance['control_change_max']:+.2f}"
        shares = [f"{records[name]['before']:.2f}, {records[name]['after']:.2f}" for name in ("precision", "recall")]
        units = f"{len(found.units)} of {found.units.layer}"
        units = units if RepairCurve.load(folder).num_units else f"none chosen; {units} measured"
        before_after = f"{distance['before']:.2f}, {distance['after']:.2f}"
        real = f"{distance['real']:.2f}"
        yield (
            found.generator.name,
            units,
            before_after,
            str(change),
            control,
            real,
            *shares,
            "yes" if found.helps else "no",
        )


def direction_rows(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of directions: what their labels say, and the largest slope along a random direction."""
    for folder in folders:
        effects = {path: path.with_name(f"{path.stem}-effect.safetensors") for path in folder.glob("*.safetensors")}
        for path in sorted(path for path, effect in effects.items() if effect.exists()):
            direction, effect = Direction.load(path), DirectionEffect.load(effects[path])
            low_high = {label.concept: effect.interval(label.concept) for label in direction.labels}
            does = [f"{name} {50 * (a + b):+.2f} ± {50 * (b - a):.2f}" for name, (a, b) in low_high.items()]
            most = max(effect.records(), key=lambda record: abs(record["control_slope"]))
            beside = f"{most['concept']} {_points(most, 'control_slope')}"
            score = "" if direction.score is None else f"{direction.score:.2f}"
            yield direction.generator.name, direction.name, score, ", ".join(does) or "none", beside


def inversion_rows(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of inversions: PSNR, and the concepts that the reconstructions have less of."""
    for folder in folders:
        found = Inversion.load(folder)
        besides = ["features"] * found.with_features + ["noise"] * bool(found.noise)
        besides += [] if found.layer is None else [f"residual of {found.layer}"]
        spread = [f"{float(each):.1f}" for each in found.psnr.quantile(torch.tensor([0, 0.5, 1]).double())]
        lost = found.lost_concepts(segmenters.load(fitting_segmenter(found.generator.name))).records()[:MOST_LOST]
        shares = [
            f"{record['concept']} {100 * record['picture']:.1f} to {100 * record['reconstruction']:.1f}"
            for record in lost
            if record["change"] < 0
        ]
        yield found.generator.name, found.space, ", ".join(besides) or "nothing", ", ".join(spread), ", ".join(shares)


def _points(record: dict[str, float], kind: str) -> str:
    return f"{100 * record[kind]:+.2f} ± {196 * record[f'{kind}_stderr']:.2f}"


if __name__ == "__main__":
    main(tyro.cli(Options))
