"""The explorer with a generator of captions: the field in the sidebar, words that it does not know, and recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from explorer_visitor import AppTest, Open, read_pictures, read_texts, turn_to
from tiny_generators import make_generator

import generators
from apps.explorer.painting.recipe_files import format_command, format_python
from gandissect import Recipe

PICTURE = "Picture at position 0.00 of the walk through pictures 3, 4, 5"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    generators.save(make_generator("stackgan"), tmp_path / "tiny-scenes16.safetensors")
    return tmp_path / "tiny-scenes16.safetensors"


def _write(page: AppTest, caption: str) -> str:
    """Write a caption, and return the picture."""
    page.text_input(key="caption").set_value(caption).run()
    assert not page.exception
    return read_pictures(page)[PICTURE]


def test_a_caption_is_written_and_words_that_are_unknown_are_named(visit_page: Open, model: Path) -> None:
    arguments = ("latent", "--generator", model, "--segmenter", "palette")
    page = visit_page(*arguments, part="walk", picture="3", caption="A  red car.")
    assert page.text_input(key="caption").value == "A  red car."
    page.slider(key="place 3").set_value(0.0).run()
    red, without = read_pictures(page)[PICTURE], _write(page, " ")
    assert not page.error
    G = generators.load(model, device="cpu")
    written = {caption: _write(page, caption) for caption in ("a car", "a red car")}
    (drawn,) = [text for text in G.captions if G.encode([text]).equal(G.sample_z(1, 1, 3)[:, G.noise_dim :])]
    assert without == written[drawn], "the same noise and caption"
    assert red == written["a red car"] != written["a car"]
    assert _write(page, "a blue car") == without
    texts = read_texts(page)
    assert "Unknown word of captions 'blue'. The pictures show captions of its training instead." in texts
    assert "Known words: a, red, car" in texts
    page.text_input(key="caption").set_value("a " * 101).run()
    assert not page.exception and "A caption must have 1 to 100 words; got 101" in read_texts(page)
    note = "part of the distance is their difference"
    assert note not in read_texts(turn_to(page, "artifacts")), "captions of the training are drawn"
    assert note in read_texts(page.text_input(key="caption").set_value("a car").run())


def test_a_recipe_of_a_caption_opens_with_it(visit_page: Open, model: Path) -> None:
    G = generators.load(model, device="cpu")
    recipe = Recipe.of(G.of_captions("a red car"), [], 1, 3, 1)
    assert f"generators.load({str(model)!r}).of_captions('a red car')" in format_python(recipe)
    assert format_command(recipe, bundled=False).endswith(f"--generator {model}")
    page = visit_page("paint", "--generator", model, "--segmenter", "palette", "--num-samples", 4, picture="0")
    upload = page.file_uploader(key="recipe")
    upload.upload("x.json", recipe.to_json().encode(), "application/json").run()
    assert not page.exception and not page.error
    assert (page.text_input(key="caption").value, page.number_input(key="picture").value) == ("a red car", 3)
    several = Recipe.of(G.of_captions("a car", "red"), [], 1, 2, 1).to_json()
    for text, reason in {
        several: "one caption",
        several.replace("red", "big"): "unknown word of captions 'big'",
    }.items():
        page.file_uploader(key="recipe").upload("y.json", text.encode(), "application/json").run()
        assert not page.exception and reason in read_texts(page)
        assert page.text_input(key="caption").value == "a red car"
    page.file_uploader(key="recipe").upload("z.json", Recipe.of(G, []).to_json().encode(), "application/json").run()
    assert page.text_input(key="caption").value == ""
