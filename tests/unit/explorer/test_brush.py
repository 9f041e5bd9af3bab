"""The units behind a brush, ranked by effect or by IoU."""

from __future__ import annotations

import torch

from apps.explorer.painting.brush import rank_units_by_effect
from gandissect import Concept
from gandissect.causal.results import UnitEffects

CONCEPTS = tuple(Concept(index, name, (0, 0, index)) for index, name in enumerate(("sea", "sky", "sun")))


def test_units_with_a_significant_effect_are_ranked_best_first() -> None:
    mean = torch.tensor([[0.02, 0.10, 0.0], [0.05, 0.00, 0.0], [0.01, 0.20, 0.0], [-0.5, 0.001, 0.0]]).double()
    stderr = torch.tensor([[0.01, 0.01, 0.0], [0.01, 0.00, 0.0], [0.00, 0.01, 0.0], [0.01, 0.001, 0.0]]).double()
    effects = UnitEffects("layer2", ("sea", "sky", "sun"), mean, stderr, 50, 5)
    found = rank_units_by_effect(effects, CONCEPTS)
    assert {concept.name: units.units for concept, units in found.items()} == {"sky": (2, 0), "sea": (1, 2)}
    assert [concept.name for concept in found] == ["sky", "sea"], "the largest sum of effects comes first"
    assert all(units.layer == "layer2" for units in found.values())
