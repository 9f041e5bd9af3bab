"""What was worked out lately for one visitor, so that it need not be worked out again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memory:
    """What has been worked out lately, for one visitor.

    Args:
        capacity: How many things at most, 1 or more.
    """

    def __init__(self, capacity: int = 12) -> None:
        self._capacity, self._values = capacity, OrderedDict[Hashable, Any]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under a key, made if it is not there; a key stands for one kind of thing."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)
        value: T = self._values[key]
        return value
