"""The words of figures are inside them and overlap nothing: titles, legends, names of axes and their ticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from gandissect import dissect
from gandissect.causal.results import CausalEffect, EffectCurves
from gandissect.fidelity.results import ConceptShares
from gandissect.report import draw_effect_curves, draw_effects, draw_shares
from gandissect.report.dissections import draw_dissection
from generators import PlantedGenerator
from segmenters import PaletteSegmenter

FILES = Path(__file__).parents[2] / "fixtures" / "before_rooms"


def _effects() -> list[CausalEffect]:
    effect = CausalEffect.load(FILES / "effect.safetensors")
    return [effect, replace(effect, generator=effect.generator)]


def _curves() -> list[EffectCurves]:
    curves = EffectCurves.load(FILES / "effect_curves.safetensors")
    many = {f"ranking {number}": table for number, table in enumerate(list(curves.taken.values()) * 2)}
    return [curves, replace(curves, taken=many)]


FIGURES = {
    "one effect": lambda: draw_effects(_effects()[:1]),
    "effects": lambda: draw_effects(_effects()),
    "effect curves": lambda: draw_effect_curves(_curves()),
    "shares": lambda: draw_shares(ConceptShares.load(FILES / "shares.safetensors")),
    "dissection": lambda: draw_dissection(_dissection()),
    "dissection of one layer": lambda: draw_dissection(_dissection(["layer2"])),
}


def _dissection(layers: list[str] | None = None) -> object:
    generator = PlantedGenerator(size=16, cells=8)
    return dissect(generator, PaletteSegmenter(generator.concepts), layers, num_samples=60, progress=False)


def _boxes(figure: Figure) -> Iterator[tuple[str, Bbox]]:
    """The extents of all words that are drawn; those of ticks beyond the ends of an axis are not."""
    for text in figure.findobj(Text):
        if not text.get_text() or not text.get_visible() or text.get_window_extent().width == 0:
            continue
        axis = next((axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if _is_tick(text, axis)), None)
        if axis is None or _is_drawn(text, axis):
            yield text.get_text(), text.get_window_extent()


def _is_tick(text: Text, axis: object) -> bool:
    return any(text in (tick.label1, tick.label2) for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()))


def _is_drawn(text: Text, axis: object) -> bool:
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()) if text is tick.label1]
    return bool(axis.axes.axison) and any(low <= tick.get_loc() <= high for tick in ticks)


@pytest.mark.parametrize("name", FIGURES)
def test_words_are_inside_the_figure_and_do_not_overlap(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    boxes = list(_boxes(figure))
    assert len(boxes) > 8
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
    for (one, box), (other, other_box) in combinations(boxes, 2):
        across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
        along = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
        assert across <= 1 or along <= 1, (one, other)


@pytest.mark.parametrize("name", ["effects", "effect curves"])
def test_a_legend_is_inside_its_axes_and_above_its_data(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    legends = figure.findobj(Legend)
    assert len(legends) == 2
    for legend in legends:
        box, axes = legend.get_window_extent(), legend.axes.bbox
        assert axes.x0 <= box.x0 and box.x1 <= axes.x1 + 1 and box.y1 <= axes.y1 + 1
        if name == "effect curves":
            lines = [line.get_ydata() for line in legend.axes.lines] + [
                segment[:, 1] for bars in legend.axes.collections for segment in getattr(bars, "get_segments", list)()
            ]
            highest = max(float(max(line)) for line in lines)
            assert legend.axes.transData.transform((0, highest))[1] <= box.y0 + 1
