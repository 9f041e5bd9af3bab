"""The values that a checkpoint is read as, and the limits of reading.

Nothing here is a class of the file: what a file says is an object of some class becomes a `Record` of its name and
its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

MAX_OPCODES = 300_000
"""Steps of all pickles of a file together, and values in it; the largest known checkpoints take a third."""

MAX_DEPTH = 100
"""How deep the values of a file may be nested."""

MAX_COPIES = 4
"""The tensors and texts of a file may take so many times its bytes, where several share memory."""

MAX_NAME = 500
"""Characters of a key, or of anything else that is compared with others."""

MAX_TEXT = 2**20
"""Characters of any other text."""

MAX_KEY = 2**60
"""Bound of whole numbers that are keys; of larger ones, any number can have the same hash."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says of an object of a class that is not known here, or not made here.

    Args:
        name: The class, as the file names it.
        state: Its attributes.
        source_hash: SHA-256 of the source text that came with it, hexadecimal; empty where none did.
    """

    name: str
    state: Mapping[str, Any]
    source_hash: str = ""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A global that a pickle names; it is looked up in a closed table and nowhere else."""

    name: str


@dataclass(slots=True, eq=False)
class Instance:
    """An object while it is read: a pickle makes it first and gives it its state later."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)
    source_hash: str = ""


@dataclass(slots=True, eq=False)
class Array:
    """A NumPy array while it is read; ``tensor`` is there once its state is."""

    tensor: Tensor | None = None


@dataclass(slots=True, eq=False)
class DtypeCode:
    """A NumPy dtype while it is read, such as ``<f4``."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class Storage:
    """The numbers that tensors are views of, ``[n]``."""

    numbers: Shaped[Tensor, " n"]


class Budget:
    """What reading a file may still cost.

    Args:
        num_bytes: The size of the file.
    """

    def __init__(self, num_bytes: int) -> None:
        self.opcodes, self.bytes, self.nodes = MAX_OPCODES, MAX_COPIES * num_bytes + 2**20, MAX_OPCODES
        self.hashes: dict[int, tuple[str, str]] = {}

    def step(self, count: int = 1) -> None:
        """Count steps of a pickle.

        Raises:
            ValueError: If there were too many.
        """
        self.opcodes -= count
        if self.opcodes < 0:
            raise ValueError(f"it takes more than {MAX_OPCODES:,} steps to read")

    def node(self, depth: int, count: int = 1) -> None:
        """Count values, at a depth.

        Raises:
            ValueError: If there are too many, or it is too deep.
        """
        self.nodes -= count
        if self.nodes < 0:
            raise ValueError(f"it holds more than {MAX_OPCODES:,} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"its values are nested deeper than {MAX_DEPTH}, or hold themselves")

    def spend(self, num_bytes: int) -> None:
        """Count memory before it is taken.

        Raises:
            ValueError: If it is negative, or more than such a file can need.
        """
        self.bytes -= num_bytes
        if num_bytes < 0 or self.bytes < 0:
            raise ValueError(f"its tensors and texts take more than {MAX_COPIES} times the bytes of the file")


def check_key(key: Any) -> Any:
    """Return what a pickle has for a key, if it takes no time to hash it and to compare it with others.

    Raises:
        ValueError: If it is no number and no text, or too long.
    """
    if not isinstance(key, str | int | float | bytes | None | GlobalName):
        kind = f"a value of type {type(key).__name__}"
        raise ValueError(f"the pickle has {kind} for a key; keys are numbers and texts")
    if isinstance(key, str | bytes) and len(key) > MAX_NAME:
        raise ValueError(f"the pickle has a text of {len(key)} characters for a key; at most {MAX_NAME} are read")
    if isinstance(key, int) and abs(key) >= MAX_KEY:
        raise ValueError("the pickle has a whole number of more than 60 bits for a key")
    return key


def make_printable(text: str, limit: int = 1000) -> str:
    """Return a text of a file as it may be shown: one line without the codes by which a terminal is told things."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
