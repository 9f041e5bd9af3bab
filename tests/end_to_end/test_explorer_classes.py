"""The explorer with a generator of several classes: the picker, its pictures, and recipes of one class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from explorer_visitor import AppTest, Open, read_pictures

import generators
from apps.explorer.painting.recipe_files import format_command, format_python
from gandissect import Recipe
from generators import ConditionalDCGAN


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator = ConditionalDCGAN(size=16, width=8, noise_dim=5, classes=["cat", "dog"]).eval()
    generators.save(generator, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def _open(visit_page: Open, model: Path, page: str = "paint", **query: str) -> AppTest:
    return visit_page(page, "--generator", model, "--segmenter", "palette", picture="3", **query)


def test_the_picker_offers_all_classes_and_each(visit_page: Open, model: Path) -> None:
    page = _open(visit_page, model, "latent", part="walk")
    assert (page.selectbox(key="class").value, page.selectbox(key="class").options) == ("all", ["all", "cat", "dog"])
    pictures = {}
    for name in ("all", "cat", "dog"):
        page.selectbox(key="class").set_value(name).run()
        page.slider(key="place 3").set_value(0.0).run()
        assert not page.exception
        pictures[name] = read_pictures(page)["Picture at position 0.00 of the walk through pictures 3, 4, 5"]
    G = generators.load(model, device="cpu")
    (own,) = G.classes_of(G.sample_z(1, 1, 3))
    assert pictures["all"] == pictures[own], "the same noise and class"
    assert pictures["cat"] != pictures["dog"]


def test_a_class_may_be_named_in_the_url(visit_page: Open, model: Path) -> None:
    assert _open(visit_page, model, **{"class": "dog"}).selectbox(key="class").value == "dog"


def test_a_generator_without_classes_has_no_picker(visit_page: Open, planted: Path) -> None:
    page = visit_page("paint", "--generator", planted, "--segmenter", "palette")
    assert "class" not in [box.key for box in page.selectbox]


def test_a_recipe_of_one_class_names_the_model_and_the_class(model: Path) -> None:
    recipe = Recipe.of(generators.load(model, device="cpu").of_classes("dog"), [], num_samples=1)
    assert f"generators.load({str(model)!r}).of_classes('dog')" in format_python(recipe)
    assert format_command(recipe, bundled=False).endswith(f"--generator {model}")
