"""What units of translators follow: the effects by kind, and whether units of the same number mean the same."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from gandissect.causal.results import UnitEffects
from gandissect.dissection import UnitAgreement


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[3] / "examples" / "copied_or_invented.py"
    spec = importlib.util.spec_from_file_location("copied_or_invented", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["copied_or_invented"] = module
    spec.loader.exec_module(module)
    return module


def _units(concepts: str, follows: list[Any]) -> list[UnitAgreement]:
    numbers = 0.5, 0.4, 0.1, 0.0, 0.2
    return [
        UnitAgreement("block1", unit, concept, *numbers, kind)
        for unit, (concept, kind) in enumerate(zip(concepts, follows, strict=True))
    ]


def test_effects_are_those_on_the_units_own_concepts_beside_those_of_other_units(example: ModuleType) -> None:
    mean = torch.tensor([[0.4, 0.0], [0.2, 0.1], [0.0, 0.3]], dtype=torch.float64)
    effects = UnitEffects("block1", ("a", "b"), mean, torch.zeros_like(mean), 8, 0)
    found = example.summarize_effects(_units("aab", ["input", "input", "output"]), effects)
    assert set(found) == {"input", "output"}
    assert found["input"]["units"] == 2 and found["input"]["effect"] == pytest.approx(30)
    assert found["input"]["half"] == pytest.approx(1.96 * 14.1421356 / 2**0.5, rel=1e-6)
    assert found["input"]["others"] == pytest.approx(((20 + 0) / 2 + (40 + 0) / 2) / 2)
    assert found["output"] == {"units": 1, "effect": pytest.approx(30), "half": None, "others": pytest.approx(5)}


def test_units_of_the_same_number_are_compared_with_units_in_a_random_order(example: ModuleType) -> None:
    first, second, other = (
        SimpleNamespace(units_of=lambda _, concepts=concepts: _units(concepts, ["both"] * 8))
        for concepts in ("aabbccdd", "aabbccdd", "bbaaddcc")
    )
    same = example.compare_meaning(first, second, "block1", 0)
    assert same is not None and same["same"] == 1 and same["units"] == 8
    assert same["random"] == pytest.approx(1 / 4, abs=0.01), "each unit meets one of two of eight"
    assert same["low"] == 0 and same["high"] < 0.75
    swapped = example.compare_meaning(first, other, "block1", 0)
    assert swapped is not None and swapped["same"] == 0
    silent = SimpleNamespace(units_of=lambda _: _units("aabbccdd", ["neither"] * 8))
    assert example.compare_meaning(first, silent, "block1", 0) is None
