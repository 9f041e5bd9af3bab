"""The values that the toolkit passes around: frozen, checked when made, tensors on CPU and never written to.

Axis names used everywhere: ``batch unit h w`` (a layer's grid), ``batch 3 H W`` (an image),
``batch H W`` (labels), ``concept unit`` (a table of scores).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from .lookup import lookup

UNLABELED = -1
"""The label of a pixel that belongs to no concept."""


def check_type(name: str, value: object, kind: type | tuple[type, ...], remedy: str = "") -> None:
    """Check that an argument is of a kind, before something less clear goes wrong.

    Args:
        name: Name of the argument.
        value: What was given.
        kind: The class, or the classes of which one is wanted.
        remedy: What to do instead, or how the argument is made.

    Raises:
        TypeError: If it is of another kind, naming both.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(one.__name__ for one in kinds)
        raise TypeError(
            f"{name} must be of type {wanted}; got {type(value).__name__}" + (f"; {remedy}" if remedy else "")
        )


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that a segmenter names.

    Args:
        index: Its value in a label map, 0 or more.
        name: Its name, e.g. ``"tree"``.
        color: Red, green, blue, each 0-255.
        category: What kind of thing it is, e.g. ``"object"``, ``"part"``, ``"material"``, ``"color"``.
    """

    index: int
    name: str
    color: tuple[int, int, int]
    category: str = "object"

    def __post_init__(self) -> None:
        numbers = (self.index, *self.color)
        named = isinstance(self.name, str) and isinstance(self.category, str)
        if not named or any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
            raise ValueError(f"a concept has a whole number, a name and a color of whole numbers; got {self}")
        if self.index < 0:
            raise ValueError(f"concept {self.name!r} has index {self.index}; an index is 0 or more")
        if not self.name or not self.category:
            raise ValueError(f"concept {self.index} has no name, or no category")
        if len(self.color) != 3 or not all(0 <= c <= 255 for c in self.color):
            raise ValueError(f"concept {self.name!r} has color {self.color!r}; give three numbers from 0 to 255")

    @property
    def hex(self) -> str:
        """The color as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)


def check_concepts(concepts: Sequence[Concept]) -> None:
    """Check that concepts can be the rows of a table and be asked for by name.

    Raises:
        ValueError: If there are none, they are not numbered 0, 1, 2, ... or two have one name.
    """
    indices = [concept.index for concept in concepts]
    if indices != list(range(len(indices))) or not indices:
        raise ValueError(f"concepts are numbered 0, 1, 2, ... in order; got {indices}")
    names = [concept.name for concept in concepts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two concepts are called {twice!r}; a name stands for one")


def concept_index(concepts: Sequence[Concept], name: str) -> int:
    """Return the index of a concept, which is its row in tables and its value in label maps.

    Args:
        concepts: What a segmenter names.
        name: The concept's name.

    Raises:
        KeyError: If no concept has that name, with the nearest match.
    """
    return lookup({concept.name: concept.index for concept in concepts}, name, "concept")


def categories(concepts: Sequence[Concept]) -> tuple[str, ...]:
    """Return the concepts' categories, each once, in the order in which they are first met."""
    return tuple(dict.fromkeys(concept.category for concept in concepts))


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """The shape of a layer's activations for one sample.

    Args:
        units: Channels.
        height: Rows of the layer's grid.
        width: Columns of the layer's grid.
    """

    units: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.units, self.height, self.width) < 1:
            raise ValueError(f"a layer has at least one unit, row and column; got {self}")


@dataclass(frozen=True, slots=True)
class UnitSet:
    """Some units of one layer, in a meaningful order (best first).

    Args:
        layer: The layer's name.
        units: Channel indices, each once.

    Raises:
        TypeError: If one is no whole number.
        ValueError: If one is negative or listed twice.
    """

    layer: str
    units: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            if any(isinstance(unit, bool) for unit in self.units):
                raise TypeError
            units = tuple(operator.index(unit) for unit in self.units)  # of NumPy and torch, too
        except TypeError as error:
            raise TypeError(f"units of {self.layer!r} are whole numbers; got {self.units!r}") from error
        object.__setattr__(self, "units", units)
        if len(set(self.units)) != len(self.units):
            raise ValueError(f"units of {self.layer!r} are listed more than once: {self.units}")
        if any(unit < 0 for unit in self.units):
            raise ValueError(f"units of {self.layer!r} are channel indices, 0 or more; got {self.units}")

    @staticmethod
    def check(units: object) -> None:
        """Raise TypeError if an argument that must be a set of units is of another type."""
        check_type("units", units, UnitSet, "give UnitSet(layer, units), or what units_for or a ranking returns")

    def __len__(self) -> int:
        return len(self.units)

    def top(self, count: int) -> UnitSet:
        """Return the first ``count`` units."""
        return UnitSet(self.layer, self.units[:count])
