"""``gandissect compare``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from gandissect import Comparison, Dissection, compare, draw_comparison
from gandissect.core.types import Concept, categories
from gandissect.storage import check_new_file

from ..figures import save_figure

FORMATS = ("png", "pdf", "svg")
HEADS = ("model", "layer", "units", "interpretable", "share", "95% interval", "concepts", "most units")
NUM_NAMED = 3
"""Number of concepts of each category that are named per layer."""


@dataclass(frozen=True)
class Options:
    """Compare dissections: interpretable units by model, layer and concept.

    The dissections must share segmenter, quantile and number of samples. Compare the snapshots of one training run, in
    order, to see units emerge.

    Args:
        dissections: Folders that gandissect dissect wrote, or the dissection.safetensors files in them.
        labels: Labels of the models, one per dissection; by default the generators' names and seeds, or the folders if
            those are not unique.
        min_iou: Smallest IoU at which a unit counts as interpretable.
        out: Figure to write, a .png, .pdf or .svg file; by default none.
        overwrite: Replace an existing file.
        json: Print the results as JSON.
    """

    dissections: tyro.conf.Positional[tuple[Path, ...]]
    labels: tuple[str, ...] = ()
    min_iou: float = 0.04
    out: Path | None = None
    overwrite: bool = False
    json: bool = False

    def run(self) -> None:
        """Draw the figure if requested, and print one line per layer of each model."""
        kind = self.out.suffix[1:].lower() if self.out else FORMATS[0]
        if kind not in FORMATS:
            raise ValueError(f"--out must end in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}; got {self.out}")
        if self.out:
            check_new_file(self.out, overwrite=self.overwrite)
        for path, times in Counter(path.resolve() for path in self.dissections).items():
            if times > 1 and not self.labels:
                raise ValueError(f"{path} is named {times} times; name each dissection once, or add --labels")
        dissections = [Dissection.load(path) for path in self.dissections]
        names = {(dissection.provenance.generator.name, dissection.provenance.seed) for dissection in dissections}
        folders = tuple(map(str, self.dissections)) if len(names) < len(dissections) else None
        comparison = compare(dissections, self.min_iou, self.labels or folders)
        if self.out:
            save_figure(draw_comparison(comparison), self.out, dpi=150, overwrite=self.overwrite)
        if self.json:
            figures = {"min_iou": self.min_iou, "notes": comparison.notes, "layers": comparison.records()}
            print(json.dumps(figures | {"figure": str(self.out) if self.out else None}))
        else:
            print("\n".join([*_format_table(comparison), *(f"note: {note}" for note in comparison.notes)]))
            if self.out:
                print(f"figure: {self.out}")


def _format_table(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of the table, with minimal column widths and right-aligned numbers."""
    rows = [HEADS, *(_format_cells(record, comparison.concepts) for record in comparison.records())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[:2] = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        yield "  ".join([*padded[:-1], row[-1]]).rstrip()


def _format_cells(record: dict[str, Any], concepts: Sequence[Concept]) -> tuple[str, ...]:
    """Return the cells of one layer, with its most frequent concepts by category if there are several categories."""
    share, low, high = (f"{100 * record[key]:.1f}" for key in ("share", "share_low", "share_high"))
    numbers = (record["units"], record["interpretable"], f"{share}%", f"{low}-{high}", record["num_concepts"])
    kinds = {concept.name: concept.category for concept in concepts}
    most = {kind: _list_concepts(record["units_by_concept"], kind, kinds) for kind in categories(concepts)}
    named = "; ".join(f"{kind}: {text}" if len(most) > 1 else text for kind, text in most.items() if text)
    return (record["model"], record["layer"], *map(str, numbers), named)


def _list_concepts(counts: Mapping[str, int], kind: str, kinds: Mapping[str, str]) -> str:
    """Return the most frequent concepts of a category."""
    pairs = [(name, units) for name, units in counts.items() if kinds[name] == kind]
    return ", ".join(f"{name} {units}" for name, units in pairs[:NUM_NAMED])
