"""The page Compare: the closed form of planted units on both sides, and refused comparisons."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from explorer_visitor import AppTest, Open, read_pictures, read_texts, settle

import generators
import segmenters
from apps.explorer.display import tables
from gandissect import Concept, dissect
from gandissect.dissection.comparison import ComparedLayer

SMALL = ("--segmenter", "palette", "--num-samples", 40)


def counts(page: AppTest) -> pd.DataFrame:
    return next(each.value for each in page.dataframe if "concept" in each.value).set_index("concept")


def other_layer(page: AppTest):
    return next(each for each in page.selectbox if each.label == "Layer" and each.key.startswith("other layer"))


def test_the_units_of_each_concept_are_counted_on_both_sides(visit_page: Open, planted: Path) -> None:
    page = settle(visit_page("compare", "--generator", planted, *SMALL, layer="layer2"))
    assert other_layer(page).value == "layer1", "the other layer by default"
    other_layer(page).set_value("layer2").run()
    assert "Both sides are the same" in read_texts(page)
    frame = counts(page)
    assert frame.iloc[:, 0].to_dict() == {"red": 2, "green": 1, "blue": 1, "yellow": 1}, "red has a twin"
    assert (frame.iloc[:, 0] == frame.iloc[:, 1]).all()
    shown = [each.value for each in page.metric]
    assert shown == ["83%", "83%"] and "5 of 6 units" in read_texts(page)


def test_a_higher_minimum_leaves_fewer_units(visit_page: Open, planted: Path) -> None:
    page = settle(visit_page("compare", "--generator", planted, *SMALL, layer="layer2"))
    before = counts(page).iloc[:, 1].sum()
    page.slider(key="least").set_value(0.3).run()
    coarse = counts(page).iloc[:, 1].sum()
    assert counts(page).iloc[:, 0].sum() == 5 and coarse <= before, "IoU of layer2 is 1"


def test_another_generator_is_dissected_too(visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = planted.with_name("wide.safetensors")
    generators.save(generators.PlantedGenerator(cells=32), wide)
    monkeypatch.setattr(generators, "names", lambda: (str(wide),))
    page = settle(visit_page("compare", "--generator", planted, *SMALL, layer="layer2"))
    page.selectbox(key="other generator").set_value(str(wide)).run()
    settle(page)
    assert other_layer(page).value == "layer2" and counts(page).iloc[:, 1].tolist() == [2, 1, 1, 1]
    assert "wide.safetensors" in " ".join(counts(page).columns)
    left, right = (read_pictures(page)[f"Picture 0 of {short(path)}"] for path in (planted, wide))
    assert left != right


def short(path: Path) -> str:
    return "/".join(path.parts[-2:])


@pytest.mark.parametrize("quantile", [0.01, 0.02])
def test_a_saved_dissection_sets_the_number_of_pictures_and_other_settings_are_refused(
    visit_page: Open, planted: Path, monkeypatch: pytest.MonkeyPatch, quantile: float
) -> None:
    wide, folder = planted.with_name("wide.safetensors"), planted.parent / "run"
    generators.save(generators.PlantedGenerator(cells=32), wide)
    monkeypatch.setattr(generators, "names", lambda: (str(wide),))
    palette = segmenters.load("palette")
    dissect(generators.load(planted), palette, None, 60, quantile=quantile, progress=False).save(folder)
    page = settle(visit_page("compare", "--generator", planted, *SMALL, "--dissection", folder, layer="layer2"))
    assert not page.error
    page.selectbox(key="other generator").set_value(str(wide)).run()
    settle(page)
    if quantile == 0.01:
        assert "IoU measured on 60 pictures per generator" in read_texts(page) and len(page.metric) == 2
    else:
        assert "quantile is 0.01, not 0.02" in read_texts(page) and not page.metric


def test_the_table_of_concepts_starts_with_the_most_frequent() -> None:
    concepts = [Concept(k, name, (k, k, k)) for k, name in enumerate(("sky", "tree", "car", "door"))]
    layers = [
        ComparedLayer("a", "layer1", 9, (4, 4), (1, 0, 3, 0)),
        ComparedLayer("b", "layer2", 9, (4, 4), (1, 0, 0, 4)),
    ]
    frame = tables.concept_table(["one", "two"], layers, concepts)
    assert frame.to_dict("list") == {"concept": ["door", "car", "sky"], "one": [0, 3, 1], "two": [4, 0, 1]}


def test_bundled_models_can_be_compared(visit_page: Open) -> None:
    page = visit_page(
        "compare", "--num-samples", 12, "--segmenter", "palette", generator="dcgan-scenes64", layer="layer4"
    )
    settle(page)
    assert len(page.metric) == 2 and not page.error
