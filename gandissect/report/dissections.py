"""A figure of a dissection: the number of interpretable units of each concept, layer by layer."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ..core.types import check_type
from ..dissection.results import MIN_IOU, Dissection, count_units_by_concept
from .text import finish_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 3
"""Maximum number of layers side by side."""

WIDTH, LETTERS = 3.8, 11
"""Width of a panel in inches, and letters of the title per inch."""

MAX_CONCEPTS = 12
"""Maximum number of concepts of a layer, those with the most units."""


def draw_dissection(dissection: Dissection, min_iou: float = MIN_IOU) -> Figure:
    """Draw the number of interpretable units of each concept, with one panel for each layer.

    Args:
        dissection: Dissection returned by `dissect` or ``Dissection.load``.
        min_iou: Minimum IoU of an interpretable unit, 0 to 1.

    Returns:
        A matplotlib figure that belongs to no window; ``savefig`` writes it, and notebooks display it.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> D = gandissect.dissect(G, S, num_samples=100, progress=False)
        >>> [axes.get_title() for axes in gandissect.draw_dissection(D).axes]
        ['layer1: 5 of 6 units', 'layer2: 5 of 6 units']
    """
    from matplotlib.ticker import MaxNLocator

    from .figures import NotebookFigure

    check_type("dissection", dissection, Dissection, "pass what dissect or Dissection.load returns")
    colors = {concept.name: concept.hex for concept in dissection.concepts}
    counts = [dict(list(count_units_by_concept(layer.matches, min_iou).items())[:MAX_CONCEPTS]) for layer in dissection]
    columns = min(PANELS, max(len(counts), 1))
    rows = -(-len(counts) // columns)
    height = 1.1 + 0.22 * max(map(len, counts), default=0)
    provenance = dissection.provenance
    title = f"Units by concept: {provenance.generator}, {provenance.segmenter}, n = {provenance.num_samples:,}"
    lines = textwrap.wrap(title, int(LETTERS * WIDTH * columns), break_on_hyphens=False)
    size = (WIDTH * columns, 0.3 + 0.2 * len(lines) + height * max(rows, 1))
    figure = NotebookFigure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle("\n".join(lines), fontsize="medium")
    for place, (layer, by_concept) in enumerate(zip(dissection, counts, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, place)
        shades = [colors[name] for name in by_concept]
        places = range(len(by_concept))
        axes.barh(places, list(by_concept.values()), 0.7, color=shades, edgecolor="#444444", linewidth=0.6)
        axes.set_yticks(places, list(by_concept), fontsize="small")
        axes.set_ylim(max(len(by_concept), 1) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"{layer.name}: {sum(by_concept.values())} of {layer.info.units} units", fontsize="medium")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    return finish_text(figure)
