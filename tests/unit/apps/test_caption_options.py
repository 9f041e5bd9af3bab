"""Captions on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_generators import make_generator

import generators
from apps.commands import sample
from apps.networks import describe_with


def test_samples_are_drawn_from_the_captions_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generators.save(make_generator("stackgan"), tmp_path / "x.safetensors")
    options = {"num_samples": 2, "out": tmp_path / "x.png", "device": "cpu", "json": True}
    sample.Options(str(tmp_path / "x.safetensors"), caption=("a red car",), **options).run()
    facts = json.loads(capsys.readouterr().out)
    assert facts["caption"] == ["a red car"]
    assert facts["generator"].endswith("of 'a red car'")


def test_captions_are_refused_where_there_are_none() -> None:
    plain = make_generator("dcgan")
    assert describe_with(plain, ()) is plain
    with pytest.raises(ValueError, match="takes no captions; omit --caption, or use a stackgan"):
        describe_with(plain, ("a car",))
    with pytest.raises(KeyError, match="unknown word of captions 'blue'; known: a, red, car"):
        describe_with(make_generator("stackgan"), ("a blue car",))
