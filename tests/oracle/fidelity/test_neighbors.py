from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from gandissect.core.sampling import make_rng
from gandissect.fidelity import neighbors
from gandissect.fidelity.neighbors import density_coverage, nearest_ratio, precision_recall, realism


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _normal(stream: str, n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=make_rng(0, stream), dtype=torch.float64)


def _radius(points: np.ndarray, i: int, k: int) -> float:
    return sorted(float(np.sqrt(((points[i] - points[j]) ** 2).sum())) for j in range(len(points)) if j != i)[k - 1]


def _balls_with(points: np.ndarray, where: np.ndarray, k: int) -> list[int]:
    """The points whose balls contain a place."""
    return [i for i in range(len(points)) if np.sqrt(((points[i] - where) ** 2).sum()) <= _radius(points, i, k)]


def _naive(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, literally by their definitions."""
    around_fake = [_balls_with(real, y, k) for y in fake]
    around_real = [_balls_with(fake, x, k) for x in real]
    precision = sum(1 for balls in around_fake if balls) / len(fake)
    recall = sum(1 for balls in around_real if balls) / len(real)
    density = sum(len(balls) for balls in around_fake) / (k * len(fake))
    reached = {ball for balls in around_fake for ball in balls}
    return precision, recall, density, len(reached) / len(real)


def _found(real: torch.Tensor, fake: torch.Tensor, k: int) -> tuple[float, float, float, float]:
    shares, balls = precision_recall(real, fake, k), density_coverage(real, fake, k)
    return shares.precision, shares.recall, balls.density, balls.coverage


@given(st.integers(0, 10**6))
def test_the_four_figures_are_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    real = rng.normal(size=(int(rng.integers(k + 1, 14)), d))
    fake = rng.normal(size=(int(rng.integers(k + 1, 14)), d)) * rng.uniform(0.3, 2) + rng.normal(size=d)
    expected = _naive(real, fake, k)
    assert np.allclose(_found(torch.from_numpy(real), torch.from_numpy(fake), k), expected, rtol=1e-12)


def test_on_a_line_they_can_be_counted_by_hand() -> None:
    """Balls of 0, 1, 3, 10 for k = 1 have radii 1, 1, 2, 7; those of 0.5, 2, 20 have 1.5, 1.5, 18."""
    real, fake = _column(0, 1, 3, 10), _column(0.5, 2, 20)
    found = precision_recall(real, fake, k=1)
    assert found.precision == 2 / 3, "20 is beyond all"
    assert found.recall == 4 / 4, "the ball of 20 reaches to 2, and holds 3 and 10"
    assert precision_recall(real, _column(0.5, 2), k=1).recall == 3 / 4, "10 is left"
    balls = density_coverage(real, fake, k=1)
    assert balls.density == (2 + 2 + 0) / 3, "0.5 lies in the balls of 0 and 1; 2 lies on the edge of 1's and in 3's"
    assert balls.coverage == 3 / 4, "that of 10 ends at 3"


def test_the_k_of_the_papers_are_the_defaults() -> None:
    real, fake = _normal("real", 40, 3), _normal("fake", 30, 3)
    assert precision_recall(real, fake) == precision_recall(real, fake, 3) != precision_recall(real, fake, 1)
    assert density_coverage(real, fake) == density_coverage(real, fake, 5) != density_coverage(real, fake, 1)


def test_a_set_covers_itself_and_nothing_far_away() -> None:
    x = _normal("x", 60, 4)
    itself, far = _found(x, x, 3), _found(x, x + 1000, 3)
    assert (itself[0], itself[1], itself[3]) == (1, 1, 1)
    assert itself[2] > 1, "each point is in its own ball and in some others"
    assert far == (0, 0, 0, 0)


def test_fakes_on_one_real_picture_are_precise_but_show_little() -> None:
    """One point repeated: all are in the region, and all balls have radius 0."""
    real = _column(0, 1, 2, 3, 4, 5, 6, 7)
    found = _found(real, _column(*[3.0] * 6), k=1)
    assert found == (1, 1 / 8, 3, 3 / 8)


def test_of_one_distribution_density_is_1_and_coverage_what_combinatorics_say() -> None:
    """Of n + m - 1 exchangeable others, the k nearest are all real with probability prod (n - i) / (n + m - i), i = 1 .. k.

    Source: Naeem et al. 2020, Sec. 3.3.
    """
    n, m, k, sets = 60, 40, 3, 100
    found = [density_coverage(_normal(f"r{i}", n, 2), _normal(f"f{i}", m, 2), k) for i in range(sets)]
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    for values, truth in (([each.density for each in found], 1.0), ([each.coverage for each in found], expected)):
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / math.sqrt(sets)


@given(st.integers(0, 10**6))
def test_neither_order_nor_unit_nor_place_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, fake, other = (torch.from_numpy(rng.integers(-50, 50, size=(n, 3)).astype(float)) for n in (20, 15, 20))
    order_real, order_fake = (torch.from_numpy(rng.permutation(n)) for n in (20, 15))
    changed = [each * 4 + 8 for each in (real[order_real], fake[order_fake], other[order_real])]
    assert _found(real, fake, 2) == _found(changed[0], changed[1], 2)
    assert math.isclose(nearest_ratio(fake, real, other), nearest_ratio(changed[1], changed[0], changed[2]))


def test_cutting_into_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, other = _normal("real", 50, 3), _normal("fake", 41, 3), _normal("other", 50, 3)
    whole, deep = (_found(real, fake, 3), nearest_ratio(fake, real, other)), realism(real, fake)
    monkeypatch.setattr(neighbors, "ROWS", 7)
    assert torch.equal(realism(real, fake), deep)
    assert (_found(real, fake, 3), nearest_ratio(fake, real, other)) == whole


@given(st.integers(0, 10**6))
def test_the_ratio_is_that_of_the_medians(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fake, train, held_out = (rng.normal(size=(int(rng.integers(1, 12)), 2)) for _ in range(3))

    def median(others: np.ndarray) -> float:
        return float(np.median([min(np.linalg.norm(y - x) for x in others) for y in fake]))

    found = nearest_ratio(*(torch.from_numpy(each) for each in (fake, train, held_out)))
    assert math.isclose(found, median(train) / median(held_out), rel_tol=1e-12)


def test_copies_of_training_pictures_have_ratio_0_and_fresh_ones_about_1() -> None:
    train, held_out, fresh = (_normal(name, 400, 3) for name in ("train", "held out", "fresh"))
    assert nearest_ratio(train[:100], train, held_out) == 0
    assert nearest_ratio(train[:100] + 1e9, train + 1e9, held_out + 1e9) == 0, "however far from the origin"
    assert nearest_ratio(train[:100] + 1e-3, train, held_out) < 0.02
    assert 0.9 < nearest_ratio(fresh, train, held_out) < 1.1
    assert nearest_ratio(fresh, torch.cat([train, _normal("more", 8000, 3)]), held_out) < 0.5, (
        "many are nearer than few"
    )


def test_the_ratio_of_places_that_are_all_the_same_is_1_and_of_held_out_ones_infinite() -> None:
    same = torch.zeros(6, 2)
    assert nearest_ratio(same, same, same) == 1
    assert nearest_ratio(same, same + 1, same) == math.inf


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(9), torch.zeros(9, 3), r"same d; got \[9\], \[9, 3\]"),
        (torch.zeros(9, 2), torch.zeros(9, 3), "same d"),
        (torch.zeros(9, 3), torch.zeros(0, 3), "at least 1"),
        (torch.zeros(9, 3), torch.full((9, 3), float("inf")), "must be finite"),
        (torch.full((9, 3), float("nan")), torch.zeros(9, 3), "must be finite"),
    ],
)
@pytest.mark.wrong_shape
def test_features_that_cannot_be_compared_are_refused(x: torch.Tensor, y: torch.Tensor, message: str) -> None:
    for compare in (precision_recall, density_coverage, lambda x, y: nearest_ratio(x, y, y)):
        with pytest.raises(ValueError, match=message):
            compare(x, y)


def test_a_k_without_neighbors_is_refused() -> None:
    few, many = _normal("few", 4, 2), _normal("many", 9, 2)
    for k in (0, -1, 4):
        for compare in (precision_recall, density_coverage):
            with pytest.raises(ValueError, match=f"below the number of points, 4; got {k}"):
                compare(few, many, k)
    with pytest.raises(ValueError, match="number of points, 4; got 4"):
        precision_recall(many, few, 4)
    assert density_coverage(many, few, 4).coverage > 0, "only real pictures have balls"


def _naive_realism(real: np.ndarray, fake: np.ndarray, k: int) -> list[float]:
    """The smaller half of the balls, including ties with the largest of them; the deepest ball counts."""
    radii = [_radius(real, i, k) for i in range(len(real))]
    largest = sorted(radii)[(len(radii) - 1) // 2]
    found = []
    for y in fake:
        ratios = []
        for x, radius in zip(real, radii, strict=True):
            distance = float(np.sqrt(((x - y) ** 2).sum()))
            if radius <= largest:
                ratios.append(radius / distance if distance > 0 else math.inf)
        found.append(max(ratios))
    return found


@given(st.integers(0, 10**6))
def test_realism_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    real = rng.normal(size=(int(rng.integers(k + 1, 14)), d))
    fake = np.concatenate([rng.normal(size=(int(rng.integers(1, 9)), d)) * 2, real[:1], real[-1:]])
    found = realism(torch.from_numpy(real).float(), torch.from_numpy(fake).float(), k)
    assert found.dtype == torch.float64
    expected = _naive_realism(real.astype(np.float32).astype(float), fake.astype(np.float32).astype(float), k)
    assert np.allclose(found, expected, rtol=1e-12)


def test_realism_on_a_line_can_be_worked_out_by_hand() -> None:
    """Balls of 0, 1, 3, 10 for k = 1 have radii 1, 1, 2, 7: the first two count, and 10 itself is no longer realistic."""
    found = realism(_column(0, 1, 3, 10), _column(0.5, 3, 5, 10, 0), k=1)
    assert found.tolist() == [2, 1 / 2, 1 / 4, 1 / 9, math.inf]


def test_a_place_of_many_real_pictures_is_realistic_though_its_balls_have_no_extent() -> None:
    assert realism(_column(2, 2, 2, 9), _column(2, 2.5), k=1).tolist() == [math.inf, 0]


def test_realism_is_one_or_more_in_a_ball_and_knows_no_unit() -> None:
    real, fake = _normal("real", 40, 3), _normal("fake", 200, 3) * 1.5
    found = realism(real, fake)
    assert torch.allclose(realism(real * 4 + 8, fake * 4 + 8), found)
    radii = [_radius(real.numpy(), i, 3) for i in range(40)]
    counts = [i for i in range(40) if radii[i] <= sorted(radii)[19]]
    inside = [any(np.linalg.norm(real[i] - y) <= radii[i] for i in counts) for y in fake]
    assert (found >= 1).tolist() == inside
    assert 0 < sum(inside) < 200
