"""A repair's report as a PDF, drawn by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import Repair, RepairCurve
from ..text import finish_text
from .pictures import Strip
from .tables import FigureRow, ShareRow, draw_curve, figure_rows, limits, share_rows, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4 = (8.27, 11.69)
"""Width and height of a page, in inches."""

LEFT, WIDTH = 0.08, 0.84
"""Where everything begins, and how wide it is, as shares of the page."""

MAX_CONCEPTS = 8
"""Concepts in the table, at most: those that change most."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a report holds.

    Args:
        title: The heading.
        repair: What was measured.
        curve: How many units were chosen.
        ranking: How units were ranked, or None.
        strips: The pictures.
        units: Of each unit shown its number, what was measured of it, and its pictures.
    """

    title: str
    repair: Repair
    curve: RepairCurve
    ranking: ArtifactRanking | None
    strips: Sequence[Strip]
    units: Sequence[tuple[int, str, Strip]]

    def write(self, path: Path) -> None:
        """Write the PDF."""
        from matplotlib.backends.backend_pdf import PdfPages

        with PdfPages(path, metadata={"Title": self.title, "Creator": "gandissect", "CreationDate": None}) as pages:
            for page in (self.figures(), self.pictures(), self.last()):
                pages.savefig(finish_text(page))

    def figures(self) -> Figure:
        """Return the page of the verdict, the tables and the curve."""
        page = _page()
        page.text(LEFT, 0.96, self.title, fontsize=18, va="top")
        page.text(LEFT, 0.925, textwrap.fill(verdict(self.repair), 100), fontsize=10, va="top")
        heads = ["", "before", "after", "change (95 %)", "random units", "real"]
        cells = [
            [
                row.title,
                _format_number(row.before),
                _format_number(row.after),
                _format_change(row),
                _format_range(row),
                _format_number(row.real),
            ]
            for row in figure_rows(self.repair)
        ]
        _draw_table(page, (0.64, 0.23), heads, cells, (0.26, 0.1, 0.1, 0.27, 0.19, 0.08))
        changed = share_rows(self.repair)[:MAX_CONCEPTS]
        if changed:
            heads = ["share of pixels, %", "before", "change (95 %)", "random units"]
            cells = [
                [row.title, _format_number(row.before), _format_change(row), _format_range(row)] for row in changed
            ]
            _draw_table(page, (0.44, 0.22), heads, cells, (0.26, 0.1, 0.27, 0.19))
        _draw_image(page, (0.06, 0.36), _render_pixels(draw_curve(self.curve, len(self.repair.units))))
        return page

    def pictures(self) -> Figure:
        """Return the page of pictures."""
        page, top = _page(), 0.97
        for strip in self.strips:
            top = _put(page, strip, strip.title, LEFT, top, WIDTH)
        return page

    def last(self) -> Figure:
        """Return the page of units and limits."""
        page, top = _page(), 0.97
        half = WIDTH / 2 - 0.02
        for index, (unit, words, strip) in enumerate(self.units):
            column = index % 2
            below = _put(page, strip, f"unit {unit}: {words}", LEFT + column * (half + 0.04), top, half)
            top = below if column or index == len(self.units) - 1 else top
        numbers = ", ".join(map(str, self.repair.units.units))
        forced = "0" if self.repair.force_to == "zero" else "their means"
        for text in (
            limits(self.repair, self.ranking),
            f"Units of {self.repair.units.layer}, forced to {forced}: {numbers}.",
            f"{self.repair.generator}, {self.repair.generator.fingerprint}; seed {self.repair.seed}.",
        ):
            lines = textwrap.wrap(text, 118)
            page.text(LEFT, top, "\n".join(lines), fontsize=8, va="top")
            top -= 0.0135 * len(lines) + 0.012
        return page


def _page() -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=A4)


def _put(page: Figure, strip: Strip, title: str, left: float, top: float, width: float) -> float:
    """Draw pictures with their title above, and return where they end."""
    columns, lines = strip.size
    width = min(width, columns / 8 / 132)  # pictures of 128 pixels are an eighth of the page at most
    height = width * lines / columns * A4[0] / A4[1]
    page.text(left, top, title, fontsize=8, va="top")
    axes = page.add_axes((left, top - 0.018 - height, width, height))
    axes.set_axis_off()
    axes.imshow(strip.pixels.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    return top - height - 0.032


def _draw_table(
    page: Figure, place: tuple[float, float], heads: list[str], cells: list[list[str]], widths: tuple[float, ...]
) -> None:
    axes = page.add_axes((LEFT, place[0], WIDTH, place[1]))
    axes.set_axis_off()
    table = axes.table(cells, colLabels=heads, loc="upper left", edges="horizontal", colWidths=widths)
    for (_, column), cell in table.get_celld().items():
        cell.set_text_props(ha="left" if column == 0 else "right")
        cell.PAD = 0.02
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1, 1.35)


def _draw_image(page: Figure, place: tuple[float, float], pixels: Any) -> None:
    axes = page.add_axes((LEFT, place[0], WIDTH, place[1]))
    axes.set_axis_off()
    axes.imshow(pixels)


def _format_number(value: float) -> str:
    return f"{value:.3g}"


def _format_signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.1 else f"{value:+.2g}"


def _format_change(row: FigureRow | ShareRow) -> str:
    return f"{_format_signed(row.change)} ({_format_signed(row.low)} to {_format_signed(row.high)})"


def _format_range(row: FigureRow | ShareRow) -> str:
    return f"{_format_signed(row.control_low)} to {_format_signed(row.control_high)}"


def _render_pixels(figure: Figure) -> Any:
    """Return a figure as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return canvas.buffer_rgba()  # type: ignore[no-untyped-call]
