"""The figure of a comparison: shares of interpretable units above, concepts of each layer below."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.types import Concept, categories, check_type
from ..dissection.comparison import ComparedLayer, Comparison
from .text import finish_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
"""Colors of up to seven models, distinguishable with color blindness. Source: Okabe and Ito 2008."""

MIN_WIDTH, MAX_WIDTH = 8.0, 15.0
"""Range of the figure's width, in inches."""

COLUMN, ROW, GAP, LINE = 0.36, 0.22, 0.55, 0.15
"""Minimum width of a table's column, height of its rows, gap between tables, height of a title's line, in inches."""

LETTER, LONGEST = 0.085, 26
"""Width of a letter in inches, and maximum number of letters of a name."""

SEPARATOR = r"[\s/._-]"
"""Characters after which a name may be broken into lines."""


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw the share of interpretable units by layer, one line per model, and each model's units by concept and layer.

    If three or more models have the same layers, like snapshots of one run, a second plot has one line per layer,
    over the models in the order given. The x axis has layer names if one model has the layers of all others; otherwise
    it has grid sizes, with layers of the same grid side by side.

    Args:
        comparison: Comparison returned by `compare`.

    Returns:
        A figure without window or global state; write it with ``savefig``. Error bars are 95% intervals; table cells
            contain numbers of units, and the square before a concept has the concept's color.

    Source: Bau et al. 2019, Sec. 4.1.
    """
    from .figures import NotebookFigure

    check_type("comparison", comparison, Comparison, "pass what compare returns")
    models = [comparison.layers_of(model) for model in comparison.models]
    page = _page(comparison, models)
    figure = NotebookFigure(figsize=(page.width, 0.5 + page.upper + page.lower), layout="constrained")
    figure.suptitle(_title(comparison), fontsize=11)
    shares, tables = figure.subfigures(2, 1, squeeze=False, height_ratios=(page.upper, page.lower))[:, 0]
    _draw_shares(shares, comparison.models, models, page.width)
    _draw_tables(tables, comparison, models, page)
    if comparison.notes:
        figure.supxlabel(_wrap_text("; ".join(comparison.notes), int(13 * page.width)), fontsize=8)
    return finish_text(figure)


@dataclass(frozen=True, slots=True)
class _Page:
    """Division of the figure: rows of the tables, number of tables side by side, and sizes in inches.

    A row is a concept or, if there is more than one category, the category of the concepts that follow. ``upper`` and
    ``lower`` are the heights of the plots and of all tables; ``column`` is the width of a table's column.
    """

    rows: tuple[Concept | str, ...]
    num_columns: int
    width: float
    upper: float
    lower: float
    column: float


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of shares: name in the legend, positions on the x axis, and layers."""

    label: str
    places: Sequence[float]
    layers: Sequence[ComparedLayer]


def _page(comparison: Comparison, models: Sequence[Sequence[ComparedLayer]]) -> _Page:
    """Return the division that keeps the figure within its range of widths."""
    totals = comparison.counts.sum(0).tolist()
    rows = _rows([concept for concept in comparison.concepts if totals[concept.index]])
    length, beside = max(map(len, models)), _inches([_name(row) for row in rows]) + 0.3
    parts = [part for model in comparison.models for part in re.split(SEPARATOR, model)]
    table = max(COLUMN * length, _inches(parts) + LETTER) + GAP  # a title is broken only between its parts
    num_columns = min(len(models), max(1, int((MAX_WIDTH - beside) / table)))
    width = max(MIN_WIDTH, beside + num_columns * table)
    column = ((width - beside) / num_columns - GAP) / length
    below = _inches([layer.layer for layer in comparison.layers])
    titles = max(_wrap_text(model, _letters(column * length)).count("\n") for model in comparison.models)
    lower = ROW * len(rows) + (below if below > column else 0.2) + 0.6 + LINE * titles
    lower = lower * math.ceil(len(models) / num_columns) if rows else 0.4
    upper = 2.8 + max(below, _inches(comparison.models) if _have_same_layers(models) and len(models) > 2 else 0)
    return _Page(rows, num_columns, width, upper, lower, column)


def _rows(concepts: Sequence[Concept]) -> tuple[Concept | str, ...]:
    """Return the rows of a table."""
    kinds = categories(concepts)
    if len(kinds) < 2:
        return tuple(concepts)
    rows: list[Concept | str] = []
    for kind in kinds:
        rows += [kind, *(concept for concept in concepts if concept.category == kind)]
    return tuple(rows)


def _name(row: Concept | str) -> str:
    return row if isinstance(row, str) else row.name


def _have_same_layers(models: Sequence[Sequence[ComparedLayer]]) -> bool:
    """Return whether all models have the same layers."""
    return len({tuple(layer.layer for layer in layers) for layers in models}) == 1


def _draw_shares(
    part: SubFigure, labels: Sequence[str], models: Sequence[Sequence[ComparedLayer]], width: float
) -> None:
    """Draw the shares over the layers and, if all models have the same layers, over the models."""
    over_models = _have_same_layers(models) and len(models) > 2
    axes = part.subplots(1, 1 + over_models, sharey=True, squeeze=False)[0]
    width = (width - 0.8) / len(axes) - 1.8
    ticks, places = _places(models)
    lines = [_Line(*line) for line in zip(labels, places, models, strict=True)]
    _draw_lines(axes[0], lines, COLORS if len(models) <= len(COLORS) else _shades(len(models)))
    _name_ticks(axes[0], range(len(ticks)), ticks, width / len(ticks))
    axes[0].set(ylabel="interpretable units", ylim=(0, None))
    axes[0].yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    if over_models:
        numbers = range(len(models))
        lines = [_Line(name, numbers, [model[index] for model in models]) for index, name in enumerate(ticks)]
        _draw_lines(axes[1], lines, _shades(len(ticks)))
        _name_ticks(axes[1], numbers, labels, width / len(models))


def _places(models: Sequence[Sequence[ComparedLayer]]) -> tuple[list[str], list[list[float]]]:
    """Return the names on the x axis, at 0, 1, ..., and the positions of each model's layers."""
    longest = max(models, key=len)
    longest_layers = {layer.layer: (index, layer.grid) for index, layer in enumerate(longest)}
    fit = all(longest_layers.get(layer.layer, (0, None))[1] == layer.grid for layers in models for layer in layers)
    if fit or _have_same_layers(models):
        return list(longest_layers), [[longest_layers[layer.layer][0] for layer in layers] for layers in models]
    grids = sorted({layer.grid for layers in models for layer in layers})
    return [f"{height} x {width}" for height, width in grids], [_grid_positions(layers, grids) for layers in models]


def _grid_positions(layers: Sequence[ComparedLayer], grids: Sequence[tuple[int, int]]) -> list[float]:
    """Return positions of layers by grid size; layers of the same grid are spread over a width of 0.6."""
    counts, places = Counter(layer.grid for layer in layers), []
    met: Counter[tuple[int, int]] = Counter()
    for layer in layers:
        places.append(grids.index(layer.grid) + 0.6 * ((met[layer.grid] + 0.5) / counts[layer.grid] - 0.5))
        met[layer.grid] += 1
    return places


def _draw_lines(axis: Axes, lines: Sequence[_Line], colors: Sequence[str]) -> None:
    """Draw lines, each shifted a little so that no interval hides another."""
    handles = []
    for index, line in enumerate(lines):
        aside = 0.4 * ((index + 0.5) / len(lines) - 0.5)
        shares = [layer.share for layer in line.layers]
        reach = [[abs(layer.interval[end] - layer.share) for layer in line.layers] for end in (0, 1)]
        places = [place + aside for place in line.places]
        bars = axis.errorbar(places, shares, reach, color=colors[index], marker="o", markersize=3.5, linewidth=1.3)
        handles.append(bars)
    axis.grid(axis="y", color="#dddddd")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    labels = [_wrap_text(line.label, LONGEST) for line in lines]
    axis.legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _draw_tables(
    part: SubFigure, comparison: Comparison, models: Sequence[Sequence[ComparedLayer]], page: _Page
) -> None:
    """Draw a table of units by concept and layer for each model."""
    if not page.rows:
        part.text(0.5, 0.5, "no unit is interpretable", ha="center", va="center")
        return
    num_rows, length = math.ceil(len(models) / page.num_columns), max(map(len, models))
    axes = part.subplots(num_rows, page.num_columns, sharey=True, squeeze=False).flatten().tolist()
    most = int(comparison.counts.max())
    for label, layers, axis in zip(comparison.models, models, axes, strict=False):
        _draw_table(axis, layers, page.rows, most)
        axis.set_title(_wrap_text(label, _letters(page.column * length)), fontsize=9, loc="left")
        axis.set_xlim(0, length)
        places = [column + 0.5 for column in range(len(layers))]
        _name_ticks(axis, places, [layer.layer for layer in layers], page.column)
    for axis in axes[len(models) :]:
        axis.set_visible(False)


def _draw_table(axis: Axes, layers: Sequence[ComparedLayer], rows: Sequence[Concept | str], most: int) -> None:
    """Draw the units of one model, shaded by the square root of their number, so that small numbers remain visible."""
    for row, concept in enumerate(rows):
        if isinstance(concept, str):
            continue
        counts = [layer.units_by_concept[concept.index] for layer in layers]
        shades = [(count / most) ** 0.5 for count in counts]
        axis.pcolormesh(
            range(len(layers) + 1), [row, row + 1], [shades], cmap="Greys", vmin=-0.06, vmax=1.3, edgecolors="white"
        )
        for column, (count, shade) in enumerate(zip(counts, shades, strict=True)):
            if count:
                color = "white" if shade > 0.75 else "black"
                axis.text(column + 0.5, row + 0.5, str(count), color=color, ha="center", va="center", fontsize=8)
    _draw_swatches(axis, rows)


def _draw_swatches(axis: Axes, rows: Sequence[Concept | str]) -> None:
    """Write the names of a table's rows: concepts after a square of their color, categories in italics."""
    from matplotlib.transforms import ScaledTranslation

    beside = axis.get_yaxis_transform() + ScaledTranslation(-0.1, 0, axis.figure.dpi_scale_trans)
    for row, concept in enumerate(rows):
        if isinstance(concept, str):
            continue
        (square,) = axis.plot(0, row + 0.5, "s", color=concept.hex, markersize=7, transform=beside)
        square.set(markeredgecolor="#666666", clip_on=False)
    axis.set_yticks([row + 0.5 for row in range(len(rows))], [_shorten(_name(row)) for row in rows], fontsize=9)
    axis.tick_params(axis="y", pad=14)
    for name, tick in zip(rows, axis.yaxis.get_major_ticks(), strict=True):
        if isinstance(name, str):
            tick.label1.set(style="italic", color="#555555")
    axis.tick_params(length=0)
    axis.set_ylim(len(rows), 0)
    axis.spines[:].set_visible(False)


def _name_ticks(axis: Axes, places: Sequence[float], names: Sequence[str], room: float) -> None:
    """Write names below an axis, rotated if one is longer than its room, in inches."""
    is_upright = _inches(names) > room
    axis.set_xticks(places, [_shorten(name) for name in names], fontsize=9, rotation=90 if is_upright else 0)


def _inches(names: Sequence[str]) -> float:
    """Return the width of the longest name."""
    return LETTER * min(LONGEST, max(map(len, names), default=0))


def _letters(inches: float) -> int:
    """Return the number of letters that fit a width."""
    return round(inches / LETTER)


def _shades(count: int) -> list[str]:
    """Return colors from dark to light."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](0.9 * index / max(1, count - 1))) for index in range(count)]


def _title(comparison: Comparison) -> str:
    """Return what the figure shows and how it was measured."""
    provenance = comparison.provenance[0]
    best = f"Units whose best IoU with a concept of {provenance.segmenter} is at least {comparison.min_iou:g}"
    seeds = ", ".join(map(str, sorted({source.seed for source in comparison.provenance})))
    basis = f"and beyond chance; {provenance.num_samples:,} samples per model, seed {seeds}"
    return f"{_wrap_text(best, 90)}\n{basis}; bars are 95% Wilson intervals"


def _shorten(name: str) -> str:
    """Return a name, without its middle if it is too long."""
    half = LONGEST // 2
    return _wrap_text(name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}", LONGEST)


def _wrap_text(text: str, width: int) -> str:
    """Wrap text into lines of a width."""
    lines = textwrap.wrap(text, width, break_long_words=False)
    return "\n".join(part for line in lines for part in _cut(line, width))


def _cut(word: str, width: int) -> Iterator[str]:
    """Yield a word in parts that fit a width; a path is broken between its parts where possible."""
    while len(word) > width:
        ends = [match.end() for match in re.finditer(SEPARATOR, word[:width])]
        end = ends[-1] if ends else width
        yield word[:end]
        word = word[end:]
    yield word
