from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from gandissect.core.sampling import make_rng
from gandissect.fidelity import distances
from gandissect.fidelity.distances import kernel_distance


def _kernel(a: np.ndarray, b: np.ndarray) -> float:
    return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3


def _naive(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate, pair by pair."""
    within_x = [_kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
    within_y = [_kernel(y[i], y[j]) for i in range(len(y)) for j in range(len(y)) if i != j]
    across = [_kernel(a, b) for a in x for b in y]
    return float(np.mean(within_x) + np.mean(within_y) - 2 * np.mean(across))


def _naive_stderr(x: np.ndarray, y: np.ndarray) -> float:
    """The jackknife: the distance recomputed without each point."""
    variance = 0.0
    without_x = [_naive(np.delete(x, i, 0), y) for i in range(len(x))]
    without_y = [_naive(x, np.delete(y, i, 0)) for i in range(len(y))]
    for found in (without_x, without_y):
        variance += (len(found) - 1) / len(found) * sum((value - np.mean(found)) ** 2 for value in found)
    return math.sqrt(variance)


def _normal(stream: str, n: int, d: int = 1) -> torch.Tensor:
    return torch.randn(n, d, generator=make_rng(0, stream), dtype=torch.float64)


@given(st.integers(0, 10**6))
def test_the_distance_and_its_error_are_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 5))
    x = rng.normal(size=(int(rng.integers(3, 6)), d)) * rng.uniform(0.3, 2)
    y = rng.normal(size=(int(rng.integers(3, 6)), d)) + rng.normal(size=d)
    found = kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert math.isclose(found.value, _naive(x, y), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(found.stderr, _naive_stderr(x, y), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_it_is_unbiased_and_a_shift_costs_what_the_moments_say(shift: float) -> None:
    """In one dimension ``(ab + 1)^3`` compares moments: MMD^2 is 3, 3 and 1 times the squares of their differences.

    Of N(0, 1) and N(s, 1) the first three differ by s, s^2 and 3 s + s^3.
    """
    sets, truth = 300, 3 * shift**2 + 3 * shift**4 + (3 * shift + shift**3) ** 2
    found = [kernel_distance(_normal(f"x{i}", 40), _normal(f"y{i}", 30) + shift) for i in range(sets)]
    values = np.array([each.value for each in found])
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(sets)
    assert (values < 0).any() == (shift == 0), "the estimate is not cut off at 0"


def test_the_standard_error_is_that_of_new_sets() -> None:
    """Accurate if the sets differ; if not, the distance is a mean over pairs alone, which doubles the variance."""
    sets = 200
    for shift, ratio in ((1.0, 1.0), (0.0, math.sqrt(2))):
        found = [kernel_distance(_normal(f"x{i}", 80, 3), _normal(f"y{i}", 60, 3) + shift) for i in range(sets)]
        spread = np.std([each.value for each in found])
        claimed = math.sqrt(np.mean([each.stderr**2 for each in found]))
        assert abs(claimed / spread - ratio) < 0.2 * ratio


def test_neither_order_nor_side_nor_blocks_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _normal("x", 50, 4), _normal("y", 41, 4) * 1.5
    found = kernel_distance(x, y)
    order = torch.randperm(50, generator=make_rng(0, "order"))
    others = [kernel_distance(y, x), kernel_distance(x[order], y.flip(0))]
    monkeypatch.setattr(distances, "ROWS", 7)
    for other in [*others, kernel_distance(x, y)]:
        assert math.isclose(other.value, found.value, rel_tol=1e-9)
        assert math.isclose(other.stderr, found.stderr, rel_tol=1e-9)


def test_what_no_point_varies_has_no_error() -> None:
    """Two points: (1 + 1)^3 + (4 + 1)^3 - 2 (2 + 1)^3."""
    found = kernel_distance(torch.ones(5, 1), torch.full((4, 1), 2.0))
    assert (found.value, found.stderr) == (8 + 125 - 54, 0)


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.zeros(5), torch.full((4, 3), float("nan")), torch.zeros(4, 2)])
@pytest.mark.wrong_shape
def test_features_that_have_no_distance_are_refused(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="features"):
        kernel_distance(x, torch.zeros(5, 3))
