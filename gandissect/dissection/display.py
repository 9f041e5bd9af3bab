"""What notebooks show of a dissection: the layers, the units by concept, and the best units with their pictures."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.rich import Markup, dim_outside, draw_bars, draw_picture, draw_records, draw_table, join_markup
from .results import Dissection, LayerDissection, UnitMatch, count_units_by_concept

NUM_UNITS, NUM_PICTURES, NUM_CONCEPTS = 6, 4, 10
"""Maximum number of units, of pictures for each, and of concepts to show."""


def show_dissection(dissection: Dissection) -> Iterator[str]:
    """Yield a table of the layers, and the best units of the layer with the most interpretable ones.

    Args:
        dissection: Dissection to show.
    """
    yield draw_records([_summarize_layer(layer) for layer in dissection], max_rows=max(len(dissection), 1))
    best = max(dissection, key=_count_interpretable, default=None)
    if best is not None:
        yield from _show_bars(best)
        yield _show_units(best, dissection)


def show_layer(layer: LayerDissection) -> Iterator[str]:
    """Yield the units by concept, and the best units.

    Args:
        layer: Layer to show.
    """
    yield from _show_bars(layer)
    yield _show_units(layer, None)


def _count_interpretable(layer: LayerDissection) -> int:
    return sum(match.is_interpretable() for match in layer.matches)


def _summarize_layer(layer: LayerDissection) -> dict[str, str | int]:
    counts = count_units_by_concept(layer.matches)
    return {
        "layer": layer.name,
        "units": layer.info.units,
        "grid": f"{layer.info.height} x {layer.info.width}",
        "interpretable": sum(counts.values()),
        "concepts": ", ".join(f"{name} {count}" for name, count in list(counts.items())[:NUM_CONCEPTS]) or "none",
    }


def _show_bars(layer: LayerDissection) -> Iterator[str]:
    """Yield the number of interpretable units of each concept as bars, if there are any."""
    counts = count_units_by_concept(layer.matches)
    if counts:
        colors = {concept.name: concept.hex for concept in layer.concepts}
        yield draw_bars(dict(list(counts.items())[:NUM_CONCEPTS]), colors)


def _show_units(layer: LayerDissection, dissection: Dissection | None) -> str:
    """Return a table of the units of highest IoU, interpretable ones first; with pictures where there are some."""
    matches = sorted(layer.matches, key=lambda match: (not match.is_interpretable(), -match.iou))[:NUM_UNITS]
    names = ["unit", "concept", "IoU", "95% interval", "by chance"]
    rows = [[match.unit, match.concept or "none", match.iou, *_describe_chance(match)] for match in matches]
    if dissection is None or not layer.top.samples.shape[1]:
        return draw_table(names, rows)
    pictures = [_draw_pictures(layer, match.unit, dissection) for match in matches]
    rows = [[*row, strip] for row, strip in zip(rows, pictures, strict=True)]
    return draw_table([*names, f"most active in, {layer.name}"], rows)


def _describe_chance(match: UnitMatch) -> tuple[str, float | None]:
    """Return the interval of the IoU as text, and the IoU with other samples' label maps."""
    return ("" if match.iou_ci is None else "{:.3f} to {:.3f}".format(*match.iou_ci)), match.null_iou


def _draw_pictures(layer: LayerDissection, unit: int, dissection: Dissection) -> Markup:
    """Return the pictures in which a unit is most active, darkened where it is off."""
    samples = layer.top.samples[unit, :NUM_PICTURES].tolist()
    return join_markup(
        draw_picture(
            dim_outside(dissection.thumbnails[sample], layer.top.mask(unit, rank)), f"unit {unit}, sample {sample}"
        )
        for rank, sample in enumerate(samples)
    )
