"""Print summaries of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gandissect import Dissection
from gandissect.dissection import count_units_by_concept
from gandissect.dissection.results import ENOUGH_SAMPLES
from gandissect.report import REPORT_FILES

DISSECTION_FILES = (Dissection.FILE_NAME, *REPORT_FILES)
"""Files in the folder of a finished dissection."""


def print_dissection(dissection: Dissection, report: Path, min_iou: float, *, as_json: bool) -> None:
    """Print the number of matching units of each layer, and the report's path.

    Args:
        dissection: Dissection to summarize.
        report: Path of its report.
        min_iou: Smallest IoU at which a unit counts as matching a concept.
        as_json: Print one JSON object instead of lines.
    """
    layers = [_summarize_layer(dissection, name, min_iou) for name in (layer.name for layer in dissection)]
    if as_json:
        print(json.dumps({"report": str(report), "min_iou": min_iou, "layers": layers}))
        return
    num_samples = dissection.provenance.num_samples
    for layer in layers:
        concepts = ", ".join(f"{name} {count}" for name, count in layer["concepts"].items())
        print(
            f"{layer['layer']}: {_describe_matches(layer)} at IoU >= {min_iou}, beyond chance"
            + (f": {concepts}" if concepts else "")
        )
    if any(layer.chance is None for layer in dissection):
        print(
            f"{num_samples} sample{'s' * (num_samples != 1)} cannot rule out chance, so no unit counts as matching; "
            f"use at least {ENOUGH_SAMPLES}"
        )
    elif num_samples < ENOUGH_SAMPLES:
        print(
            f"with {num_samples} samples, only strong agreement can be distinguished from chance, so some matches are "
            f"missed; use at least {ENOUGH_SAMPLES}"
        )
    print(f"report: {report}")


def _describe_matches(layer: dict[str, Any]) -> str:
    """Return the numbers of matching units and of concepts, as a clause."""
    matching, units, concepts = layer["matching"], layer["units"], len(layer["concepts"])
    verb, noun = "matches" if matching == 1 else "match", "concept" if concepts == 1 else "concepts"
    return f"{matching} of {units} units {verb} {concepts} {noun}"


def _summarize_layer(dissection: Dissection, name: str, min_iou: float) -> dict[str, Any]:
    layer = dissection[name]
    counts = count_units_by_concept(layer.matches, min_iou)
    return {
        "layer": name,
        "units": layer.info.units,
        "matching": sum(counts.values()),
        "concepts": counts,
    }
