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

MIN_STEPS, MAX_STEPS, BYTES_A_STEP = 300_000, 800_000, 8
"""Limits on the steps of all pickles of a file, and on its values: the first plus one for each `BYTES_A_STEP` bytes, to
at most the second. The largest known checkpoints take 100,000, and a history of losses a few hundred thousand."""

CALL, COLLECTION = 3, 3
"""Steps that a call is counted as, and values that an object or a collection is."""

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


ARGUMENTS, ITEMS, STATE = "(arguments)", "(items)", "(state)"
"""Keys of a record's state for what an object was made of, what was put into it, and a state that is no dict."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a file says of an object of a class that is not known here, or not made here.

    Args:
        name: The class, as the file names it.
        state: Its attributes, and under `ARGUMENTS`, `ITEMS` and `STATE` what else the file says of it.
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
    """A NumPy array while it is read.

    Args:
        tensor: Its numbers, once its state is there.
        kind: The code of its dtype, if it holds none.
    """

    tensor: Tensor | None = None
    kind: str = ""


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
        self.max_steps = min(MIN_STEPS + num_bytes // BYTES_A_STEP, MAX_STEPS)
        self.opcodes, self.bytes, self.nodes = self.max_steps, MAX_COPIES * num_bytes + 2**20, self.max_steps
        self.hashes: dict[int, tuple[str, str]] = {}
        self.records: dict[int, Record] = {}

    def step(self, count: int = 1) -> None:
        """Count steps of a pickle.

        Raises:
            ValueError: If there were too many.
        """
        self.opcodes -= count
        if self.opcodes < 0:
            raise ValueError(f"it takes more than {self.max_steps:,} steps to read")

    def node(self, depth: int, count: int = 1) -> None:
        """Count values, at a depth; collections and objects take as long as `COLLECTION` of them.

        Raises:
            ValueError: If there are too many, or it is too deep.
        """
        self.nodes -= count
        if self.nodes < 0:
            raise ValueError(f"it holds more than {self.max_steps:,} values")
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

    A tuple becomes a text: tuples of any hash are easily made.

    Raises:
        ValueError: If it is no number, text, object or tuple of them, or too long.
    """
    if isinstance(key, tuple) and not any(isinstance(item, tuple) for item in key):
        key = f"({', '.join(describe_key(check_key(item)) for item in key[:MAX_NAME])})"
    if not isinstance(key, str | int | float | bytes | None | GlobalName | Instance | Tensor):
        kind = f"a value of type {type(key).__name__}"
        raise ValueError(f"the pickle has {kind} for a key; keys are numbers and texts")
    if isinstance(key, str | bytes) and len(key) > MAX_NAME:
        raise ValueError(f"the pickle has a text of {len(key)} characters for a key; at most {MAX_NAME} are read")
    if isinstance(key, int) and abs(key) >= MAX_KEY:
        raise ValueError("the pickle has a whole number of more than 60 bits for a key")
    return key


def describe_key(key: Any) -> str:
    """Return a key as a text, such as ``project.Mode(1)`` for an object."""
    if isinstance(key, Tensor):
        return f"tensor {list(key.shape)}"
    if isinstance(key, Instance):
        arguments = key.state.get(ARGUMENTS, ())
        plain = [str(item) for item in arguments if isinstance(item, str | int | float | None)]
        return f"{key.name}({', '.join(plain)})"
    return key.name if isinstance(key, GlobalName) else str(key)


def make_printable(text: str, limit: int = 1000) -> str:
    """Return a text of a file as it may be shown: one line without the codes by which a terminal is told things."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
