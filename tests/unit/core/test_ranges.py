from __future__ import annotations

import math
from fractions import Fraction

import pytest

from gandissect.core.ranges import POSITIVE, Range, check_number

VALUES = [-math.inf, -1, -1e-9, 0, 0.0, 1e-9, 0.5, 1, 1.0, 1 + 1e-9, 2, 10**400, math.inf]


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("below", [False, True])
def test_an_interval_has_its_ends_unless_they_are_left_out(above: bool, below: bool) -> None:
    """By exact fractions: a number is in the interval if it is not below, not above, and not an end that is left out."""
    allowed = Range(0, 1, above=above, below=below)
    for value in VALUES:
        finite = isinstance(value, int) or math.isfinite(value)
        exact = Fraction(value) if finite else None
        inside = exact is not None and not (exact < 0 or exact > 1 or (above and exact == 0) or (below and exact == 1))
        assert (value in allowed) == inside, value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", None, [1], 1j])
def test_what_is_no_finite_number_is_in_no_range(value: object) -> None:
    assert value not in Range()
    assert value not in Range(whole=True)


def test_whole_numbers_are_not_floats() -> None:
    assert [value in POSITIVE for value in (0, 1, 1.0, 10**30, -1)] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Range(0, 1, above=True), "a number in (0, 1]"),
        (Range(0, 1, below=True), "a number in [0, 1)"),
        (Range(2, 8, whole=True), "an integer in [2, 8]"),
        (Range(2, whole=True), "an integer of at least 2"),
        (Range(0, above=True), "a number above 0"),
        (Range(whole=True), "an integer"),
    ],
)
def test_an_error_says_name_range_and_value(allowed: Range, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        check_number("rate", math.nan, allowed)
    assert str(refusal.value) == f"rate must be {words}; got nan"
