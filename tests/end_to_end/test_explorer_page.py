"""The app as a whole on planted units with known effects: pages, URL, errors, and the server."""

from __future__ import annotations

import ast
import threading
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install '.[app]'")
import streamlit as st
from browser import serving
from explorer_visitor import AppTest, Open, number_with, settle, turn_to

import generators
import segmenters
from apps.commands.explore import PAGE
from apps.explorer.background import dissector
from gandissect import dissect

SMALL = ("--segmenter", "palette", "--num-samples", 40)


def headings(page: AppTest) -> list[str]:
    return [each.value.removeprefix("#### ") for each in page.markdown]


def shares(page: AppTest) -> dict[str, dict[str, float]]:
    """Return the share table by concept."""
    frame = next(each.value for each in page.dataframe if "as generated" in each.value)
    return {row["concept"]: row for row in frame.to_dict("records")}


def test_the_first_picture_does_not_wait_for_the_dissection(
    visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(dissector, "dissect", lambda *a, **k: gate.wait(60) and dissect(*a, **k))
    page = visit_page("units", "--generator", planted, *SMALL)
    assert "Picture 0 as generated" in headings(page) and "switched off" not in " ".join(headings(page))
    assert len(page.get("progress")) == 1 and shares(page)["black"]["as generated"] > 90
    page.number_input(key="picture").set_value(5).run()
    assert "Picture 5 as generated" in headings(page), "the page is usable meanwhile"
    gate.set()
    assert "switched off" in " ".join(headings(settle(page)))


def test_units_of_a_concept_remove_it_and_random_ones_do_not(visit_page: Open, planted: Path) -> None:
    number = number_with(0, 1)
    page = visit_page("units", "--generator", planted, *SMALL, picture=str(number), layer="layer2")
    settle(page)
    assert page.number_input(key="picture").value == number and page.selectbox(key="layer").value == "layer2"
    page.selectbox(key="concept").select("green").run()
    assert "1 best unit for green switched off" in headings(page)
    assert shares(page)["green"]["as generated"] == pytest.approx(100 / 256, abs=0.06)
    assert shares(page)["green"]["off"] == 0 and shares(page)["red"]["± off"] == 0
    page.selectbox(key="concept").select("red").run()
    assert "2 best units for red switched off" in headings(page), "unit 4 is the twin of unit 0"
    page.slider[0].set_value(1).run()
    assert "1 best unit for red switched off" in headings(page) and shares(page)["red"]["off"] == 0
    page.toggle(key="control").set_value(True).run()
    assert "1 random unit of layer2 switched off" in headings(page)
    assert shares(page)["red"]["± random off"] == 0


def test_the_url_sets_the_picture_and_all_pages_share_it(visit_page: Open, planted: Path) -> None:
    page = visit_page("units", "--generator", planted, *SMALL, picture="9", seed="4")
    assert page.number_input(key="picture").value == 9 and page.number_input(key="seed").value == 4
    page.number_input(key="picture").set_value(16).run()
    page.selectbox(key="layer").set_value("layer1").run()
    for name in ("paint", "latent", "units"):
        turn_to(page, name)
        assert page.number_input(key="picture").value == 16 and page.selectbox(key="layer").value == "layer1"
        assert page.number_input(key="seed").value == 4
    settle(page)


@pytest.mark.parametrize("name", ["paint", "units", "compare"])
def test_a_failed_dissection_is_reported_and_can_be_retried(
    visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("out of <memory>" + "!" * 700_000)

    monkeypatch.setattr(dissector, "dissect", fails)
    page = settle(visit_page(name, "--generator", planted, *SMALL))
    errors = [each.value for each in page.error]
    assert errors and all("Dissecting" in each and "out of \\<memory\\>" in each for each in errors)
    assert all(len(each) < 2_000 for each in errors) and "more characters" in errors[0]
    monkeypatch.setattr(dissector, "dissect", dissect)
    while again := [each for each in page.button if each.label == "Try again"]:
        settle(again[0].click().run())
    assert not page.error


NAMES = ("paint", "units", "artifacts", "latent", "compare")
LARGEST = 10**9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("said", "seed", "picture"),
    [
        ({"picture": str(LARGEST), "seed": str(LARGEST)}, LARGEST, LARGEST),
        ({"picture": str(LARGEST - 1)}, 1, LARGEST - 1),
        ({"picture": str(LARGEST + 1), "seed": "-1"}, 1, 0),
        ({"picture": "9" * 4_000, "seed": "1e400"}, 1, 0),
        ({"picture": "abc", "seed": "nan"}, 1, 0),
        ({"layer": "unknown", "generator": "unknown", "segmenter": "unknown", "part": "<b>", "concept": "x"}, 1, 0),
    ],
)
def test_largest_and_invalid_values_in_the_url(
    visit_page: Open, planted: Path, name: str, said: dict[str, str], seed: int, picture: int
) -> None:
    page = visit_page(name, "--generator", planted, *SMALL, "--data", "scenes:100", **said)
    assert not page.error and (page.session_state["seed"], page.session_state["picture"]) == (seed, picture)
    assert page.selectbox(key="layer").value == "layer2" and page.selectbox(key="generator").value == str(planted)
    assert [each.value for each in page.toast if "Unknown generator unknown" in each.value] or "generator" not in said


def test_the_script_has_no_stray_expressions() -> None:
    """Streamlit shows the value of any bare expression in the script, including the docstring of a variable."""
    alone = [each.value for each in ast.parse(PAGE.read_text()).body[1:] if isinstance(each, ast.Expr)]
    assert [ast.unparse(each) for each in alone] == ["draw_shell()"]


def test_another_generator_has_its_own_layers_segmenter_and_units(
    visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = planted.with_name("wide.safetensors")
    generators.save(generators.DCGAN(size=64, width=8, z_dim=8), wide)
    monkeypatch.setattr(generators, "names", lambda: (str(wide),))
    page = visit_page("units", "--generator", planted, "--segmenter", "palette", "--num-samples", 20, layer="layer1")
    settle(page)
    page.selectbox(key="generator").set_value(str(wide)).run()
    settle(page)
    assert page.selectbox(key="layer").options == list(generators.load(wide).layers)
    assert page.selectbox(key="segmenter").options[-1] == "palette"
    page.selectbox(key="layer").set_value("layer4").run()
    settle(page)
    page.selectbox(key="generator").set_value(str(planted)).run()
    assert page.selectbox(key="layer").value in ("layer1", "layer2") and not page.exception
    settle(page)


def test_a_saved_dissection_is_used_immediately_and_a_foreign_one_is_not(visit_page: Open, planted: Path) -> None:
    folder = planted.parent / "run"
    dissect(generators.load(planted), segmenters.load("palette"), None, 50, progress=False).save(folder)
    page = visit_page("units", "--generator", planted, "--segmenter", "palette", "--dissection", folder)
    assert not page.get("progress") and any("IoU measured on 50 pictures" in each.value for each in page.caption)
    generators.save(generators.PlantedGenerator(cells=32), planted, overwrite=True)
    st.cache_resource.clear()
    page = visit_page(
        "units", "--generator", planted, "--segmenter", "palette", "--dissection", folder, "--num-samples", 20
    )
    assert "belongs to other networks" in page.info[0].value
    settle(page)


@pytest.mark.parametrize("damage", ["missing", "truncated", "no model"])
def test_an_unreadable_model_is_reported_on_the_page(
    visit_page: Open, planted: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators, "names", lambda: ())
    if damage == "missing":
        planted.unlink()
    if damage == "truncated":
        planted.write_bytes(planted.read_bytes()[:-5])
    page = visit_page("units", *(() if damage == "no model" else ("--generator", planted)))
    assert len(page.error) == 1
    assert ("gandissect explore" if damage == "no model" else "planted") in page.error[0].value.replace("\\", "")


def test_the_server_responds(planted: Path) -> None:
    with serving(generator=str(planted), segmenter="palette") as address:
        assert urllib.request.urlopen(address, timeout=5).status == 200
