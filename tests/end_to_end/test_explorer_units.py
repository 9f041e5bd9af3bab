"""The page Units: all numbers and pictures follow the choices."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from explorer_visitor import AppTest, Open, number_with, read_pictures, read_texts, settle

import generators
from generators.architectures.planted import PLANTED

SMALL = ("--segmenter", "palette", "--num-samples", 40)


def table(page: AppTest) -> pd.DataFrame:
    return next(each.value for each in page.dataframe if "chance" in each.value)


@pytest.fixture
def page(visit_page: Open, planted: Path) -> AppTest:
    """Open the page at a picture with green and red."""
    opened = visit_page("units", "--generator", planted, *SMALL, layer="layer2", picture=str(number_with(0, 1)))
    settle(opened)
    return opened


def test_the_table_has_iou_interval_and_chance_and_then_the_effect_of_each_unit(page: AppTest) -> None:
    page.get("button_group")[0].set_value("selected in the table").run()
    frame = table(page)
    assert sorted(frame["unit"]) == [0, 1, 2, 3, 4, 5] and "effect" not in frame
    ends = frame["95%"].str.split(" to ", expand=True).astype(float)
    assert ((ends[0] <= frame["IoU"] + 1e-3) & (frame["IoU"] <= ends[1] + 1e-3)).all()
    assert (frame["chance"][frame["IoU"] == 1] < 0.3).all()
    settle(page.button(key="effects").click().run())
    frame = table(page).set_index("unit")
    assert frame.loc[4, "effect"] == 0 == frame.loc[5, "effect"], "nothing reads the twin, and one is dead"
    for unit in range(4):
        z = generators.PlantedGenerator().sample_z(24, 5)
        expected = 100 * float((z[:, 2 * unit] > 0).double().mean()) / 256
        assert frame.loc[unit, "effect"] == pytest.approx(expected), PLANTED[unit].name


def test_effects_are_cached_for_the_next_visit_but_not_for_other_networks(
    page: AppTest, visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.explorer.units import chooser

    settle(page.button(key="effects").click().run())
    first = table(page)
    monkeypatch.setattr(chooser, "measure_unit_effects", lambda *_, **__: pytest.fail("measured again"))
    again = settle(visit_page("units", "--generator", planted, *SMALL, layer="layer2"))
    pd.testing.assert_frame_equal(table(again), first)
    painting = settle(visit_page("paint", "--generator", planted, *SMALL, layer="layer2"))
    behind = next(each.value for each in painting.dataframe if "set to" in each.value)
    expected = first.set_index("unit").loc[behind["unit"], "effect"]
    assert len(behind) and behind["effect"].tolist() == expected.tolist(), "also behind the brush"
    generators.save(generators.PlantedGenerator(cells=32), planted.with_name("other.safetensors"))
    other = settle(visit_page("units", "--generator", planted.with_name("other.safetensors"), *SMALL, layer="layer2"))
    assert "effect" not in table(other) and other.button(key="effects")


def test_the_factor_of_units_ablates_leaves_and_boosts(page: AppTest) -> None:
    page.selectbox(key="concept").select("green").run()
    off = read_pictures(page)["The picture: 1 best unit for green switched off"]
    page.slider(key="factor").set_value(1.0).run()
    assert "A factor of 1 changes nothing" in read_texts(page)
    page.slider(key="factor").set_value(2.0).run()
    boosted = read_pictures(page)["The picture: 1 best unit for green at 2 x"]
    assert off != boosted and boosted != read_pictures(page)[f"Generated picture {number_with(0, 1)} of seed 1"]
    assert len(page.get("download_button")) == 1, "the recipe"


def test_units_can_be_set_individually(page: AppTest) -> None:
    page.selectbox(key="concept").select("red").run()
    assert "2 best units for red switched off" in read_texts(page), "unit 4 is the twin of unit 0"
    page.toggle(key="singly").set_value(True).run()
    page.slider(key="factor 0 layer2 0.0").set_value(1.0).run()
    assert "2 best units for red with individual factors" in read_texts(page)
    assert read_pictures(page)["The picture: 2 best units for red with individual factors"]
    shares = next(each.value for each in page.dataframe if "as generated" in each.value).set_index("concept")
    assert shares.loc["red", "± changed"] == 0, "unit 0 is back, and nothing reads its twin"


def test_the_top_pictures_of_a_unit_have_its_concept_and_a_click_picks_one(page: AppTest) -> None:
    page.selectbox(key="concept").select("blue").run()
    shown = [int(each.key.split()[1]) for each in page.button if (each.key or "").startswith("best ")]
    z = generators.PlantedGenerator().sample_z(256, seed=1)
    assert len(shown) == 8 and all(z[number, 4] > 0 for number in shown)
    assert sum("unit 2 is on outlined" in alt for alt in read_pictures(page)) == 8
    page.button(key=f"best {shown[3]}").click().run()
    assert page.number_input(key="picture").value == shown[3]


def test_a_cell_shows_the_units_that_are_on_there(page: AppTest) -> None:
    z = generators.PlantedGenerator().sample_z(1, 1, number_with(0, 1))[0]
    column = int(64 * (int(16 * 0.5 * (1 + float((z[1] / 2**0.5).erf()))) + 0.5) / 16)
    key = "layer2 (64, 64)"
    page.number_input(key=f"row {key}").set_value(2)
    page.number_input(key=f"column {key}").set_value(column).run()
    assert f"2 of 6 units on in row 2, column {column}" in read_texts(page).replace("**", "")
    on = next(each.value for each in page.dataframe if "activation" in each.value)
    assert sorted(on["unit"]) == [0, 4] and on["concept"].tolist() == ["red", "red"]
    page.number_input(key=f"row {key}").set_value(63).run()
    assert "No unit is on here" in read_texts(page)


def test_a_long_measurement_can_be_canceled(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from apps.explorer.background.tasks import advance
    from apps.explorer.units import chooser

    gate = threading.Event()
    monkeypatch.setattr(chooser, "measure_unit_effects", lambda *a, **k: (gate.wait(30), advance(1)))
    page.button(key="effects").click().run()
    assert len(page.get("progress")) == 1
    next(each for each in page.button if each.label == "Cancel").click().run()
    gate.set()
    assert not page.get("progress") and page.button(key="effects"), "it is offered again"


def test_an_error_in_the_background_is_reported_on_the_page(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.explorer.units import chooser

    def fails(*a: object, **k: object) -> None:
        raise ValueError("the segmenter ran <b>out</b> of paint")

    monkeypatch.setattr(chooser, "measure_unit_effects", fails)
    settle(page.button(key="effects").click().run())
    assert "ran <b>out</b> of paint" in read_texts(page) and "\\<b\\>" in page.error[0].value, "as plain text"


@pytest.mark.parametrize("name", ["dcgan-scenes64"])
def test_a_bundled_model_works(visit_page: Open, name: str) -> None:
    page = visit_page("units", "--num-samples", 12, "--segmenter", "palette", generator=name, layer="layer4")
    settle(page)
    page.get("button_group")[0].set_value("selected in the table").run()
    assert len(table(page)) == 48 and "switched off" in read_texts(page)
    assert sum("outlined" in alt for alt in read_pictures(page)) == 8


def test_rows_of_the_table_choose_the_units(page: AppTest, planted: Path) -> None:
    page.get("button_group")[0].set_value("selected in the table").run()
    assert table(page)["IoU"].is_monotonic_decreasing and "1 selected unit switched off" in read_texts(page)
    key = f"rows {generators.load(planted).fingerprint} layer2"
    row = table(page)["unit"].tolist().index(1)
    page.session_state[key] = {"selection": {"rows": [row], "columns": []}}
    page.run()
    assert "1 selected unit switched off" in read_texts(page)
    shares = next(each.value for each in page.dataframe if "as generated" in each.value).set_index("concept")
    assert shares.loc["green", "off"] == 0 < shares.loc["green", "as generated"]
    page.session_state[key] = {"selection": {"rows": [], "columns": []}}
    page.run()
    assert "switched off" not in "".join(read_pictures(page)) and "Select rows to switch their units off" in read_texts(
        page
    )
