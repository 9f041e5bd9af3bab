"""Quantiles of more values than fit in memory equal those by sorting all values."""

from __future__ import annotations

import math

import pytest
import torch
from public_functions import make_networks

from gandissect import UnitSet
from gandissect.causal import quantile_table, values
from gandissect.core import derive_seed

QUANTILES = (1e-6, 0.25, 0.5, 0.99, 1.0)


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_counted_quantiles_are_those_of_sorted_values(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make_networks().plain
    units = UnitSet(layer, (3, 0, 1))
    monkeypatch.setattr(values, "MAX_KEPT", 0)
    table = quantile_table(generator, units, QUANTILES, 40, seed=1)
    z = generator.sample_z(40, derive_seed(1, "values"))
    rising = generator.head(z, layer)[:, list(units.units)].transpose(0, 1).flatten(1).sort().values
    ranks = [max(1, math.ceil(quantile * rising.shape[1])) - 1 for quantile in QUANTILES]
    assert torch.equal(table, rising[:, ranks])
    assert (rising == 0).any() and (rising > 0).any(), "values that are equal, and others"


def test_nothing_is_kept_that_grows_with_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both methods give the same table, including for negative values."""
    generator = make_networks().style
    units = UnitSet("layer3", (0, 2))
    kept = quantile_table(generator, units, QUANTILES, 20)
    monkeypatch.setattr(values, "MAX_KEPT", 0)
    assert torch.equal(quantile_table(generator, units, QUANTILES, 20), kept)
    assert bool((kept < 0).any())
