"""The report's numbers as JSON and CSV, for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

from ...dissection.label_comparison import LabelComparison
from ...dissection.results import Dissection, Provenance, count_units_by_concept
from ...storage.saved import plain_entries

FORMAT = "gandissect.report"
VERSION = 1


def as_json(dissection: Dissection, min_iou: float, comparison: LabelComparison | None = None) -> str:
    """Return all numbers of the report as JSON: provenance, concepts, layers, and one record per unit.

    With a comparison of inputs and outputs, its record per unit is in ``agreement``.

    Raises:
        ValueError: If a number is not finite, naming the layer and unit.
    """
    provenance = plain_entries(dissection.provenance)
    provenance["versions"] = dict(dissection.provenance.versions)
    value = {
        "format": FORMAT,
        "version": VERSION,
        "min_iou": min_iou,
        "provenance": provenance,
        "concepts": [dataclasses.asdict(concept) for concept in dissection.concepts],
        "layers": summaries(dissection, min_iou),
        "units": finite_records(dissection),
    }
    if comparison is not None:
        value["agreement"] = comparison.records()
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def without_circumstances(numbers: Any) -> Any:
    """Return a report's numbers without those that may differ between reports of the same dissection.

    Args:
        numbers: JSON values, as written by `as_json`.
    """
    if not isinstance(numbers, dict) or not isinstance(numbers.get("provenance"), dict):
        return None
    circumstances = {field.name for field in dataclasses.fields(Provenance) if not field.compare}
    provenance = {name: value for name, value in numbers["provenance"].items() if name not in circumstances}
    kept = {name: value for name, value in numbers.items() if name not in {"min_iou", "layers", "agreement"}}
    return kept | {"provenance": provenance}


def summaries(dissection: Dissection, min_iou: float) -> list[dict[str, Any]]:
    """Return the counts of each layer as plain values."""
    result = []
    for layer in dissection:
        counts = count_units_by_concept(layer.matches, min_iou)
        result.append(
            {
                "layer": layer.name,
                "units": layer.info.units,
                "height": layer.info.height,
                "width": layer.info.width,
                "num_pixels": layer.num_pixels,
                "matching_units": sum(counts.values()),
                "matching_concepts": len(counts),
                "units_by_concept": counts,
            }
        )
    return result


def as_csv(dissection: Dissection, comparison: LabelComparison | None = None) -> str:
    """Return one line per unit, with the keys of `Dissection.records` as the header; list items separated by spaces.

    With a comparison of inputs and outputs, the columns ``agreement_concept`` to ``agreement_follows`` are added.
    """
    records = finite_records(dissection)
    if comparison is not None:
        for record, unit in zip(records, comparison.records(), strict=True):
            record |= {f"agreement_{name}": value for name, value in unit.items() if name not in ("layer", "unit")}
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(records[0]) if records else ["layer", "unit"], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _cell(value) for key, value in record.items()})
    return buffer.getvalue()


def finite_records(dissection: Dissection) -> list[dict[str, Any]]:
    """Return the records of the units.

    Raises:
        ValueError: If a number is not finite, naming the layer and unit.
    """
    records = dissection.records()
    for record in records:
        for key, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{key} of unit {record['unit']} of {record['layer']!r} is {value}; it must be finite")
    return records


def _cell(value: object) -> object:
    """Return a value as a cell of the CSV."""
    return " ".join(str(item) for item in value) if isinstance(value, list) else value
