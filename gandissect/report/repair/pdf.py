"""A repair's report as a PDF, drawn by matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import Repair, RepairCurve
from ..text import finish_text
from .curve import draw_curve_lines
from .pictures import Block, Strip, UnitPictures
from .tables import (
    Table,
    conclude,
    describe_choice,
    describe_effect,
    describe_limits,
    list_settings,
    made_by,
    tabulate_concepts,
    tabulate_figures,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A4 = (8.27, 11.69)
"""Width and height of a page, in inches."""

LEFT, WIDTH, TOP, BOTTOM = 0.08, 0.84, 0.96, 0.05
"""Left edge, width, upper and lower edge of what is on a page, as shares of the page."""

FIGURE_COLUMNS = (0.34, 0.41, 0.49, 0.665, 0.845, 0.92)
"""Right edges of the columns of figures, as shares of the page; the title is on the left."""

CONCEPT_COLUMNS = (0.46, 0.56, 0.74, 0.92)
"""Right edges of the columns of concepts."""

LABEL_WIDTH, GAP = 0.09, 0.02
"""Room for the labels of rows of pictures, and between blocks, as shares of the page."""

MUTED = "#666666"


@dataclass(frozen=True, slots=True)
class Document:
    """Contents of a report.

    Args:
        title: Title of the report.
        repair: Measurement of the repair.
        curve: Distances by number of units.
        ranking: Ranking of the units, or None.
        strips: Pictures of images before and after.
        units: Pictures of units.
        command: Command line that made the results, or None.
    """

    title: str
    repair: Repair
    curve: RepairCurve
    ranking: ArtifactRanking | None
    strips: Sequence[Strip]
    units: Sequence[UnitPictures]
    command: str | None

    def write(self, path: Path) -> None:
        """Write the PDF."""
        from matplotlib.backends.backend_pdf import PdfPages

        creator = made_by()
        with PdfPages(path, metadata={"Title": self.title, "Creator": creator, "CreationDate": None}) as pages:
            for page in self.draw():
                pages.savefig(page)

    def draw(self) -> list[Figure]:
        """Draw the pages."""
        layout = _Layout()
        self._draw_tables(layout)
        layout.heading("How many units")
        layout.paragraph(describe_choice(self.curve, self.repair))
        layout.curve(self.curve, len(self.repair.units))
        layout.heading("Pictures", keep=0.2)
        for strip in self.strips:
            layout.strip(strip)
        if self.units:
            layout.heading("Units: the images that activate each most", keep=0.12)
            layout.units(self.units)
        layout.heading("Limits")
        layout.paragraph(describe_limits(self.repair, self.ranking))
        layout.heading("Settings")
        for name, value in list_settings(self.repair, self.ranking, self.command):
            layout.paragraph(f"{name}: {value}")
        return [finish_text(page) for page in layout.pages]

    def _draw_tables(self, layout: _Layout) -> None:
        layout.paragraph(self.title, size=18, gap=0.012)
        layout.paragraph(conclude(self.repair), size=11, weight="bold")
        layout.paragraph(describe_effect(self.repair), size=10)
        layout.heading("Before and after")
        layout.table(tabulate_figures(self.repair), FIGURE_COLUMNS)
        concepts = tabulate_concepts(self.repair)
        if concepts and concepts.rows:
            layout.heading("Concepts: share of the pixels, and its change in percentage points", keep=0.1)
            layout.table(concepts, CONCEPT_COLUMNS)


@dataclass(slots=True)
class _Layout:
    """Pages that are filled from top to bottom; what does not fit begins the next page.

    Args:
        pages: Pages so far.
        top: Upper edge of the free part of the last page, as a share of the page.
    """

    pages: list[Figure] = field(default_factory=list)
    top: float = 0.0

    def take(self, height: float, keep: float = 0.0) -> float:
        """Take a part of the page and return its upper edge; the part and ``keep`` below it are on one page."""
        from matplotlib.figure import Figure

        if not self.pages or self.top - height - keep < BOTTOM:
            self.pages.append(Figure(figsize=A4))
            self.top = TOP
        top = self.top
        self.top -= height
        return top

    def heading(self, text: str, keep: float = 0.08) -> None:
        """Write a heading."""
        top = self.take(0.038, keep)
        self.pages[-1].text(LEFT, top - 0.014, text, fontsize=11, weight="bold", va="top")

    def paragraph(self, text: str, size: float = 8.5, weight: str = "normal", gap: float = 0.006) -> None:
        """Write lines of text."""
        lines = textwrap.wrap(text, int((950 if weight == "normal" else 820) / size))
        for line in lines:
            top = self.take(1.35 * size / 72 / A4[1])
            self.pages[-1].text(LEFT, top, line, fontsize=size, weight=weight, va="top")
        self.top -= gap

    def table(self, table: Table, edges: Sequence[float]) -> None:
        """Draw a table; its headings are repeated on each page."""
        page = None
        room = int((edges[0] - LEFT - 0.06) * A4[0] * 72 / 4.4)
        for row in table.rows:
            titles = textwrap.wrap(row.title, room) or [""]
            height = 0.0125 * len(titles) + 0.0045
            top = self.take(height)
            if self.pages[-1] is not page:
                page = self.pages[-1]
                self._cells(table.heads[0], table.heads[1:], edges, top, MUTED)
                self.top -= 0.018
                top -= 0.018
            self._line(top + 0.003)
            self._cells("\n".join(titles), row.cells, edges, top, "black")

    def curve(self, curve: RepairCurve, marked: int) -> None:
        """Draw the distance by number of units, with the legend on the right."""
        height = 0.2
        top = self.take(height + 0.06)
        axes = self.pages[-1].add_axes((LEFT + 0.06, top - height - 0.01, 0.42, height))
        draw_curve_lines(axes, curve, marked)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        axes.tick_params(labelsize=8)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.03), fontsize=7.5, frameon=False)

    def strip(self, strip: Strip) -> None:
        """Draw pictures with their title, two blocks side by side, and a label for each row."""
        label = LABEL_WIDTH if strip.labels else 0.0
        width = (WIDTH - GAP) / 2 - LABEL_WIDTH
        pairs = [strip.blocks[index : index + 2] for index in range(0, len(strip.blocks), 2)]
        for number, blocks in enumerate(pairs):
            sizes = [_fit(block, width) for block in blocks]
            title = 0.0 if number else 0.02
            height = max(height for _, height in sizes)
            top = self.take(height + title + 0.012)
            if title:
                self.pages[-1].text(LEFT, top, strip.title, fontsize=8.5, va="top")
            for column, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
                left = LEFT + label + column * (width + LABEL_WIDTH + GAP)
                self._picture(block, left, top - title, size)
                for row, text in enumerate(strip.labels):
                    middle = top - title - size[1] * (row + 0.5) / len(strip.labels)
                    self.pages[-1].text(left - 0.006, middle, text, fontsize=7, ha="right", va="center", color=MUTED)

    def units(self, units: Sequence[UnitPictures]) -> None:
        """Draw pictures of units, two side by side."""
        width = (WIDTH - 2 * GAP) / 2
        for index in range(0, len(units), 2):
            pair = [(unit, _fit(unit.block, width)) for unit in units[index : index + 2]]
            top = self.take(max(size[1] for _, size in pair) + 0.03)
            for column, (unit, size) in enumerate(pair):
                left = LEFT + column * (width + 2 * GAP)
                self.pages[-1].text(left, top, f"unit {unit.unit}: {unit.measures}", fontsize=8, va="top")
                self._picture(unit.block, left, top - 0.017, size)

    def _picture(self, block: Block, left: float, top: float, size: tuple[float, float]) -> None:
        axes = self.pages[-1].add_axes((left, top - size[1], *size))
        axes.set_axis_off()
        axes.imshow(block.pixels.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")

    def _cells(self, title: str, cells: Sequence[str], edges: Sequence[float], top: float, color: str) -> None:
        self.pages[-1].text(LEFT, top, title, fontsize=7.5, va="top", color=color)
        for edge, cell in zip(edges, cells, strict=True):
            self.pages[-1].text(edge, top, cell, fontsize=7.5, va="top", ha="right", color=color)

    def _line(self, top: float) -> None:
        from matplotlib.lines import Line2D

        self.pages[-1].add_artist(Line2D((LEFT, LEFT + WIDTH), (top, top), color="#dddddd", linewidth=0.6))


def _fit(block: Block, width: float) -> tuple[float, float]:
    """Return the width and height of a block in shares of the page, at most as wide as ``width``."""
    columns, rows = block.size
    width = min(width, columns / 4 / 132 * width)  # four images of 128 pixels fill it
    return width, width * rows / columns * A4[0] / A4[1]
