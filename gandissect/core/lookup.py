"""Look things up by name, with helpful errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, get_args

T = TypeVar("T")
MAX_LISTED = 60
"""Largest number of known names that a message lists."""


def unknown_name_message(kind: str, name: str, known: Iterable[str], *, limit: int = MAX_LISTED) -> str:
    """Return a message that a name is unknown, with the nearest name and the first known names.

    Args:
        kind: Kind of thing that has the name, e.g. ``"layer"``.
        name: The unknown name.
        known: Names that exist.
        limit: Largest number of known names that the message lists.
    """
    names = list(known)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names[:limit]) or 'none'}{more}"


def lookup(mapping: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``mapping[name]``.

    Raises:
        KeyError: If there is no such name; the message suggests the nearest one and lists known names.
    """
    if not isinstance(name, str) or name not in mapping:
        raise KeyError(unknown_name_message(kind, name, mapping))
    return mapping[name]


class NamedChoices(Mapping[str, T]):
    """A mapping whose KeyError suggests the nearest name and lists all known names.

    Args:
        kind: Kind of the values, e.g. ``"architecture"``.
        choices: Values by name.
    """

    def __init__(self, kind: str, choices: Mapping[str, T]) -> None:
        self._kind, self._choices = kind, dict(choices)

    def __getitem__(self, name: str) -> T:
        return lookup(self._choices, name, self._kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind!r}, {self._choices!r})"


def unique_names(names: Sequence[str] | str) -> tuple[str, ...]:
    """Return a name or several as a tuple, in order and without duplicates.

    Raises:
        TypeError: If ``names`` is neither a string nor iterable.
    """
    if not isinstance(names, Iterable):
        raise TypeError(f"names must be a string or a list of strings; got {names!r}")
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def check_choice(value: str, choices: object, kind: str) -> None:
    """Check that a value is one of a ``Literal`` type.

    Args:
        value: Value to check.
        choices: The ``Literal`` type, e.g. ``Literal["edge", "zeros"]``.
        kind: Name of the option, e.g. ``"padding"``.

    Raises:
        KeyError: If the value is not a choice; the message suggests the nearest one and lists all of them.
    """
    known = get_args(choices)
    if not isinstance(value, str):
        raise KeyError(f"{kind} must be one of {', '.join(known)}; got {value!r}")
    lookup(dict.fromkeys(known), value, kind)
