"""Looking things up by name, with an error that helps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, get_args

T = TypeVar("T")


def unknown_name_message(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, which one was perhaps meant, and which exist.

    Args:
        kind: The kind of thing, e.g. ``"layer"``.
        name: The name that was given.
        known: The names that exist.
    """
    names = list(known)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names) or 'none'}"


def lookup(mapping: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``mapping[name]``.

    Raises:
        KeyError: Naming the nearest match and every known name.
    """
    if not isinstance(name, str) or name not in mapping:
        raise KeyError(unknown_name_message(kind, name, mapping))
    return mapping[name]


class NamedChoices(Mapping[str, T]):
    """A mapping whose KeyError names the nearest match and every known name.

    Args:
        kind: The kind of thing, e.g. ``"architecture"``.
        choices: The things by name.
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
    """Return names, of which one may be given by itself, each once and in their order.

    Raises:
        TypeError: If they are neither a text nor several.
    """
    if not isinstance(names, Iterable):
        raise TypeError(f"names must be a text or a list of texts; got {names!r}")
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def check_choice(value: str, choices: object, kind: str) -> None:
    """Check that a value is one of a ``Literal`` type.

    Args:
        value: The value.
        choices: The type, e.g. ``Literal["edge", "zeros"]``.
        kind: What is chosen, e.g. ``"padding"``.

    Raises:
        KeyError: Naming the nearest match and every choice.
    """
    known = get_args(choices)
    if not isinstance(value, str):
        raise KeyError(f"{kind} must be one of {', '.join(known)}; got {value!r}")
    lookup(dict.fromkeys(known), value, kind)
