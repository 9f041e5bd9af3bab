"""The page Paint: strokes on planted units with known effects."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import generators
import segmenters
from apps.explorer.painting import fragments
from apps.explorer.painting.strokes import MAX_STROKES
from apps.explorer.visit import parse_settings
from apps.explorer.warm_up import warm_up
from gandissect import Ablation, Insertion, Recipe, UnitSet

pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install '.[app]'")
from explorer_visitor import Open, read_texts, settle
from streamlit.errors import StreamlitAPIException
from streamlit.testing.v1 import AppTest

GRID = generators.PlantedGenerator().layers["layer2"]
EVERYWHERE = list(range(GRID.height * GRID.width))


@pytest.fixture
def page(visit_page: Open, planted: Path) -> AppTest:
    """Open the page on the planted generator, at a picture without green."""
    z = generators.PlantedGenerator().sample_z(200, seed=1)
    number = next(index for index, row in enumerate(z) if row[0] > 0 and row[2] <= 0)
    opened = visit_page(
        "paint",
        "--generator",
        planted,
        "--segmenter",
        "palette",
        "--num-samples",
        40,
        layer="layer2",
        picture=str(number),
    )
    return settle(opened)


def choose(page: AppTest, concept: str, action: str) -> None:
    groups = {group.label: group for group in page.get("button_group")}
    groups["Concept"].set_value(concept).run()
    groups = {group.label: group for group in page.get("button_group")}
    groups["Action"].set_value(action).run()
    if action == "draw":
        page.select_slider(key="level").set_value(1.0).run()  # they are on so rarely that the 99% quantile is 0
    assert not page.exception


def scope(page: AppTest) -> str:
    """Return the scope that the easel was drawn with."""
    (networks,) = page.session_state["brush"]
    return f"{networks} {page.number_input(key='seed').value} {page.number_input(key='picture').value}"


def paint(page: AppTest, cells: object, stroke: str = "") -> None:
    """Send the page a stroke, as the easel would."""
    paint.count = getattr(paint, "count", 0) + 1
    page.session_state["easel"] = {
        "strokes": [{"id": stroke or f"stroke {paint.count}", "scope": scope(page), "cells": cells}]
    }
    page.run()
    assert not page.exception


def shares(page: AppTest, column: str = "after") -> dict[str, float]:
    frame = next(each.value for each in page.dataframe if "before" in each.value)
    return {row["concept"]: row.get(column, row["before"]) for row in frame.to_dict("records")}


def click(page: AppTest, prefix: str, place: int = 0) -> None:
    buttons = [each for each in page.button if each.key.startswith(prefix) and each.key[len(prefix) :].isdigit()]
    buttons[place].click().run()
    assert not page.exception


def listed(page: AppTest) -> list[str]:
    return [each.value.split("  \n")[0] for each in page.markdown if ":small[" in each.value]


def test_a_stroke_draws_a_concept_and_undo_reverts_it(page: AppTest) -> None:
    untouched = shares(page)
    assert "green" not in untouched and page.button(key="undo").disabled
    choose(page, "green", "draw")
    paint(page, EVERYWHERE)
    drawn = shares(page)
    assert drawn["green"] > 90, "everywhere"
    assert listed(page) == ["1 · draw green"] and "inside the strokes" in read_texts(page)
    page.button(key="undo").click().run()
    assert shares(page) == untouched and not listed(page) and page.button(key="undo").disabled
    page.button(key="redo").click().run()
    assert shares(page) == drawn and page.button(key="redo").disabled
    page.button(key="clear").click().run()
    assert shares(page) == untouched
    page.button(key="undo").click().run()
    assert shares(page) == drawn, "clearing can be undone"


def test_a_stroke_removes_a_concept_inside_its_region_only(page: AppTest) -> None:
    before = shares(page)["red"]
    choose(page, "red", "remove")
    paint(page, [0])
    inside = shares(page).get("red", 0)
    paint(page, EVERYWHERE)
    assert before > 0 and inside in (0, before) and shares(page)["red"] == 0
    assert len(listed(page)) == 2


def test_strokes_act_in_their_order_and_can_be_switched_off_and_deleted(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, EVERYWHERE)
    choose(page, "green", "remove")
    paint(page, EVERYWHERE)
    assert shares(page).get("green", 0) == 0
    click(page, "up", 1)
    assert listed(page) == ["1 · remove green", "2 · draw green"] and shares(page)["green"] > 0
    click(page, "switch", 1)
    assert shares(page).get("green", 0) == 0 and listed(page)[1] == "2 · ~~draw green~~"
    click(page, "switch", 1)
    assert shares(page)["green"] > 0
    click(page, "delete", 1)
    assert listed(page) == ["1 · remove green"] and shares(page).get("green", 0) == 0
    for _ in range(4):
        page.button(key="undo").click().run()
    assert listed(page) == ["1 · draw green", "2 · remove green"]


def test_the_strength_of_a_stroke_is_a_quantile_of_its_units(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, EVERYWHERE)
    slider = next(each for each in page.select_slider if each.label == "Strength of this stroke")
    slider.set_value(0.0).run()
    assert shares(page).get("green", 0) == 0, "0 is off"
    slider = next(each for each in page.select_slider if each.label == "Strength of this stroke")
    slider.set_value(1.0).run()
    assert shares(page)["green"] > 0


def test_random_units_in_the_same_region_have_no_effect(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, EVERYWHERE)
    page.toggle(key="control").set_value(True).run()
    assert not page.exception
    assert shares(page, "after")["green"] > 0 and shares(page, "random")["green"] == 0


def test_a_region_can_be_painted_by_rows_and_columns(page: AppTest) -> None:
    choose(page, "green", "draw")
    rows = next(each for each in page.slider if each.label == "Rows")
    rows.set_range(1, GRID.height).run()
    page.button(key="paint region").click().run()
    assert not page.exception and shares(page)["green"] > 0 and f"{len(EVERYWHERE)} cells" in read_texts(page)


@pytest.mark.parametrize(
    "cells", [[], [len(EVERYWHERE)], [-1], ["0"], [True], [[1]], "everywhere", None, 5, [0] * 10**5 + [10**6]]
)
def test_invalid_strokes_are_refused_and_change_nothing(page: AppTest, cells: object) -> None:
    before = shares(page)
    choose(page, "green", "draw")
    paint(page, cells)
    assert shares(page) == before and not listed(page)
    assert bool(page.error) == isinstance(cells, list)


def test_a_stroke_counts_once_whatever_else_is_clicked(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, [3], "one")
    page.run()
    page.toggle(key="control").set_value(True).run()
    assert len(listed(page)) == 1


def test_simultaneous_strokes_are_accepted_in_order_and_those_of_another_picture_are_not(page: AppTest) -> None:
    choose(page, "green", "draw")
    here = scope(page)
    first, second, lost = (
        {"id": name, "scope": where, "cells": [cell]}
        for name, where, cell in (("a", here, 1), ("b", here, 2), ("c", f"{here}0", 3))
    )
    for strokes in ([first], [first, second], [second, lost], [lost]):
        page.session_state["easel"] = {"strokes": strokes}
        page.run()
        assert not page.exception and not page.error
    assert len(listed(page)) == 2


def test_a_stroke_that_arrives_with_another_picture_is_not_lost(page: AppTest) -> None:
    choose(page, "green", "draw")
    number = page.number_input(key="picture").value
    page.session_state["easel"] = {"strokes": [{"id": "a", "scope": scope(page), "cells": [1], "unsure": True}]}
    page.number_input(key="picture").set_value(number + 1).run()
    assert not page.exception and not listed(page)
    page.number_input(key="picture").set_value(number).run()
    assert listed(page) == ["1 · draw green"]


def test_too_many_strokes_are_refused(page: AppTest) -> None:
    choose(page, "green", "draw")
    strokes = [{"id": str(index), "scope": scope(page), "cells": [0]} for index in range(MAX_STROKES)]
    page.session_state["easel"] = {"strokes": strokes}
    page.run()
    assert len(listed(page)) == MAX_STROKES and not page.error
    paint(page, [1])
    assert "at most 64 strokes" in read_texts(page) and len(listed(page)) == MAX_STROKES
    page.button(key="paint region").click().run()
    assert not page.exception and "at most 64 strokes" in read_texts(page)


@pytest.mark.parametrize(("unsure", "name"), [(False, "draw green"), (True, "draw red")])
def test_a_stroke_that_arrives_with_another_brush_keeps_the_brush_it_was_painted_with(
    page: AppTest, unsure: bool, name: str
) -> None:
    choose(page, "green", "draw")
    stroke = {"id": "a", "scope": scope(page), "cells": [1], "unsure": unsure}  # unsure: the brush was touched before
    page.session_state["easel"] = {"strokes": [stroke]}
    next(group for group in page.get("button_group") if group.label == "Concept").set_value("red").run()
    assert not page.exception and listed(page) == [f"1 · {name}"]


def test_an_undo_that_arrives_with_a_stroke_undoes_it(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, [1])
    choose(page, "red", "draw")
    page.session_state["easel"] = {"strokes": [{"id": "last", "scope": scope(page), "cells": [1, 2]}]}
    page.button(key="undo").click().run()
    assert not page.exception and listed(page) == ["1 · draw green"]
    page.button(key="redo").click().run()
    assert listed(page) == ["1 · draw green", "2 · draw red"]


def test_another_layer_that_arrives_with_an_undo_is_shown(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, [1])
    page.selectbox(key="layer").set_value("layer1")
    page.button(key="undo").click().run()
    assert not page.exception and not listed(page)
    layer = generators.PlantedGenerator().layers["layer1"]
    assert f"{layer.units} units on a grid of {layer.height} x {layer.width}" in read_texts(page)


def test_a_stroke_undone_and_moved_simultaneously_is_gone_and_can_be_redone(page: AppTest) -> None:
    choose(page, "green", "draw")
    for cell in (1, 2):
        paint(page, [cell])
    for key in ("undo", "up2"):
        page.button(key=key).click()
    page.run()
    assert not page.exception and len(listed(page)) == 1
    page.button(key="redo").click().run()
    assert len(listed(page)) == 2, "a change without effect is not recorded"


def test_fragments_of_a_page_that_was_left_are_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gone(parts: list[str]) -> None:
        asked.append(parts)
        raise StreamlitAPIException(f"No fragment found for target {parts}")

    run = SimpleNamespace(fragment_ids_this_run=["one that was left"])
    monkeypatch.setattr(fragments, "get_script_run_ctx", lambda: run)
    monkeypatch.setattr(fragments.st, "rerun", gone)
    fragments.redraw_rest()
    assert asked == [fragments.REST]


def test_each_picture_has_its_own_strokes(page: AppTest) -> None:
    choose(page, "green", "draw")
    paint(page, EVERYWHERE)
    number = page.number_input(key="picture").value
    page.number_input(key="picture").set_value(number + 1).run()
    assert not listed(page)
    page.number_input(key="picture").set_value(number).run()
    assert listed(page) == ["1 · draw green"]


def test_a_recipe_opens_with_its_picture_and_a_bad_one_is_refused_with_a_reason(
    page: AppTest,
    planted: Path,
) -> None:
    generator = generators.load(planted)
    z = generator.sample_z(200, seed=1)
    number = next(index for index, row in enumerate(z) if row[2] > 0)
    region = torch.ones(GRID.height, GRID.width)
    good = Recipe.of(generator, [Ablation(UnitSet("layer1", (1,)), region)], seed=1, start=number, num_samples=1)
    page.file_uploader(key="recipe").upload("good.json", good.to_json().encode(), "application/json").run()
    assert not page.exception and not page.error
    assert page.number_input(key="picture").value == number and listed(page) == ["1 · ablation"]
    assert shares(page, "before")["green"] > 0 and shares(page)["green"] == 0
    entries = json.loads(good.to_json())
    bad = {
        "the recipe belongs to": replace(good, generator=replace(good.generator, fingerprint="0" * 64)).to_json(),
        "its format must be": "{}",
        "has units 0 to 5": replace(good, edits=(Insertion(UnitSet("layer1", (6,)), 1.0),)).to_json(),
        "layer7": replace(good, edits=(Ablation(UnitSet("layer7", (1,))),)).to_json(),
        "must have at most 4194304 values": json.dumps(
            entries | {"edits": [entries["edits"][0] | {"region": {"shape": [2**13, 2**12], "data": ""}}]}
        ),
    }
    for reason, text in bad.items():
        page.file_uploader(key="recipe").upload("bad.json", text.encode(), "application/json").run()
        assert not page.exception and reason in read_texts(page), reason
        assert listed(page) == ["1 · ablation"], "the previous strokes are kept"


def test_a_layer_without_matching_units_is_reported(visit_page: Open, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "noise.safetensors"
    generators.save(generators.DCGAN(size=64, width=8, z_dim=8), path)
    page = visit_page("paint", "--generator", path, "--segmenter", "palette", "--num-samples", 4, layer="layer1")
    settle(page)
    assert "choose another layer" in read_texts(page) or page.get("button_group")


def test_the_first_page_loads_nothing_beyond_the_warm_up(
    visit_page: Open,
    planted: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["--generator", str(planted), "--segmenter", "palette", "--num-samples", "40"]
    monkeypatch.setattr(sys, "argv", ["explore", *arguments])
    warm_up(parse_settings())
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    with monkeypatch.context() as patch:
        patch.setattr(generators, "load", None)
        patch.setattr(segmenters, "load", None)
        page = visit_page("paint", *arguments)
    assert not page.error and page.get("bidi_component")
