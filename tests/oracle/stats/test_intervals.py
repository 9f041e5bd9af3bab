"""Intervals and quantiles against the definitions, computed by mpmath to 30 digits."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from gandissect.stats import Change, student_t_quantile, wilson_interval
from gandissect.stats.intervals import Z_95
from gandissect.stats.significance import LARGE_DEGREES, student_t_critical_values


def _tail(t: float, degrees: int) -> mpmath.mpf:
    """The probability that Student's t exceeds t > 0: half a regularized incomplete beta function."""
    return (
        mpmath.betainc(mpmath.mpf(degrees) / 2, 0.5, 0, degrees / (degrees + mpmath.mpf(t) ** 2), regularized=True) / 2
    )


@pytest.mark.parametrize("degrees", [1, 2, 9, 199, 256, 9_999])
def test_quantiles_of_student_are_where_its_tail_is(degrees: int) -> None:
    for probability in (0.6, 0.975, 1 - 0.05 / 40, 0.9999):
        quantile = student_t_quantile(probability, degrees)
        assert float(_tail(quantile, degrees)) == pytest.approx(1 - probability, rel=1e-9)
        assert student_t_quantile(1 - probability, degrees) == pytest.approx(-quantile, rel=1e-9)


def test_of_very_many_degrees_the_quantile_is_normal_but_for_a_trifle() -> None:
    assert student_t_quantile(0.975, 10**7) == student_t_quantile(0.975, LARGE_DEGREES)
    assert Z_95 < student_t_quantile(0.975, LARGE_DEGREES) < 1.0004 * Z_95


def test_critical_values_are_quantiles() -> None:
    table = student_t_critical_values(0.025, 40)
    assert table.tolist() == pytest.approx([student_t_quantile(0.975, degrees) for degrees in range(1, 41)], rel=1e-9)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_what_has_no_quantile_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match=r"in \(0, 1\) and degrees at least 1"):
        student_t_quantile(probability, degrees)


def test_a_change_has_the_interval_of_a_paired_t_test() -> None:
    change = Change.of(torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64))
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) * math.sqrt(7 / 3)  # the first factor is t of 2 degrees at 0.975
    assert (change.mean, change.low, change.high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-12)


def test_wilson_holds_the_shares_that_a_z_test_does_not_reject() -> None:
    """The interval's ends are where |k / n - p| is z standard errors under p."""
    for successes, trials in ((3, 10), (250, 512), (1, 7)):
        for share in wilson_interval(successes, trials):
            stderr = math.sqrt(share * (1 - share) / trials)
            assert abs(successes / trials - share) == pytest.approx(Z_95 * stderr, rel=1e-12)
    assert np.isclose(Z_95, float(mpmath.sqrt(2) * mpmath.erfinv(0.95)), rtol=1e-14)
