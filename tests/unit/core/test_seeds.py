"""Seeds are integers, and latent vectors are finite, everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from public_functions import CALLS, UNITS, assert_equal_results, make_networks
from tiny_generators import FAMILIES, make_generator

import gandissect
import generators
from gandissect import Ablation, Recipe, artifacts, causal, latent
from gandissect.core import check_seed, make_rng
from gandissect.dissection import DissectSettings
from segmenters.datasets import Scenes

MODULES = {"gandissect": gandissect, "gandissect.latent": latent, "gandissect.causal": causal}
MODULES["gandissect.artifacts"] = artifacts
REFUSED = [1.5, 1.0, "7", True, np.bool_(True), torch.tensor(2.5), np.array([1, 2]), [3]]


def _seeded() -> dict[str, tuple[Any, str]]:
    """Public functions that take a seed, by the name of their call."""
    found = {}
    for name in CALLS:
        home, _, function = name.split(",")[0].rpartition(".")
        value = getattr(MODULES.get(home), function, None)
        if inspect.isfunction(value) and "seed" in inspect.signature(value).parameters:
            found[name] = (MODULES[home], function)
    return found


SEEDED = _seeded()


def _with_seed(function: Callable[..., Any], seed: Any) -> Callable[..., Any]:
    """Return a function that is given this seed, whatever its caller says."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        bound = inspect.signature(function).bind(*arguments, **options)
        bound.arguments["seed"] = seed
        return function(*bound.args, **bound.kwargs)

    return call


def test_functions_with_seeds_are_found() -> None:
    assert {"gandissect.dissect", "gandissect.latent.invert", "gandissect.sample_z"} <= SEEDED.keys()
    assert len(SEEDED) > 25


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_that_is_no_whole_number_is_refused(name: str, monkeypatch: Any, tmp_path: Path) -> None:
    networks = make_networks()
    home, function = SEEDED[name]
    original = getattr(home, function)
    for seed in (1.5, "7", True):
        monkeypatch.setattr(home, function, _with_seed(original, seed))
        with pytest.raises(ValueError, match="seed must be an integer; got "):
            CALLS[name](networks, tmp_path)


QUICK = ["gandissect.average_causal_effect", "gandissect.sample_z", "gandissect.latent.noise_effects"]
QUICK += ["gandissect.measure_unit_effects", "gandissect.latent.path_length", "gandissect.latent.label_direction"]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, torch.tensor])
def test_a_whole_number_of_another_library_is_that_number(name: str, kind: Any, monkeypatch: Any, tmp_path) -> None:
    networks = make_networks()
    home, function = SEEDED[name]
    original = getattr(home, function)
    results = []
    for seed in (7, kind(7)):
        monkeypatch.setattr(home, function, _with_seed(original, seed))
        results.append(CALLS[name](networks, tmp_path))
    assert_equal_results(*results)


@pytest.mark.parametrize("seed", REFUSED)
def test_one_function_knows_what_a_seed_is(seed: Any) -> None:
    refusing = (
        lambda: check_seed(seed),
        lambda: make_rng(seed, "z"),
        lambda: DissectSettings(seed=seed),
        lambda: Scenes(16, 2, seed=seed),
        lambda: Recipe.of(make_networks().plain, [Ablation(UNITS)], seed),
        lambda: make_networks().plain.sample_z(0, seed),
    )
    for refuse in refusing:
        with pytest.raises(ValueError, match="seed must be an integer; got"):
            refuse()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_latent_vectors_that_are_not_finite_are_refused(family: str, number: float) -> None:
    generator = make_generator(family)
    z = generator.sample_z(3)
    layer, activation = next(iter(generator.layers)), generator.head(z, next(iter(generator.layers)))
    wrapped = generators.wrap(generator, generator.z_dim)
    z[1, 2] = number
    for run in (generator, wrapped, lambda z: generator.head(z, layer), lambda z: generator.tail(activation, layer, z)):
        with pytest.raises(ValueError, match="latent vectors must be finite; got NaN or infinity in row 1"):
            run(z)
    if generator.has_w:
        ws = generator.mapping(generator.sample_z(2)).clone()
        ws[1, 0, 0] = number
        for run in (generator, generator.synthesis):
            with pytest.raises(ValueError, match="latent vectors must be finite; got NaN or infinity in row 1"):
                run(ws)
        with pytest.raises(ValueError, match="truncation_psi must be finite"):
            generator.mapping(generator.sample_z(2), truncation_psi=number)
