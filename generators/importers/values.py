"""The values that a checkpoint is read as, and the limits of reading.

Nothing here is a class of the file: what a file says is an object of some class becomes a `Record` of its name and
its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

MAX_OPCODES = 400_000
"""Steps of all pickles of a file together; the largest known checkpoints take a quarter."""

MAX_DEPTH = 100
"""How deep the values of a file may be nested."""

COPIES = 4
"""The tensors of a file may take so many times its bytes, where several share memory."""


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
class Named:
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
class Kind:
    """A NumPy dtype while it is read, such as ``<f4``."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class Storage:
    """The numbers that tensors are views of, ``[n]``."""

    numbers: Tensor


class Budget:
    """What reading a file may still cost.

    Args:
        num_bytes: The size of the file.
    """

    def __init__(self, num_bytes: int) -> None:
        self.opcodes, self.bytes, self.nodes = MAX_OPCODES, COPIES * num_bytes + 2**20, MAX_OPCODES
        self.hashes: dict[str, str] = {}

    def step(self, count: int = 1) -> None:
        """Count steps of a pickle.

        Raises:
            ValueError: If there were too many.
        """
        self.opcodes -= count
        if self.opcodes < 0:
            raise ValueError(f"it takes more than {MAX_OPCODES:,} steps to read")

    def node(self, depth: int) -> None:
        """Count one value, at a depth.

        Raises:
            ValueError: If there are too many, or it is too deep.
        """
        self.nodes -= 1
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
            raise ValueError(f"its tensors take more than {COPIES} times the bytes of the file")


def printable(text: str, limit: int = 1000) -> str:
    """Return a text of a file as it may be shown: one line without the codes by which a terminal is told things."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
