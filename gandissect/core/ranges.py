"""Check numeric arguments, with errors that state the number and the allowed range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """A range of allowed numbers; NaN and infinite numbers are never allowed.

    Args:
        low: Lower bound.
        high: Upper bound.
        whole: Allow integers only.
        above: Exclude ``low`` itself.
        below: Exclude ``high`` itself.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return (
            -math.inf < value < math.inf
            and (self.low < value or (value == self.low and not self.above))
            and (value < self.high or (value == self.high and not self.below))
        )

    def __str__(self) -> str:
        kind = "an integer" if self.whole else "a number"
        if math.isfinite(self.high):
            return f"{kind} in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"
        if math.isinf(self.low):
            return kind
        return f"{kind} above {self.low}" if self.above else f"{kind} of at least {self.low}"


POSITIVE = Range(1, whole=True)
"""Integers of at least 1."""


def check_number(name: str, value: object, allowed: Range) -> None:
    """Check that a number is in a range.

    Args:
        name: Name of the argument, e.g. ``"batch_size"``.
        value: Number to check.
        allowed: Range of allowed numbers.

    Raises:
        ValueError: If the number is not allowed; the message states the argument, the range and the number.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be {allowed}; got {value!r}")


def check_settings(settings: object, allowed: Mapping[str, Range]) -> None:
    """Check numbers that are attributes of a settings object and also command-line options.

    Args:
        settings: Object with the numbers as attributes.
        allowed: Ranges of allowed numbers by attribute.

    Raises:
        ValueError: If a number is not allowed; the message states the attribute, its option, the range and the number.
    """
    for name, numbers in allowed.items():
        check_number(f"{name} (--{name.replace('_', '-')})", getattr(settings, name), numbers)
