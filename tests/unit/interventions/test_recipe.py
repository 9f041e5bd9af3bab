"""A recipe says all that is needed to make the same images again, and nothing else is taken for one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from gandissect import Ablation, Insertion, Recipe, Scaling, UnitSet, generate
from generators import DCGAN, ConditionalDCGAN, StackGAN


def _generator() -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(size=16, width=6, z_dim=5).eval().requires_grad_(False)


def _edits() -> list[Any]:
    draw = torch.Generator().manual_seed(0)
    return [
        Ablation(UnitSet("layer1", (2, 0)), strength=0.3),
        Insertion(UnitSet("layer1", (1, 3)), (0.1, -2.0), torch.rand(3, 4, 4, generator=draw)),
        Scaling(UnitSet("layer2", (1,)), 1.7, torch.rand(16, 16, generator=draw) > 0.5),
    ]


def test_a_recipe_makes_the_same_images_again(tmp_path: Path) -> None:
    generator = _generator()
    recipe = Recipe.of(generator, _edits(), seed=3, start=7, num_samples=3)
    wanted = generate(generator, generator.sample_z(10, seed=3)[7:], _edits())
    path = recipe.save(tmp_path / "folder/recipe.json")
    assert torch.equal(recipe.generate(generator), wanted)
    again = Recipe.load(path)
    assert torch.equal(again.generate(generator), wanted)
    assert again.save(tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_recipe_can_be_written_by_hand(tmp_path: Path) -> None:
    generator = _generator()
    edits = [
        {"kind": "ablation", "layer": "layer1", "units": [2]},
        {"kind": "insertion", "layer": "layer1", "units": [1, 0], "values": 2},
    ]
    facts = {"format": "gandissect-recipe", "version": 1, "generator": "mine", "fingerprint": generator.fingerprint}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(facts | {"seed": 1, "start": 0, "num_samples": 2, "edits": edits}))
    wanted = generate(
        generator,
        generator.sample_z(2, seed=1),
        [Ablation(UnitSet("layer1", (2,))), Insertion(UnitSet("layer1", (1, 0)), 2.0)],
    )
    assert torch.equal(Recipe.load(path).generate(generator), wanted)


def _conditional() -> ConditionalDCGAN:
    torch.manual_seed(0)
    return ConditionalDCGAN(size=16, width=6, noise_dim=5, classes=["cat", "dog", "owl"]).eval().requires_grad_(False)


def test_a_recipe_remembers_the_classes_that_its_samples_were_drawn_from(tmp_path: Path) -> None:
    whole = _conditional()
    some = whole.of_classes("dog", "owl")
    images = generate(some, some.sample_z(6, seed=3), _edits()[:1])
    path = Recipe.of(some, _edits()[:1], seed=3, num_samples=6).save(tmp_path / "recipe.json")
    again = Recipe.load(path)
    assert again.drawn.classes == ("dog", "owl")
    assert "of dog, owl" in repr(again)
    assert (again.generator.name, again.model) == ("cgan of dog, owl", "cgan")
    for generator in (some, whole, whole.of_classes("cat")):
        assert torch.equal(again.generate(generator), images), generator.name
    with pytest.raises(ValueError, match="the recipe belongs to cgan of dog, owl with"):
        again.check_generator(_generator())


def test_a_recipe_of_all_classes_is_that_of_the_whole_generator(tmp_path: Path) -> None:
    whole = _conditional()
    recipe = Recipe.of(whole, _edits()[:1], num_samples=6)
    assert recipe.drawn.classes == ()
    assert "classes" not in json.loads(recipe.to_json()), "as recipes were before there were classes"
    assert torch.equal(recipe.generate(whole.of_classes("cat")), recipe.generate(whole))


@pytest.mark.parametrize(("classes", "message"), [("cat", "must be a list"), ([3], "a class must be"), (["cow"], "")])
def test_a_recipe_of_unknown_classes_is_refused(classes: object, message: str) -> None:
    entries = json.loads(Recipe.of(_conditional().of_classes("cat"), []).to_json()) | {"classes": classes}
    with pytest.raises(ValueError, match=message or "the recipe belongs to"):
        Recipe.from_json(json.dumps(entries)).generate(_conditional())


WORDS = ["a", "lake", "isn't", '"red"', 'it\'s"so"', "back\\slash", "of", "1", "and", "more", "captions", "weiß"]


def _captioned(words: list[str] = WORDS) -> StackGAN:
    torch.manual_seed(0)
    return StackGAN(16, 4, 5, 3, words, 4, ["a", words[1]]).eval().requires_grad_(False)


CAPTIONED = _captioned()
CAPTIONS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=4)


def test_a_recipe_remembers_the_captions_that_its_samples_were_drawn_from(tmp_path: Path) -> None:
    captions = ("a lake", 'it\'s"so" lake', 'a lake of "red"')
    z = CAPTIONED.sample_z(6, seed=3, captions=captions)
    edits = [Ablation(UnitSet("second3", (2, 0)))]
    described = CAPTIONED.of_captions(*captions)
    again = Recipe.load(Recipe.of(described, edits, seed=3, num_samples=6).save(tmp_path / "recipe.json"))
    assert (again.drawn.captions, again.model) == (captions, "stackgan")
    assert "of 'a lake' and 2 more captions" in repr(again)
    for generator in (described, CAPTIONED, CAPTIONED.of_captions("a")):
        assert torch.equal(again.generate(generator), generate(CAPTIONED, z, edits)), generator.name
    with pytest.raises(ValueError, match="the recipe belongs to stackgan of 'a lake' and 2 more captions with"):
        again.check_generator(_generator())


def test_a_recipe_of_no_captions_is_as_it_was_before_there_were_captions() -> None:
    recipe = Recipe.of(CAPTIONED, [], seed=3, num_samples=6)
    assert (recipe.drawn.captions, recipe.model) == ((), "stackgan")
    assert "captions" not in json.loads(recipe.to_json())
    assert torch.equal(Recipe.from_json(recipe.to_json()).latents(CAPTIONED), CAPTIONED.sample_z(6, seed=3))


@given(CAPTIONS, st.sampled_from(["stackgan-scenes64", "runs/it's of 'a'/x.safetensors", "x of 'a'"]))
def test_a_recipe_of_any_captions_survives_its_file(captions: list[str], name: str) -> None:
    generator = _copy_named(name)
    again = Recipe.from_json(Recipe.of(generator.of_captions("lake").of_captions(*captions), [], 2, 5, 2).to_json())
    assert (again.drawn.captions, again.model) == (tuple(captions), name)
    assert torch.equal(again.latents(generator), CAPTIONED.sample_z(2, 2, 5, captions))


def _copy_named(name: str) -> StackGAN:
    generator = copy.copy(CAPTIONED)
    generator.name = name
    return generator


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ("a lake", "captions must be a list; got 'a lake'"),
        ([3], "a caption must be a non-empty string; got 3"),
        ([""], "a caption must be a non-empty string"),
        (["a blue lake"], "stackgan cannot read the captions of the recipe: unknown word of captions 'blue'"),
        (["."], "stackgan cannot read the captions of the recipe: a caption must have 1 to 100 words"),
        (["lake"], "the recipe belongs to"),
    ],
)
def test_a_recipe_of_captions_that_do_not_fit_is_refused(captions: object, message: str) -> None:
    entries = json.loads(Recipe.of(CAPTIONED.of_captions("a lake"), []).to_json()) | {"captions": captions}
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(json.dumps(entries)).generate(CAPTIONED)


def test_a_recipe_of_captions_is_refused_by_a_generator_of_other_words() -> None:
    recipe = Recipe.of(CAPTIONED.of_captions("a lake"), [])
    with pytest.raises(ValueError, match="unknown word of captions 'lake'; known: a, car"):
        recipe.generate(_captioned(["a", "car"]))


def test_another_generator_is_refused() -> None:
    recipe = Recipe.of(_generator(), _edits())
    with pytest.raises(ValueError, match=r"the recipe belongs to .* load the original"):
        recipe.generate(DCGAN(size=16, width=6, z_dim=5).eval())


CHANGES: dict[str, tuple[Any, str]] = {
    "format": (lambda r: r.update(format="x"), "format must be"),
    "version": (lambda r: r.update(version=2), "version 1"),
    "missing": (lambda r: r.pop("seed"), "'seed' is missing"),
    "seed": (lambda r: r.update(seed="1"), "seed must be an integer"),
    "truth": (lambda r: r.update(start=True), "start must be an integer"),
    "none": (lambda r: r.update(num_samples=0), "num_samples at least 1"),
    "edits": (lambda r: r.update(edits=3), "not iterable"),
    "edit": (lambda r: r.update(edits=[3]), "subscriptable"),
    "kind": (lambda r: r["edits"][0].update(kind="ablate"), "did you mean 'ablation'"),
    "layer": (lambda r: r["edits"][0].update(layer=1), "layer must be a non-empty string"),
    "units": (lambda r: r["edits"][0].update(units=[1.5]), "a unit must be an integer"),
    "twice": (lambda r: r["edits"][0].update(units=[1, 1]), "more than once"),
    "strength": (lambda r: r["edits"][0].update(strength="all"), "strength must be a number"),
    "range": (lambda r: r["edits"][0].update(strength=2), r"in \[0, 1\]; got 2"),
    "extra": (lambda r: r["edits"][0].update(factor=2), "got factor"),
    "values": (lambda r: r["edits"][1].update(values=[1, 2, 3]), "each of the 2 units"),
    "no values": (lambda r: r["edits"][1].pop("values"), "values"),
    "shape": (lambda r: r["edits"][1]["region"].update(shape=[3, 4, 5]), "240 bytes"),
    "huge": (lambda r: r["edits"][1]["region"].update(shape=[10**6, 10**6]), "numbers"),
    "negative": (lambda r: r["edits"][1]["region"].update(shape=[-3, -16]), "numbers"),
    "data": (lambda r: r["edits"][1]["region"].update(data="eA=="), "incorrect header|bytes"),
    "text": (lambda r: r["edits"][1]["region"].update(data="&"), ""),
    "nan": (lambda r: r["edits"][0].update(strength=float("nan")), r"in \[0, 1\]; got nan"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_recipe_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    change, message = CHANGES[name]
    path = Recipe.of(_generator(), _edits(), num_samples=3).save(tmp_path / "recipe.json")
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=rf"recipe\.json is not a recipe: .*({message})"):
        Recipe.load(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, "\\xff"])
def test_no_json_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.json is not a recipe"):
        Recipe.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"recipe\.json is not a recipe"):
        Recipe.load(path)
