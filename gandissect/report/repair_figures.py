"""The figures and the table of a repair's report, and the report as a PDF."""

from __future__ import annotations

import base64
import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..repair_results import FIGURES, Repair, RepairCurve
from .repair_pictures import COLUMNS, Shown, grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4 = (8.27, 11.69)
"""Width and height of a page of the PDF, in inches."""

TITLES = {
    "distance": ("Frechet distance", "less is better"),
    "kernel_distance": ("Kernel distance", "less is better"),
    "precision": ("Precision", "share of generated pictures among the real ones"),
    "recall": ("Recall", "share of real pictures among the generated ones"),
    "density": ("Density", "how densely the real ones' neighbourhoods are filled"),
    "coverage": ("Coverage", "share of these neighbourhoods that are reached"),
    "nearest_ratio": ("Nearest ratio", "distance to training by that to held-out pictures"),
    "worst_realism": ("Realism of the worst 5 %", "more is better"),
}
"""What each of the `FIGURES` is called, and how to read it."""


@dataclass(frozen=True, slots=True)
class Row:
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


def verdict(repair: Repair) -> str:
    """Say in one sentence whether it helps, with figures."""
    change, others = repair.change("distance"), repair.control_changes("distance")
    before, after = (float(table[:, 0].mean()) for table in (repair.before, repair.after))
    count = len(repair.units)
    what = "switched off" if repair.to == "zero" else "held at their means"
    units = f"{count} unit{'s' * (count != 1)} of {repair.units.layer} {what}"
    figures = (
        f"the Frechet distance to held-out pictures goes from {before:.2f} to {after:.2f} "
        f"(change {change.mean:+.2f}, 95 % interval {change.low:+.2f} to {change.high:+.2f}); "
        f"as many random units change it by {min(others):+.2f} to {max(others):+.2f}"
    )
    if repair.helps:
        return f"The repair helps: with {units}, {figures}."
    return f"The repair does not help: with {units}, {figures}."


def rows(repair: Repair) -> list[Row]:
    """Return the table of figures."""
    found = []
    for name, record in zip(FIGURES, repair.records(), strict=True):
        title, hint = TITLES[name]
        ends = (record["control_change_min"], record["control_change_max"])
        change = (record["change"], record["change_low"], record["change_high"])
        found.append(Row(title, hint, record["before"], record["after"], *change, *ends, record["real"]))
    return found


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
    band = (control.amin(dim=0).tolist(), control.amax(dim=0).tolist())
    axes.fill_between(places, *band, color="#8a93a0", alpha=0.35, lw=0, label="as many random units")
    axes.plot(places, control.mean(dim=0).tolist(), color="#8a93a0", lw=1)
    ends = [[max(0.0, change.mean - change.low) for change in map(curve.change, places)]]
    axes.errorbar(places, curve.distance.mean(dim=1).tolist(), yerr=ends[0], fmt="o-", color="#c2571a", ms=4, lw=1.5,
                  label="ranked units (95 % of the change)")  # fmt: skip
    axes.axhline(curve.floor.mean, color="#222222", lw=0.8, ls=":", label="real against real")
    if marked in curve.counts:
        axes.axvline(curve.counts.index(marked), color="#c2571a", lw=0.8, ls="--")
    axes.set_xticks(places, [str(count) for count in curve.counts])
    axes.set_xlabel(f"units of {curve.ranked.layer} forced, in the order of the ranking")
    axes.set_ylabel("Frechet distance")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return figure


def png(figure: Figure) -> str:
    """Return a figure as a ``data:`` address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def write_pdf(path: Path, title: str, repair: Repair, curve: RepairCurve, shown: Shown) -> None:
    """Write the report as two pages."""
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(path, metadata={"Title": title, "Creator": "gandissect", "CreationDate": None}) as pages:
        for page in (_first_page(title, repair, curve), _second_page(shown)):
            pages.savefig(page)


def _first_page(title: str, repair: Repair, curve: RepairCurve) -> Figure:
    """Return the verdict, the table and the curve on one page."""
    from matplotlib.figure import Figure

    page = Figure(figsize=A4)
    page.text(0.08, 0.95, title, fontsize=18, va="top")
    page.text(0.08, 0.91, textwrap.fill(verdict(repair), 95), fontsize=10, va="top")
    heads = ["", "before", "after", "change (95 %)", "random units", "real"]
    cells = [
        [row.title, f"{row.before:.3g}", f"{row.after:.3g}", f"{row.change:+.2g} ({row.low:+.2g} to {row.high:+.2g})",
         f"{row.control_low:+.2g} to {row.control_high:+.2g}", f"{row.real:.3g}"]
        for row in rows(repair)
    ]  # fmt: skip
    axes = page.add_axes((0.08, 0.56, 0.84, 0.28))
    axes.set_axis_off()
    widths = (0.26, 0.1, 0.1, 0.27, 0.19, 0.08)
    table = axes.table(cells, colLabels=heads, loc="upper left", edges="horizontal", colWidths=widths)
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.5)
    plot = page.add_axes((0.08, 0.1, 0.84, 0.42))
    plot.set_axis_off()
    plot.imshow(_pixels(draw_curve(curve, len(repair.units))))
    return page


def _second_page(shown: Shown) -> Figure:
    """Return the pictures on one page."""
    from matplotlib.figure import Figure

    page = Figure(figsize=A4, layout="constrained")
    parts = [
        ("the first held-out images: before, after", [half[:COLUMNS] for half in shown.random()]),
        ("the lowest realism: before, after", shown.extremes(worst=True)),
        ("the highest realism: before, after", shown.extremes(worst=False)),
    ]
    for axes, (name, pictures) in zip(page.subplots(3, 1), parts, strict=True):
        axes.set_axis_off()
        axes.set_title(name, fontsize=10, loc="left")
        axes.imshow(grid(pictures).permute(1, 2, 0).numpy())
    return page


def _pixels(figure: Figure) -> Any:
    """Return a figure as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return canvas.buffer_rgba()  # type: ignore[no-untyped-call]
