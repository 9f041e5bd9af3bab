"""A small cache of one visitor's recent results."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memory:
    """A cache of one visitor's recent results, which drops the least recently used one.

    Args:
        capacity: Maximum number of results, at least 1.
    """

    def __init__(self, capacity: int = 12) -> None:
        self._capacity, self._values = capacity, OrderedDict[Hashable, Any]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, computed if it is missing; a key must always have the same type of value."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)
        value: T = self._values[key]
        return value
