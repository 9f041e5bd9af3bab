"""The words, the tables and the figure of a repair's report."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import FIGURES, Repair, RepairCurve
from ..style import CONTROL, INK, UNITS, draw_control_band
from ..text import finish_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "distance": ("Frechet distance", "less is better"),
    "kernel_distance": ("Kernel distance", "less is better"),
    "precision": ("Precision", "share of generated pictures among the real ones"),
    "recall": ("Recall", "share of real pictures among the generated ones"),
    "density": ("Density", "how densely the real ones' neighborhoods are filled"),
    "coverage": ("Coverage", "share of these neighborhoods that are reached"),
    "nearest_ratio": ("Nearest ratio", "distance to training by that to held-out pictures"),
    "worst_realism": ("Realism of the worst 5 %", "more is better"),
}
"""What each of the `FIGURES` is called, and how to read it."""


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure before and after, as the table shows it."""

    title: str
    hint: str
    before: float
    after: float
    change: float
    low: float
    high: float
    control_low: float
    control_high: float
    real: float


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A concept's share in percent and its change in percentage points, as the table shows them."""

    title: str
    before: float
    change: float
    low: float
    high: float
    control_low: float
    control_high: float


def verdict(repair: Repair) -> str:
    """Say in one sentence whether it helps, with figures."""
    change, others = repair.change("distance"), repair.control_changes("distance")
    before, after = (float(table[:, 0].mean()) for table in (repair.before, repair.after))
    count = len(repair.units)
    action = "switched off" if repair.force_to == "zero" else "held at their means"
    units = f"{count} unit{'s' * (count != 1)} of {repair.units.layer} {action}"
    figures = (
        f"the Frechet distance to held-out pictures goes from {before:.2f} to {after:.2f} "
        f"(change {change.mean:+.2f}, 95 % interval {change.low:+.2f} to {change.high:+.2f}); "
        f"as many random units change it by {min(others):+.2f} to {max(others):+.2f}"
    )
    if repair.helps:
        return f"The repair helps: with {units}, {figures}."
    if change.high < 0:
        return f"The repair helps no more than random units: with {units}, {figures}."
    return f"The repair does not help: with {units}, {figures}."


def limits(repair: Repair, ranking: ArtifactRanking | None) -> str:
    """Say what the figures do not."""
    caveat = (
        "The units were ranked without labels: an image may be far from real ones for reasons that no one would call "
        "an artifact."
    )
    return (
        f"All distances are over features of {repair.network}: they compare with each other and with “real”, not with "
        "the FID of any paper. They depend on the number of pictures. The held-out pictures are the same for all "
        "sets, so the chance in which they are is not in the intervals. A smaller distance can be bought with less "
        "variety: look at recall and coverage beside it. "
        f"{caveat if ranking else 'The units were given by hand.'}"
    )


def figure_rows(repair: Repair) -> list[FigureRow]:
    """Return the table of figures."""
    table_rows = []
    for name, record in zip(FIGURES, repair.records(), strict=True):
        title, hint = TITLES[name]
        ends = (record["control_change_min"], record["control_change_max"])
        change = (record["change"], record["change_low"], record["change_high"])
        figures = (record["before"], record["after"], *change, *ends, record["real"])
        table_rows.append(FigureRow(title, hint, *map(_drop_rounding, figures)))
    return table_rows


def share_rows(repair: Repair) -> list[ShareRow]:
    """Return the table of concepts, those that change most first; without those that are nowhere."""
    if repair.concepts is None:
        return []
    records = zip(repair.concepts.concepts, repair.concepts.records(), strict=True)
    keys = ("before", "change", "change_low", "change_high", "control_change_min", "control_change_max")
    table_rows = [
        ShareRow(concept.name, *(_drop_rounding(100 * record[key]) for key in keys))
        for concept, record in records
        if record["before"] or record["change"]
    ]
    return sorted(table_rows, key=lambda row: -abs(row.change))


def _drop_rounding(value: float) -> float:
    """Return 0 for what rounding left of a sum that is 0, such as -6.94e-18."""
    return value if abs(value) > 1e-12 else 0.0


def draw_curve(curve: RepairCurve, marked: int) -> Figure:
    """Draw the distance against the number of units forced, with the band of random units.

    Args:
        curve: What `choose_num_units` returned.
        marked: The number that was measured.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    places, control = range(len(curve.counts)), curve.control.mean(dim=2)
    draw_control_band(axes, control.amin(dim=0).tolist(), control.amax(dim=0).tolist(), "as many random units")
    axes.plot(places, control.mean(dim=0).tolist(), color=CONTROL, lw=1)
    reaches = [max(0.0, change.mean - change.low) for change in map(curve.change, places)]
    axes.errorbar(
        places,
        curve.distance.mean(dim=1).tolist(),
        yerr=reaches,
        fmt="o-",
        color=UNITS,
        ms=4,
        lw=1.5,
        label="ranked units (95 % of the change)",
    )
    axes.axhline(curve.floor.mean, color=INK, lw=0.8, ls=":", label="real against real")
    if marked in curve.counts:
        axes.axvline(curve.counts.index(marked), color=UNITS, lw=0.8, ls="--")
    axes.set_xticks(places, [str(count) for count in curve.counts])
    axes.set_xlabel(f"units of {curve.ranked.layer} forced, in the order of the ranking")
    axes.set_ylabel("Frechet distance")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return finish_text(figure)


def png(figure: Figure) -> str:
    """Return a figure as a ``data:`` address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
