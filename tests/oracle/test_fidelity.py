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


def _planted(cells: int, seed: int, count: int) -> torch.Tensor:
    generator = PlantedGenerator(size=16, cells=cells)
    return ((generator(generator.sample_z(count, seed)) + 1) * 127.5).round().to(torch.uint8)


def _blocks(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def test_the_floor_is_that_of_training_pictures_from_held_out_ones() -> None:
    """Training pictures of another kind are far from those held out, and the generator's, of theirs, are not."""
    found = Yardstick("x", _blocks, _planted(4, 1, 150), _planted(8, 2, 80)).measure(PlantedGenerator(16, 8))
    assert found.floor > 10 * found.distance
    assert found.distance_std > 0, "every set is of other samples"
    assert found.floor_std > 0, "every set is of other training pictures"
    assert not math.isclose(found.floor_std, found.distance_std)


def test_the_unit_of_the_features_does_not_matter() -> None:
    train, held_out, generator = _planted(8, 1, 120), _planted(8, 2, 60), PlantedGenerator(16, 4)
    plain = Yardstick("x", _blocks, train, held_out).measure(generator)
    scaled = Yardstick("x", lambda images: 1000 * _blocks(images), train, held_out).measure(generator)
    assert math.isclose(plain.distance, scaled.distance, rel_tol=1e-4)
    dead = Yardstick("x", lambda images: torch.zeros(len(images), 5), train, held_out).measure(generator)
    assert (dead.distance, dead.floor) == (0, 0)


def test_too_few_pictures_or_sets_are_refused() -> None:
    pictures = _planted(8, 1, 20)
    for train, held_out in ((pictures, pictures[:7]), (pictures[:9], pictures[:10])):
        with pytest.raises(ValueError, match="8 held-out pictures"):
            Yardstick("x", _blocks, train, held_out)
    with pytest.raises(ValueError, match="num_sets is 2 or more; got 1"):
        Yardstick("x", _blocks, pictures, pictures[:10]).measure(PlantedGenerator(16, 8), num_sets=1)
