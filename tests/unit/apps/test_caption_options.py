"""Captions on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_generators import make_generator

import generators
from apps.commands import edit, interpolate, sample
from apps.networks import describe_with
from gandissect import Recipe


def test_samples_are_drawn_from_the_captions_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generators.save(make_generator("stackgan"), tmp_path / "x.safetensors")
    options = {"num_samples": 2, "out": tmp_path / "x.png", "device": "cpu", "json": True}
    sample.Options(str(tmp_path / "x.safetensors"), caption=("a red car",), **options).run()
    facts = json.loads(capsys.readouterr().out)
    assert facts["caption"] == ["a red car"]
    assert facts["generator"].endswith("of 'a red car'")


def test_a_path_holds_the_caption_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generators.save(make_generator("stackgan"), tmp_path / "x.safetensors")
    options = {"out": tmp_path / "x.png", "num_frames": 2, "device": "cpu", "json": True}
    interpolate.Options(str(tmp_path / "x.safetensors"), (0, 1), caption=("a red car",), **options).run()
    assert json.loads(capsys.readouterr().out)["generator"].endswith("of 'a red car'")


def test_a_recipe_of_captions_is_rendered_without_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe names the model and the captions; a sheet of another caption differs."""
    monkeypatch.chdir(tmp_path)
    generators.save(make_generator("stackgan"), "x.safetensors")
    model = generators.load("x.safetensors", device="cpu")
    sheets = []
    for caption in ("a red car", "a car", "red, red"):
        Recipe.of(model.of_captions(caption), [], num_samples=2).save(f"{caption}.json")
        edit.Options(Path(f"{caption}.json"), Path(f"{caption}.png"), device="cpu").run()
        sheets.append(Path(f"{caption}.png").read_bytes())
    assert len(set(sheets)) == 3


def test_captions_are_refused_where_there_are_none() -> None:
    plain = make_generator("dcgan")
    assert describe_with(plain, ()) is plain
    with pytest.raises(ValueError, match="takes no captions; omit --caption, or use a stackgan"):
        describe_with(plain, ("a car",))
    with pytest.raises(KeyError, match="unknown word of captions 'blue'; known: a, red, car"):
        describe_with(make_generator("stackgan"), ("a blue car",))
