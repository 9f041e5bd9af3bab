"""What is of another kind than an argument must be is refused with what was given and what is wanted."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import gandissect
import generators
import segmenters
from gandissect import (
    Dissection,
    UnitSet,
    Yardstick,
    average_causal_effect,
    compare,
    dissect,
    generate,
    merge_shards,
    write_report,
)

ROOT = Path(gandissect.__file__).parents[1]
G, S = generators.PlantedGenerator(size=16, cells=8), segmenters.load("palette")
RIGHT = {"generator": G, "segmenter": S, "units": UnitSet("layer1", (0,)), "concept": "red", "layer": "layer1"}
"""Arguments by name; functions that take others first are tried as far as these reach."""


@pytest.fixture(scope="module")
def dissection() -> Dissection:
    return dissect(G, S, num_samples=4, progress=False)


def _list_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    for name in gandissect.__all__:
        thing = getattr(gandissect, name)
        if inspect.isfunction(thing) and name not in {"sample_z", "derive_seed", "trace", "intervene"}:
            yield name, thing


@pytest.mark.wrong_shape
@pytest.mark.parametrize(
    ("name", "function"), _list_functions(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_public_function_refuses_another_kind(
    name: str, function: Callable[..., object], dissection: Dissection, tmp_path: Path
) -> None:
    right = RIGHT | {"dissection": dissection, "folder": tmp_path, "shard": (1, 2), "dissections": [dissection]}
    required = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    tried = 0
    for place, parameter in enumerate(required):
        if any(earlier.name not in right for earlier in required[:place]):
            break
        for wrong in (None, 7, object(), [1, 2, 3]):
            arguments = {each.name: right.get(each.name) for each in required} | {parameter.name: wrong}
            with pytest.raises((TypeError, ValueError, KeyError)) as caught:
                function(**arguments)
            last = traceback.extract_tb(caught.value.__traceback__)[-1]
            assert Path(last.filename).is_relative_to(ROOT), f"{name}({parameter.name}={wrong!r}): {caught.value}"
            assert ".venv" not in last.filename and last.line.startswith("raise "), f"{name}: {caught.value}"
            tried += 1
    assert tried


@pytest.mark.wrong_shape
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda D: average_causal_effect(G, S, [1, 2], "red"), "units must be of type UnitSet; got list; pass UnitSet"),
        (lambda D: D[0], "unknown layer 0; known: layer1, layer2"),
        (
            lambda D: write_report("report", "runs/x"),
            "dissection must be of type Dissection; got str; pass what dissect or",
        ),
        (lambda D: compare(D["layer1"]), "dissections must be of type Iterable; got LayerDissection; pass a list"),
        (lambda D: G(np.zeros((2, 8), np.float32)), "z must be of type Tensor; got ndarray; convert an array with"),
        (lambda D: G([1.0]), "z must be of type Tensor; got list"),
        (lambda D: G(G.sample_z(2).half()), r"takes float32; got torch.float16; convert it with .float\(\)"),
        (lambda D: G.tail([1], "layer1", G.sample_z(1)), "the activation must be of type Tensor; got list"),
        (lambda D: S(np.zeros((1, 3, 16, 16))), "images must be of type Tensor; got ndarray"),
        (
            lambda D: generators.load(None),
            "name must be of type str or Path; got NoneType; pass a file, a folder, or one of",
        ),
        (lambda D: segmenters.load(None), "name_or_path must be of type str or Path; got NoneType; pass a file"),
        (lambda D: D.save(None), "place must be of type str or Path; got NoneType"),
        (lambda D: Dissection.load(7), "place must be of type str or Path; got int"),
        (lambda D: merge_shards("runs/part1"), "folders must be of type list or tuple; got str; pass a list"),
        (lambda D: Yardstick.of(S, "runs/pictures", None), "train must be of type PictureSource or Tensor; got str"),
        (lambda D: generate(G, G.sample_z(1), None), r"edits must be a list, such as \[edit\] or \[\]; got NoneType"),
        (lambda D: dissect(G, S, 3), "names must be a string or a list of strings; got 3"),
        (lambda D: G.sample_z(4.0), "num_samples must be an integer; got 4.0"),
        (lambda D: G.sample_z("4"), "num_samples must be an integer; got '4'"),
        (lambda D: G.sample_z(4, 1, 1.5), "start must be an integer; got 1.5"),
    ],
)
def test_the_message_names_what_is_wanted(call: Callable[..., object], said: str, dissection: Dissection) -> None:
    with pytest.raises((TypeError, ValueError, KeyError), match=said):
        call(dissection)


def test_numbers_of_the_network_own_kind_are_taken() -> None:
    z = G.sample_z(2)
    assert torch.equal(G(z.double()), G(z))
