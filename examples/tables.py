"""Print the tables of docs/results from the results that the commands saved.

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
from gandissect import CausalEffect, Repair, RepairCurve
from gandissect.latent import Direction, DirectionEffect, Inversion

EFFECT_HEADS = ("generator", "concept", "share, %", "layer", "units", "insertion", "ablation", "ACE", "random units")
REPAIR_HEADS = ("generator", "units off", "distance", "change", "random units", "real", "precision", "recall", "helps")
DIRECTION_HEADS = ("generator", "direction", "score", "change per step of 1 sd, % of all pixels", "random direction")
INVERSION_HEADS = ("generator", "space", "with", "PSNR in dB: min, median, max", "lost, % of all pixels")
MOST_LOST = 3


@dataclass(frozen=True)
class Options:
    """Print a table as Markdown.

    Args:
        kind: Kind of results: effects, repairs, directions or inversions.
        folders: Folders that `gandissect effect`, `repair`, `directions` or `invert` wrote with --out.
    """

    kind: tyro.conf.Positional[Literal["effects", "repairs", "directions", "inversions"]]
    folders: tyro.conf.Positional[tuple[Path, ...]]


def main(options: Options) -> None:
    """Print a table of the results in the folders."""
    heads, list_rows = {
        "effects": (EFFECT_HEADS, list_effects),
        "repairs": (REPAIR_HEADS, list_repairs),
        "directions": (DIRECTION_HEADS, list_directions),
        "inversions": (INVERSION_HEADS, list_inversions),
    }[options.kind]
    rows = list_rows(options.folders)
    for cells in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(cells)} |")


def list_effects(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield one row per causal effect, in percentage points with 95% intervals."""
    for folder in folders:
        paths = [path for path in sorted(folder.glob("*.safetensors")) if not path.stem.endswith("-curves")]
        for effect in sorted(map(CausalEffect.load, paths), key=lambda effect: -effect.ace):
            record = next(record for record in effect.records() if record["concept"] == effect.concept)
            kinds = [_format_points(record, kind) for kind in ("insertion", "ablation", "ace", "control_ace")]
            units = effect.effect.units
            share = f"{100 * record['share']:.2f}"
            yield (effect.generator.name, effect.concept, share, units.layer, str(len(units)), *kinds)


def list_repairs(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield one row per repair, with means over sets of held-out images."""
    for folder in folders:
        repair = Repair.load(folder)
        records = {record["figure"]: record for record in repair.records()}
        distance, change = records["distance"], repair.change("distance")
        control = f"{distance['control_change_min']:+.2f} to {distance['control_change_max']:+.2f}"
        shares = [f"{records[name]['before']:.2f}, {records[name]['after']:.2f}" for name in ("precision", "recall")]
        units = f"{len(repair.units)} of {repair.units.layer}"
        units = units if RepairCurve.load(folder).num_units else f"none chosen; {units} measured"
        before_after = f"{distance['before']:.2f}, {distance['after']:.2f}"
        real = f"{distance['real']:.2f}"
        yield (
            repair.generator.name,
            units,
            before_after,
            str(change),
            control,
            real,
            *shares,
            "yes" if repair.helps else "no",
        )


def list_directions(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield one row per direction, with its labels and the largest slope along a random direction."""
    for folder in folders:
        effects = {path: path.with_name(f"{path.stem}-effect.safetensors") for path in folder.glob("*.safetensors")}
        for path in sorted(path for path, effect in effects.items() if effect.exists()):
            direction, effect = Direction.load(path), DirectionEffect.load(effects[path])
            low_high = {label.concept: effect.interval(label.concept) for label in direction.labels}
            changes = [f"{name} {50 * (a + b):+.2f} ± {50 * (b - a):.2f}" for name, (a, b) in low_high.items()]
            largest = max(effect.records(), key=lambda record: abs(record["control_slope"]))
            control = f"{largest['concept']} {_format_points(largest, 'control_slope')}"
            score = "" if direction.score is None else f"{direction.score:.2f}"
            yield direction.generator.name, direction.name, score, ", ".join(changes) or "none", control


def list_inversions(folders: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    """Yield one row per inversion, with PSNR and the concepts that the reconstructions lack most."""
    for folder in folders:
        inversion = Inversion.load(folder)
        extras = ["features"] * inversion.with_features + ["noise"] * bool(inversion.noise)
        extras += [] if inversion.layer is None else [f"residual of {inversion.layer}"]
        spread = [f"{float(psnr):.1f}" for psnr in inversion.psnr.quantile(torch.tensor([0, 0.5, 1]).double())]
        segmenter = segmenters.load(segmenters.find_for(inversion.generator.name))
        lost = inversion.lost_concepts(segmenter).records()[:MOST_LOST]
        shares = [
            f"{record['concept']} {100 * record['picture']:.1f} to {100 * record['reconstruction']:.1f}"
            for record in lost
            if record["change"] < 0
        ]
        yield (
            inversion.generator.name,
            inversion.space,
            ", ".join(extras) or "nothing",
            ", ".join(spread),
            ", ".join(shares),
        )


def _format_points(record: dict[str, float], kind: str) -> str:
    return f"{100 * record[kind]:+.2f} ± {196 * record[f'{kind}_stderr']:.2f}"


if __name__ == "__main__":
    main(tyro.cli(Options))
