"""The units of a dissection as plain dictionaries, for JSON and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import LayerDissection, UnitMatch


def list_units(layer: LayerDissection) -> Iterator[dict[str, Any]]:
    """Yield the units of a layer as plain values.

    Args:
        layer: Layer of a dissection.
    """
    plain = [_record(layer, match) for match in layer.matches]
    if layer.curves is None:
        yield from plain
        return
    for record, match in zip(plain, layer.quality_matches, strict=True):
        quality = {name: getattr(match, name) for name in ("concept", "threshold", "share", "iou", "null_iou")}
        yield record | {"iqr": match.iqr} | {f"iqr_{name}": value for name, value in quality.items()}


def _record(layer: LayerDissection, match: UnitMatch) -> dict[str, Any]:
    """Return one unit as a plain dictionary."""
    low, high = match.iou_ci or (None, None)
    return {
        "layer": match.layer,
        "unit": match.unit,
        "concept": match.concept,
        "category": None if match.concept is None else layer.concepts[layer.concept_index(match.concept)].category,
        "iou": match.iou,
        "threshold": match.threshold,
        "null_iou": match.null_iou,
        "iou_low": low,
        "iou_high": high,
        "q_value": match.q_value,
        "beyond_chance": match.beyond_chance,
        "unit_area": int(layer.unit_area[match.unit]),
        "peak": float(layer.top.peaks[match.unit, 0]) if layer.top.peaks.shape[1] else None,
        "top_samples": layer.top.samples[match.unit].tolist(),
    }
