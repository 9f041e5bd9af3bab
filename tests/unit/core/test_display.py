"""Results show themselves in one line of text, in HTML that is safe, and as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from public_functions import CALLS, QUIET, make_networks, plain_result

import gandissect
import generators
import segmenters
from gandissect import Concept, UnitSet, artifacts, causal, dissection, fidelity, interventions, latent, stats
from gandissect.core.display import Displayed, Tabular
from gandissect.core.rich import draw_records, draw_table

NO_RESULTS = {"AreaMoments", "BinScale", "Brackets"}
"""Public dataclasses with tensors that no public function returns."""

TAGS = {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "img"}
NAUGHTY = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'&lt;b&gt;")


def _walk(value: Any) -> Iterator[Any]:
    """Yield a value's dataclasses, however deep."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            yield from _walk(part)
    elif is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from _walk(getattr(value, field.name))


def _find_results() -> dict[str, Any]:
    """Return one result of each class that a public function returns."""
    return {type(result).__name__: result for name in CALLS for result in _walk(plain_result(name))}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    edits = (
        gandissect.Ablation(UnitSet("layer1", tuple(range(500)))),
        gandissect.Scaling(UnitSet("layer1", (1,)), 2.0),
    )
    network = make_networks().plain
    recipe = gandissect.Recipe.of(network, edits)
    return _find_results() | {type(result).__name__: result for result in _walk(recipe)}


class _Reader(HTMLParser):
    """Collects tags, their attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_result_has_a_short_repr(results: dict[str, Any]) -> None:
    for name, result in results.items():
        text = repr(result)
        assert text.startswith(f"{name}("), text
        assert len(text) < 200, text
        assert "\n" not in text and "tensor(" not in text and " object at 0x" not in text, text


def test_what_is_made_once_and_used_often_has_a_short_repr() -> None:
    networks = make_networks()
    walk = latent.Walk(networks.plain, networks.plain.sample_z(3), closed=True)
    assert repr(walk) == "Walk(dcgan, 3 keyframes, closed)"
    assert repr(networks.yardstick) == "Yardstick('colors', 4 dims, 40 training and 30 held-out pictures)"
    for card in map(generators.card, generators.names()):
        assert repr(card).startswith(f"Card({card.name}: ")
        assert len(repr(card)) < 200
    evaluation = segmenters.Evaluation(("sky", "tree"), torch.tensor([[3, 1, 0], [0, 4, 0]]), 2, "scenes")
    assert repr(evaluation) == "Evaluation(scenes: mIoU 0.775 over 2 concepts, n=2)"
    assert [record["iou"] for record in evaluation.records()] == [3 / 4, 4 / 5]


def test_no_public_result_class_was_forgotten(results: dict[str, Any]) -> None:
    rooms = (gandissect, artifacts, causal, dissection, fidelity, interventions, latent, stats)
    public = [getattr(room, name) for room in rooms for name in room.__all__]
    classes = {kind for kind in public if isinstance(kind, type) and is_dataclass(kind)}
    shown = {kind for kind in classes if issubclass(kind, Displayed) or kind.__name__ in results}
    with_tensors = {kind.__name__ for kind in classes - shown if any("Tensor" in str(f.type) for f in fields(kind))}
    assert not with_tensors - NO_RESULTS


def test_pages_hold_harmless_tags_only_and_load_nothing(results: dict[str, Any]) -> None:
    shown = [result for result in results.values() if isinstance(result, Displayed)]
    assert len(shown) > 20
    for result in shown:
        page = _Reader(result._repr_html_())
        assert set(page.tags) <= TAGS, type(result)
        assert {name for name, _ in page.attributes} <= {"style", "alt", "title", "src"}
        assert all(str(value).startswith("data:image/") for name, value in page.attributes if name == "src")
        assert repr(result) in page.text


def test_pictures_are_shown_where_a_result_has_some(results: dict[str, Any]) -> None:
    for name, count in {"Dissection": 4, "Inversion": 4, "DirectionSweep": 4}.items():
        assert _Reader(results[name]._repr_html_()).tags.count("img") >= count, name


@pytest.mark.parametrize("name", NAUGHTY)
def test_names_are_escaped(name: str) -> None:
    networks = make_networks()
    red, *others = networks.segmenter.concepts
    networks.segmenter.concepts = (Concept(0, name, red.color), *others)
    networks.segmenter.name = name
    network, segmenter = networks.pair
    dissected = gandissect.dissect(network, segmenter, ["layer1"], num_samples=8, quantile=0.1, **QUIET)
    effect = gandissect.average_causal_effect(network, segmenter, UnitSet("layer1", (0,)), name, 8, **QUIET)
    effects = gandissect.measure_unit_effects(network, segmenter, "layer1", 8, **QUIET)
    compared = gandissect.compare([dissected], labels=[name])
    for result in (dissected, dissected["layer1"], effect, effects, compared):
        page = _Reader(result._repr_html_())
        assert set(page.tags) <= TAGS
        assert {attribute for attribute, _ in page.attributes} <= {"style", "alt", "title", "src"}
    assert name in _Reader(effect._repr_html_()).text


def test_records_become_a_table_with_errors_and_intervals() -> None:
    records = [
        {"concept": "a<b", "ace": 0.0123456, "ace_stderr": 0.001, "x": -1.5, "x_low": -2.0, "x_high": -1.0}
        | {"control_min": 0.0, "control_max": 0.5, "n": 1200, "none": None, "parts": [1.0, 2.0]}
    ] * 3
    page = _Reader(draw_records(records, max_rows=2))
    assert page.tags.count("tr") == 3
    assert page.tags.count("th") == 7
    for text in (
        "a<b",
        "ACE ± SE",
        "SE: standard error",
        "0.0123 ± 0.0010",
        "\N{MINUS SIGN}1.5 (\N{MINUS SIGN}2.0 to \N{MINUS SIGN}1.0)",
        "0 to 0.5",
        "1,200",
        "\N{EN DASH}",
        "1, 2",
        "1 more rows",
    ):
        assert text in page.text, text


def test_a_table_without_rows_is_one_too() -> None:
    assert _Reader(draw_table(("a",), [])).tags.count("th") == 1
    assert "no records" in draw_records([])


def test_tables_become_data_frames(results: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas", reason="comes with Streamlit")
    tables = [result for result in results.values() if isinstance(result, Tabular)]
    assert len(tables) > 10
    for result in tables:
        frame = result.to_pandas()
        assert isinstance(frame, pandas.DataFrame)
        records = result.records()
        assert list(frame.columns) == list(records[0])
        assert len(frame) == len(records)
        assert str(frame.iloc[-1, 0]) == str(next(iter(records[-1].values())))


def test_without_pandas_the_error_names_it(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas; install it, or use records\(\)"):
        results["CausalEffect"].to_pandas()


def test_a_long_set_of_units_is_cut_and_a_short_one_is_code() -> None:
    short = UnitSet("layer4", (3, 1))
    assert eval(repr(short), {"UnitSet": UnitSet}) == short
    assert (
        repr(UnitSet("layer4", tuple(range(500)))) == "UnitSet(layer='layer4', 500 units: 0, 1, 2, 3, 4, 5, 6, 7, ...)"
    )
