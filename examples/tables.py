"""The tables of docs/effects.md and docs/repair.md, from what the commands wrote.

python examples/tables.py effects runs/effects/*
python examples/tables.py repairs runs/repair/*
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gandissect import CausalEffect, Repair, RepairCurve

EFFECT_HEADS = ("generator", "concept", "share, %", "layer", "units", "insertion", "ablation", "ACE", "random units")
REPAIR_HEADS = ("generator", "units off", "distance", "change", "random units", "real", "precision", "recall", "helps")


@dataclass(frozen=True)
class Options:
    """Print a table as Markdown.

    Args:
        kind: effects or repairs.
        folders: What `gandissect effect --out` or `gandissect repair --out` wrote.
    """

    kind: tyro.conf.Positional[Literal["effects", "repairs"]]
    folders: tyro.conf.Positional[tuple[Path, ...]]


def main(options: Options) -> None:
    """Print the table."""
    rows = effect_rows(options.folders) if options.kind == "effects" else repair_rows(options.folders)
    heads = EFFECT_HEADS if options.kind == "effects" else REPAIR_HEADS
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
            yield (effect.generator, effect.concept, share, units.layer, str(len(units)), *kinds)


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
            found.generator,
            units,
            before_after,
            str(change),
            control,
            real,
            *shares,
            "yes" if found.helps else "no",
        )


def _points(record: dict[str, float], kind: str) -> str:
    return f"{100 * record[kind]:+.2f} ± {196 * record[f'{kind}_stderr']:.2f}"


if __name__ == "__main__":
    main(tyro.cli(Options))
