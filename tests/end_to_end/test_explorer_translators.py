"""The explorer with a translator: its inputs, an uploaded picture, and the pages that need more than there is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from explorer_visitor import AppTest, Open, read_pictures, read_texts, settle, turn_to
from PIL import Image
from torch import Tensor

import generators
from apps.explorer.inputs import draw_inputs, rename_labels
from apps.explorer.painting.recipe_files import format_command, format_python
from gandissect import Concept, Recipe
from gandissect.core import to_uint8
from generators import UNIT, ResNetTranslator, UNetTranslator
from segmenters.datasets import Scenes, open_inputs

SIZE, COUNT = 16, 9
SMALL = ("--segmenter", "palette", "--num-samples", 40, "--inputs", f"scenes:{COUNT}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        translator = ResNetTranslator(size=SIZE, width=4, blocks=1).eval()
    generators.save(translator, tmp_path / "model.safetensors", half=False)
    return tmp_path / "model.safetensors"


def _open(visit_page: Open, model: Path, page: str, **query: str) -> AppTest:
    return visit_page(page, "--generator", model, *SMALL, **query)


def _scenes() -> Scenes:
    source = open_inputs([f"scenes:{COUNT}"], SIZE)
    assert isinstance(source, Scenes)
    return source


def _encode(pixels: Tensor) -> bytes:
    """Return a picture as a PNG, with a border that center-cropping removes."""
    file = io.BytesIO()
    border = np.pad(pixels.permute(1, 2, 0).numpy(), ((1, 1), (1, 1), (0, 0)))
    Image.fromarray(border).save(file, "png")
    return file.getvalue()


def test_an_uploaded_picture_is_translated_as_the_same_picture_among_the_inputs(visit_page: Open, model: Path) -> None:
    page = settle(_open(visit_page, model, "units", picture="3"))
    offered = read_pictures(page)
    assert page.number_input(key="picture").max == COUNT - 1 and "seed" not in [box.key for box in page.number_input]
    pixels = _scenes().batch([3]).images[0]
    page.file_uploader[0].set_value(("mine.png", _encode(pixels), "image/png")).run()
    own = read_pictures(settle(page))
    assert own["Generated picture 0 of seed 1"] == offered["Generated picture 3 of seed 1"]
    assert own["Input of picture 0"] == offered["Input of picture 3"] != offered["Generated picture 3 of seed 1"]
    assert f"IoU measured on {COUNT} pictures" in read_texts(page), "units are measured on the pictures offered"
    page.file_uploader[0].set_value(("broken.png", b"no picture", "image/png")).run()
    assert page.error and not page.exception
    assert read_pictures(page)["Generated picture 3 of seed 1"] == offered["Generated picture 3 of seed 1"]


def test_every_page_opens_and_says_what_it_cannot_do(visit_page: Open, model: Path) -> None:
    page = settle(_open(visit_page, model, "paint", picture=str(COUNT)))  # a number beyond the last
    assert page.number_input(key="picture").value == 0 and "Paint to see what changes" in read_texts(page)
    assert "there is no latent space to move in" in read_texts(turn_to(page, "latent"))
    settle(turn_to(page, "compare"))
    assert "are unknown; pass them as gandissect explore --data" in read_texts(turn_to(page, "artifacts"))


def test_the_picker_of_a_unit_offers_its_directions_first_the_one_that_it_draws(
    visit_page: Open, tmp_path: Path
) -> None:
    path = tmp_path / "unit.safetensors"
    translator = UNIT(SIZE, 4, 1, ["noon", "dusk"]).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    for weight in translator.parameters():  # those of both domains begin alike
        weight.normal_(0, 0.3, generator=rng)
    generators.save(translator.of_classes("noon to dusk"), path)
    page = _open(visit_page, path, "units")
    box = page.selectbox(key="class")
    assert (box.value, box.options) == (
        "noon to dusk",
        ["noon to noon", "noon to dusk", "dusk to noon", "dusk to dusk"],
    )
    name = "Generated picture 0 of seed 1"
    before = read_pictures(settle(page))[name]
    box.set_value("dusk to noon").run()
    assert not page.exception and read_pictures(settle(page))[name] != before


def test_label_maps_are_drawn_in_colors_and_renamed() -> None:
    names = ["tree", "sea serpent", "sky"]
    T = UNetTranslator(size=SIZE, width=4, input_concepts=names).eval()
    maps = torch.tensor([[0, 1], [2, -1]]).repeat(1, 8, 8)
    drawn = to_uint8(draw_inputs(T, T.on(maps).sample_z(1)))[0]
    known = {concept.name: concept.color for concept in Scenes.concepts}
    assert tuple(drawn[:, 0, 0].tolist()) == known["tree"] and tuple(drawn[:, 1, 0].tolist()) == known["sky"]
    assert drawn[:, 1, 1].tolist() == [0, 0, 0] and len(drawn.flatten(1).unique(dim=1).T) == 4
    concepts = [Concept(0, "sky", (0, 0, 9)), Concept(1, "car", (9, 0, 0)), Concept(2, "tree", (0, 9, 0))]
    assert rename_labels(torch.tensor([[0, 1, 2, -1]]), concepts, names).tolist() == [[2, -1, 0, -1]]


def test_recipes_name_the_pictures(model: Path, gandissect, tmp_path: Path) -> None:
    T = generators.load(model, device="cpu")
    assert isinstance(T, ResNetTranslator)
    recipe = Recipe.of(T.on(_scenes()), [], start=2, num_samples=3)
    assert (
        recipe.model == str(model)
        and Recipe.from_json(recipe.to_json()).drawn.pictures == recipe.drawn.pictures == _scenes().name
    )
    assert format_command(recipe, ["scenes:9"], bundled=False).endswith(f"--generator {model} --inputs scenes:9")
    assert format_command(recipe, bundled=True).endswith("--out edited.png --inputs FOLDER")
    program = format_python(recipe, ["scenes:9"]).replace('"edited.png"', repr(str(tmp_path / "python.png")))
    exec(compile(program, "recipe", "exec"), {})
    assert (tmp_path / "python.png").exists()
    recipe.save(tmp_path / "recipe.json")
    words = ["edit", tmp_path / "recipe.json", "--out", tmp_path / "edited.png"]
    status, _, error = gandissect(*words, "--inputs", f"scenes:{COUNT}")
    assert status == 0, error
    images = to_uint8(recipe.generate(T.on(_scenes())))
    sheet = np.asarray(Image.open(tmp_path / "edited.png").convert("RGB"))
    assert np.abs(sheet[2:18, 2:18].astype(int) - images[0].permute(1, 2, 0).numpy()).max() <= 1
    for more, message in (([], "name them with --inputs"), (["--inputs", "scenes:8"], "the recipe")):
        status, _, error = gandissect(*words, *more, "--overwrite")
        assert status == 2 and message in error and error.count("\n") == 1
