"""Text of figures: every name is drawn as it is, whatever dollars and letters it has."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch
from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure

import generators
from gandissect import (
    UnitRanking,
    UnitSet,
    average_causal_effect,
    compare,
    dissect,
    draw_comparison,
    draw_effect_curves,
    draw_effects,
    draw_shares,
    measure_concept_shares,
    measure_effect_curves,
)
from gandissect.core import to_uint8
from gandissect.latent import find_directions, move
from gandissect.report import draw_directions, text
from segmenters.palette import PaletteSegmenter

NAMES = ("$\\frac$ price", "a $^_ b $ c", "one $", "\\$x$", "$$", "100 % {x} & <b>", "_under_score_$\\alpha$")


@pytest.fixture(autouse=True)
def _fresh_fonts() -> Iterator[None]:
    text._choose_fonts.cache_clear()
    yield
    text._choose_fonts.cache_clear()


@pytest.fixture(scope="module")
def networks() -> tuple:
    generator = generators.PlantedGenerator(size=16, cells=8)
    generator.name = "$G_$ \\omega $"
    concepts = [replace(concept, name=name) for concept, name in zip(generator.concepts, NAMES, strict=False)]
    return generator, PaletteSegmenter(concepts, name="$S^$ \\psi $"), [concept.name for concept in concepts]


def _read_words(figure: Figure) -> str:
    """The text of a figure, as a program that reads SVG finds it, formulas taken apart."""
    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    return "\n".join(
        "".join(node.itertext())
        for node in ElementTree.fromstring(file.getvalue()).iter()
        if node.tag.endswith("}text")
    )


class _Pictures:
    name, size = "real", 16

    def __init__(self, generator: generators.PlantedGenerator) -> None:
        self.images = to_uint8(generator(generator.sample_z(64, seed=9)))

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices, rng=None) -> SimpleNamespace:
        return SimpleNamespace(images=self.images[list(indices)])


def _draw_effects(generator, segmenter, names: list[str]) -> Figure:
    units = UnitSet("layer1", (0,))
    return draw_effects(
        [average_causal_effect(generator, segmenter, units, name, 8, progress=False) for name in names[:2]]
    )


def _draw_curves(generator, segmenter, names: list[str]) -> Figure:
    ranking = UnitRanking("layer1", names[1], "by hand", torch.arange(6, dtype=torch.float64), 8, 0)
    rankings = {"by $hand$ of $": ranking}
    return draw_effect_curves([measure_effect_curves(generator, segmenter, rankings, (1, 2), 8, progress=False)])


def _draw_shares(generator, segmenter, names: list[str]) -> Figure:
    return draw_shares(measure_concept_shares(generator, segmenter, _Pictures(generator), 20, progress=False))


def _draw_comparison(generator, segmenter, names: list[str]) -> Figure:
    return draw_comparison(compare([dissect(generator, segmenter, num_samples=40, progress=False)]))


def _draw_directions(generator, segmenter, names: list[str]) -> Figure:
    found = find_directions(
        generator, segmenter, "boundary", concepts=names[1:3], find_samples=60, num_samples=24, progress=False
    )
    directions = [one.direction for one in found]
    return draw_directions(directions, [move(generator, generator.sample_z(2), one, (-1, 1)) for one in directions])


DRAWINGS = (_draw_effects, _draw_curves, _draw_shares, _draw_comparison, _draw_directions)


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_dollars_make_no_formula(networks: tuple, draw: Callable[..., Figure]) -> None:
    generator, _, names = networks
    words = _read_words(draw(*networks)).replace("\n", "")
    for name in (names[1], generator.name):
        assert name.replace(" ", "") in words.replace(" ", ""), words


def test_letters_come_from_a_font_that_has_them(caplog: pytest.LogCaptureFixture) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_yticks([0, 1], ["\N{MATHEMATICAL MONOSPACE DIGIT FIVE} trees", "sky"])  # STIX, which comes with matplotlib
    assert "\N{MATHEMATICAL MONOSPACE DIGIT FIVE} trees" in _read_words(text.finish_text(figure))
    families = axes.get_yticklabels()[0].get_fontfamily()
    assert len(families) == 2 and families[0] == "sans-serif"
    assert 0x1D7FB in font_manager.get_font(font_manager.findfont(families[1])).get_charmap()
    assert not caplog.records


def test_bold_letters_come_from_a_font_that_has_them_in_bold() -> None:
    letter = "\N{MATHEMATICAL MONOSPACE DIGIT FIVE}"
    regular = {family for family, known in text._find_fonts(frozenset(letter), False) if known}
    bold = {family for family, known in text._find_fonts(frozenset(letter), True) if known}
    assert "STIXNonUnicode" not in bold <= regular
    figure = Figure()
    figure.text(0, 0, letter, weight="bold")
    text.finish_text(figure).canvas.draw()  # matplotlib's warning of a missing glyph would be an error here


def test_letters_that_no_font_has_are_boxes_and_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_find_fonts", lambda letters, bold: [])
    for _ in range(2):
        figure = Figure()
        axes = figure.add_subplot(title="\u6811 and $x$")
        axes.set_yticks([0, 1], ["\u6811", "sky"])
        axes.plot([0], [0], label="\u8857")
        axes.legend()
        axes.table([["\u6811"]])
        words = _read_words(text.finish_text(figure))  # matplotlib's own warning would be an error here
        assert "\u25a1 and $x$" in words and "\u6811" not in words and "\u8857" not in words
        assert [label.get_text() for label in axes.get_yticklabels()] == ["\u25a1", "sky"]
    (record,) = caplog.records
    assert "no installed font has \u6811\u8857, so figures show boxes" in record.getMessage()
