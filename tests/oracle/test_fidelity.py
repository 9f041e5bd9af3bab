from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gandissect.fidelity import Yardstick, frechet_distance
from gandissect.sampling import make_rng
from generators import PlantedGenerator


def _naive(x: np.ndarray, y: np.ndarray) -> float:
    """The formula with the general matrix square root, by diagonalising the product."""
    sx, sy = np.cov(x.T), np.cov(y.T)
    values = np.linalg.eigvals(sx @ sy)
    trace = np.trace(sx) + np.trace(sy) - 2 * np.sqrt(values.astype(complex)).sum().real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + trace)


@given(st.integers(0, 10**6))
def test_the_distance_is_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    x = rng.normal(size=(40, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = rng.normal(size=(30, d)) @ rng.normal(size=(d, d))
    found = frechet_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert math.isclose(found, _naive(x, y), rel_tol=1e-6, abs_tol=1e-8)
    assert math.isclose(found, frechet_distance(torch.from_numpy(y), torch.from_numpy(x)), rel_tol=1e-6, abs_tol=1e-8)


def test_in_one_dimension_it_is_the_textbook_formula() -> None:
    """``(mu_x - mu_y)^2 + (sigma_x - sigma_y)^2``."""
    x, y = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[10.0], [11.0], [12.0]])
    assert math.isclose(frechet_distance(x, y), (2 - 11) ** 2 + (2 - 1) ** 2)


def test_a_shift_costs_its_square_and_nothing_costs_nothing() -> None:
    x = torch.randn(50, 4, generator=make_rng(0, "x"))
    assert frechet_distance(x, x) < 1e-9
    assert math.isclose(frechet_distance(x, x + 3), 4 * 9, rel_tol=1e-5)
    degenerate = torch.cat([x, x[:, :1]], dim=1)
    assert frechet_distance(degenerate, degenerate) < 1e-9


@pytest.mark.parametrize("x", [torch.zeros(1, 3), torch.zeros(5), torch.full((4, 3), float("nan")), torch.zeros(4, 2)])
def test_features_that_have_no_distance_are_refused(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="features"):
        frechet_distance(x, torch.zeros(5, 3))


def test_a_yardstick_tells_a_generator_of_the_same_pictures_from_another() -> None:
    generator, other = PlantedGenerator(size=16, cells=8), PlantedGenerator(size=16, cells=4)

    def pictures(seed: int, count: int) -> torch.Tensor:
        return ((generator(generator.sample_z(count, seed)) + 1) * 127.5).round().to(torch.uint8)

    def features(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

    yardstick = Yardstick("thumbnail", features, pictures(1, 300), pictures(2, 80))
    same, different = yardstick.measure(generator, seed=5), yardstick.measure(other, seed=5)
    assert same.num_images == 80
    assert same.num_dims == 20
    assert abs(same.distance - same.floor) < 4 * (same.distance_std + same.floor_std)
    assert different.distance > 10 * different.floor
    assert same == yardstick.measure(generator, seed=5)
    assert "thumbnail" in str(same)
