"""Checking numbers that users give, with an error that names the number and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers that are allowed; a number that is not finite never is.

    Args:
        low: Least number.
        high: Greatest number.
        whole: Whether only whole numbers are allowed.
        above: Whether ``low`` itself is left out.
        below: Whether ``high`` itself is left out.
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
        kind = "a whole number" if self.whole else "a number"
        if math.isfinite(self.high):
            return f"{kind} in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"
        if math.isinf(self.low):
            return kind
        return f"{kind} above {self.low}" if self.above else f"{kind}, {self.low} or more"


POSITIVE = Range(1, whole=True)
"""Counts of which there is at least one."""


def check_number(name: str, value: object, allowed: Range) -> None:
    """Check a number.

    Args:
        name: What the number is called, e.g. ``"batch_size"``.
        value: The number that was given.
        allowed: The numbers that are allowed.

    Raises:
        ValueError: Naming the number, what is allowed and what was given.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be {allowed}; got {value!r}")


def check_settings(settings: object, allowed: Mapping[str, Range]) -> None:
    """Check numbers that are attributes of settings and options of a command.

    Args:
        settings: Object with the numbers.
        allowed: The numbers that are allowed, by attribute.

    Raises:
        ValueError: Naming the attribute with its option, what is allowed and what was given.
    """
    for name, numbers in allowed.items():
        check_number(f"{name} (--{name.replace('_', '-')})", getattr(settings, name), numbers)
