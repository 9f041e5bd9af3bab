"""Print how many units match each concept, by layer, in Markdown: ``python examples/concept_table.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from gandissect import Dissection
from gandissect.dissection import MIN_IOU


def format_table(dissection: Dissection, min_iou: float = MIN_IOU) -> str:
    """Return a table with one row per concept and one column per layer; cells are ``units (largest IoU)``.

    Args:
        dissection: Dissection to summarize.
        min_iou: Minimum IoU of a unit that matches a concept.
    """
    heads = [f"{layer.name} ({layer.info.units} units, {layer.info.height}x{layer.info.width})" for layer in dissection]
    lines = ["| concept | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for concept in dissection.concepts:
        cells = []
        for layer in dissection:
            scores = [
                match.iou
                for match in layer.matches
                if match.concept == concept.name and match.is_interpretable(min_iou)
            ]
            cells.append(f"{len(scores)} ({max(scores):.2f})" if scores else "0")
        lines.append(f"| {concept.name} | " + " | ".join(cells) + " |")
    totals = [sum(match.is_interpretable(min_iou) for match in layer.matches) for layer in dissection]
    lines.append("| **all** | " + " | ".join(f"**{total}**" for total in totals) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(format_table(Dissection.load(Path(sys.argv[1]))))
