"""Geometry of the report's figures, in percent of a figure's width or height.

A figure therefore fits any page, and its text, which is the page's own, is never scaled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from ...core.types import Concept, categories
from ...dissection.results import LayerDissection, UnitMatch

NO_COLOR = "#8a8a8a"
LABEL = 9.0
"""Minimum distance between two tick labels, in percent of a profile's height."""

SHARES = (0.0005, 0.9)
"""Ends of the logarithmic axis of shares of pixels."""

TICKS = (0.001, 0.01, 0.1)
"""Shares of pixels with a label on that axis."""

STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)


@dataclass(frozen=True, slots=True)
class Bar:
    """The units of one concept, as a bar or as a segment of a stacked bar.

    Args:
        concept: Name of the concept.
        category: Category of the concept.
        color: Color of the concept, ``#rrggbb``.
        units: Number of units.
        start: Left edge, in percent.
        width: Width, in percent.
    """

    concept: str
    category: str
    color: str
    units: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """The IoU of one unit, as a column of a profile; geometry in percent, from the top left."""

    color: str
    is_match: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The IoU of each unit of a layer, highest first.

    Args:
        columns: One column per unit.
        ticks: Label and position (percent from the top) of each grid line.
        cut: Position of the line of the minimum IoU.
    """

    columns: tuple[Column, ...]
    ticks: tuple[tuple[str, float], ...]
    cut: float


@dataclass(frozen=True, slots=True)
class CurveFigure:
    """The IoU of a unit with a concept by the share of pixels on which the unit is on, in a 100 by 30 box.

    Args:
        line: Points of the IoU, as ``x,y`` pairs.
        chance: Points of the IoU with the label maps of other samples.
        mark: Position of the dissection's threshold on the x axis.
        highest: IoU at the top of the box.
    """

    line: str
    chance: str
    mark: float
    highest: float


def curve_figure(
    share: Float64[Tensor, " level"], iou: Float64[Tensor, " level"], null_iou: Float64[Tensor, " level"], mark: float
) -> CurveFigure:
    """Return the figure of one unit and one concept.

    Args:
        share: Share of pixels above each level, float64 ``[level]``.
        iou: IoU at each level, float64 ``[level]``.
        null_iou: IoU with the label maps of other samples, float64 ``[level]``.
        mark: Share of pixels on which the unit is on at the dissection's threshold, 0 to 1.
    """
    least, most = SHARES
    some = share > 0
    x = 100 * (share[some].clamp(least, most).log() - math.log(least)) / math.log(most / least)
    highest = max(float(iou.max()), float(null_iou.max()), 1e-9)

    def points(values: Tensor) -> str:
        heights = 30 - 29 * values[some] / highest
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), heights.tolist(), strict=True))

    return CurveFigure(points(iou), points(null_iou), _axis_position(mark), highest)


def curve_ticks() -> tuple[tuple[str, float], ...]:
    """Return the labels of a curve's x axis, in percent of all pixels, and their positions."""
    return tuple((f"{100 * share:g}", _axis_position(share)) for share in TICKS)


def _axis_position(share: float) -> float:
    """Return the position of a share of pixels on the logarithmic axis, 0 to 100."""
    least, most = SHARES
    return 100 * math.log(min(max(share, least), most) / least) / math.log(most / least)


def group_by_category(counts: Mapping[str, int], concepts: Sequence[Concept]) -> dict[str, int]:
    """Return counts by concept, grouped by category and otherwise in the order given."""
    order, kinds = categories(concepts), {concept.name: concept.category for concept in concepts}
    return dict(sorted(counts.items(), key=lambda item: order.index(kinds[item[0]])))


def bars(counts: Mapping[str, int], concepts: Mapping[str, Concept]) -> tuple[Bar, ...]:
    """Return one bar per concept; the longest is 100 percent wide."""
    scale = 100 / max(counts.values(), default=1)
    return tuple(_bar(concepts[name], units, 0.0, units * scale) for name, units in counts.items())


def _bar(concept: Concept, units: int, start: float, width: float) -> Bar:
    return Bar(concept.name, concept.category, concept.hex, units, start, width)


def stack_bars(
    counts: Mapping[str, int], order: Sequence[str], concepts: Mapping[str, Concept], full: int
) -> tuple[Bar, ...]:
    """Return the segments of a stacked bar, in an order that all stacks share.

    Args:
        counts: Number of units of each concept.
        order: Names of the concepts, in the order of the segments.
        concepts: Concepts by name.
        full: Number of units that make 100 percent.
    """
    pieces: list[Bar] = []
    done = 0
    for name in order:
        if counts.get(name):
            pieces.append(_bar(concepts[name], counts[name], 100 * done / full, 100 * counts[name] / full))
            done += counts[name]
    return tuple(pieces)


def sort_by_iou(matches: Sequence[UnitMatch]) -> list[UnitMatch]:
    """Sort units by IoU, highest first; ties stay in the order of the units."""
    return sorted(matches, key=lambda match: (-match.iou, match.unit))


def profile(layer: LayerDissection, min_iou: float, concepts: Mapping[str, Concept]) -> Profile:
    """Return the IoU of each unit of a layer, highest first."""
    ranked = sort_by_iou(layer.matches)
    top = 1.1 * max(ranked[0].iou, min_iou, 0.01)
    width = 100 / len(ranked)
    columns = tuple(
        Column(
            concepts[match.concept].hex if match.concept else NO_COLOR,
            match.is_interpretable(min_iou),
            index * width,
            100 * (1 - match.iou / top),
            width,
            100 * match.iou / top,
        )
        for index, match in enumerate(ranked)
    )
    step = next((step for step in STEPS if top / step <= 5), STEPS[-1])
    marks = [step * number for number in range(1, int(min(1.0, top) / step + 1e-9) + 1)]
    cut = 100 * (1 - min_iou / top)
    ticks = [(f"{mark:g}", 100 * (1 - mark / top)) for mark in marks]
    return Profile(columns, tuple((label, y) for label, y in ticks if y < 100 - LABEL), cut)
