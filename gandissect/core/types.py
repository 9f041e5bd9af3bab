"""The values that the toolkit passes around: frozen, validated on creation, with tensors on the CPU.

Axis names used everywhere: ``batch unit h w`` (a layer's grid), ``batch 3 H W`` (images), ``batch H W`` (labels),
``concept unit`` (a table of scores).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from .display import MAX_REPR
from .lookup import lookup

UNLABELED = -1
"""Label of a pixel that belongs to no concept."""


def check_type(name: str, value: object, kind: type | tuple[type, ...], remedy: str = "") -> None:
    """Check the type of an argument, so that a wrong type fails early and clearly.

    Args:
        name: Name of the argument.
        value: Value of the argument.
        kind: The allowed class or classes.
        remedy: Hint for the message: what to do instead, or how to make the argument.

    Raises:
        TypeError: If the value has another type; the message names both types.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        allowed = " or ".join(cls.__name__ for cls in kinds)
        raise TypeError(
            f"{name} must be of type {allowed}; got {type(value).__name__}" + (f"; {remedy}" if remedy else "")
        )


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept that a segmenter can label.

    Args:
        index: Value in a label map, at least 0.
        name: Name, e.g. ``"tree"``.
        color: Red, green and blue, each from 0 to 255.
        category: Kind of concept, e.g. ``"object"``, ``"part"``, ``"material"``, ``"color"``.
    """

    index: int
    name: str
    color: tuple[int, int, int]
    category: str = "object"

    def __post_init__(self) -> None:
        numbers = (self.index, *self.color)
        has_names = isinstance(self.name, str) and isinstance(self.category, str)
        if not has_names or any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
            raise ValueError(
                f"index and color of a concept must be integers, and its name and category strings; got {self}"
            )
        if self.index < 0:
            raise ValueError(f"the index of concept {self.name!r} must be at least 0; got {self.index}")
        if not self.name or not self.category:
            raise ValueError(f"concept {self.index} must have a name and a category; got {self}")
        if len(self.color) != 3 or not all(0 <= c <= 255 for c in self.color):
            raise ValueError(
                f"the color of concept {self.name!r} must be three numbers from 0 to 255; got {self.color!r}"
            )

    @property
    def hex(self) -> str:
        """Color as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)


def check_concepts(concepts: Sequence[Concept]) -> None:
    """Check that concepts are numbered consecutively and have unique names.

    Raises:
        ValueError: If there are no concepts, they are not numbered 0, 1, 2, ..., or two have the same name.
    """
    indices = [concept.index for concept in concepts]
    if indices != list(range(len(indices))) or not indices:
        raise ValueError(f"concepts must be numbered 0, 1, 2, ... in order; got {indices}")
    names = [concept.name for concept in concepts]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names of concepts must be unique; two are called {repeated!r}")


def concept_index(concepts: Sequence[Concept], name: str) -> int:
    """Return a concept's index, which is its row in tables and its value in label maps.

    Args:
        concepts: Concepts of a segmenter.
        name: Name of the concept.

    Raises:
        KeyError: If no concept has that name; the message suggests the nearest one.
    """
    return lookup({concept.name: concept.index for concept in concepts}, name, "concept")


def categories(concepts: Sequence[Concept]) -> tuple[str, ...]:
    """Return the distinct categories of some concepts, in order of first appearance."""
    return tuple(dict.fromkeys(concept.category for concept in concepts))


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """Shape of a layer's activations for one sample.

    Args:
        units: Number of units (channels).
        height: Number of rows of the layer's grid.
        width: Number of columns of the layer's grid.
    """

    units: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.units, self.height, self.width) < 1:
            raise ValueError(f"a layer must have at least one unit, row and column; got {self}")


@dataclass(frozen=True, slots=True, repr=False)
class UnitSet:
    """Units of one layer, best first.

    Args:
        layer: Name of the layer.
        units: Channel indices without duplicates.

    Raises:
        TypeError: If an index is not an integer.
        ValueError: If an index is negative or listed twice.

    Examples:
        >>> from gandissect import UnitSet
        >>> units = UnitSet("layer4", (12, 3, 40))
        >>> len(units), units.top(2)
        (3, UnitSet(layer='layer4', units=(12, 3)))
    """

    layer: str
    units: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            if any(isinstance(unit, bool) for unit in self.units):
                raise TypeError
            units = tuple(operator.index(unit) for unit in self.units)  # also NumPy and torch integers
        except TypeError as error:
            raise TypeError(f"units of {self.layer!r} must be integers; got {self.units!r}") from error
        object.__setattr__(self, "units", units)
        if len(set(self.units)) != len(self.units):
            raise ValueError(f"units of {self.layer!r} must not be listed more than once; got {self.units}")
        if any(unit < 0 for unit in self.units):
            raise ValueError(f"units of {self.layer!r} must be nonnegative channel indices; got {self.units}")

    @staticmethod
    def check(units: object) -> None:
        """Raise TypeError if an argument is not a `UnitSet`."""
        check_type("units", units, UnitSet, "pass UnitSet(layer, units), or the result of units_for or of a ranking")

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        text = f"UnitSet(layer={self.layer!r}, units={self.units})"
        if len(text) <= MAX_REPR:
            return text
        return f"UnitSet(layer={self.layer!r}, {len(self)} units: {', '.join(map(str, self.units[:8]))}, ...)"

    def top(self, count: int) -> UnitSet:
        """Return the first ``count`` units."""
        return UnitSet(self.layer, self.units[:count])
