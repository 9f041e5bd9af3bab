"""The figure of a repair's report: distance by number of units switched off or held at their means."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...artifacts.results import RepairCurve
from ...core.types import check_type
from ..style import CONTROL, INK, UNITS, draw_control_band
from ..text import finish_text
from .tables import describe_action

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_repair_curve(curve: RepairCurve, marked: int | None = None) -> Figure:
    """Draw the distance by the number of units forced, with the range of random units.

    Args:
        curve: Curve returned by `choose_num_units`, or the ``curve`` of what `find_repair` returns.
        marked: Number of units to mark as the measured one; by default the number that the curve chose is marked.

    Returns:
        A matplotlib figure that belongs to no window; ``savefig`` writes it, and notebooks display it.
    """
    from ..figures import NotebookFigure

    check_type("curve", curve, RepairCurve, "pass what choose_num_units or RepairCurve.load returns")
    figure = NotebookFigure(figsize=(4.6, 3.6), dpi=200, layout="constrained")
    axes = figure.add_subplot()
    draw_curve_lines(axes, curve, marked)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", fontsize=8, frameon=False)
    return finish_text(figure)


def draw_curve_lines(axes: Axes, curve: RepairCurve, marked: int | None) -> None:
    """Draw the lines of a curve, each with a label, and the axes' names."""
    places, control = range(len(curve.counts)), curve.control.mean(dim=2)
    reaches = [max(0.0, change.mean - change.low) for change in map(curve.change, places)]
    label, means = "ranked units, 95% interval of the change", curve.distance.mean(dim=1).tolist()
    axes.errorbar(places, means, reaches, fmt="o-", color=UNITS, ms=4, lw=1.5, label=label)
    axes.plot(places, control.mean(dim=0).tolist(), color=CONTROL, lw=1.2, label="random units, mean of all draws")
    low, high = (extreme.tolist() for extreme in (control.amin(dim=0), control.amax(dim=0)))
    bottom, top = _choose_limits([*means, curve.floor.mean], reaches)
    cut = f"; up to {max(high):.1f}, beyond the axis" if max(high) > top else ""
    draw_control_band(axes, low, high, f"random units, range of the draws{cut}")
    axes.axhline(curve.floor.mean, color=INK, lw=0.9, ls=":", label="distance between real pictures")
    role, number = ("chosen", curve.num_units) if marked is None else ("measured in this report", marked)
    if number in curve.counts and (number or marked is not None):
        noun = "unit" if number == 1 else "units"
        axes.axvline(curve.counts.index(number), color=UNITS, lw=0.9, ls="--", label=f"{role}: {number} {noun}")
    axes.set_xticks(places, [str(count) for count in curve.counts])
    axes.set_xlabel(f"number of units of {curve.ranked.layer} {describe_action(curve)}, in ranked order", fontsize=9)
    axes.set_ylabel("Fréchet distance", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.set_ylim(bottom, top)
    axes.grid(axis="y", alpha=0.3)


def _choose_limits(distances: Sequence[float], reaches: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the distance axis, which is half as long again as the range of the ranked units."""
    low, high, reach = min(distances), max(distances), max(reaches)
    margin = (high - low) / 4 + reach or 1.0
    return max(0.0, low - margin), high + margin


def encode_figure(figure: Figure) -> str:
    """Return a figure as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
