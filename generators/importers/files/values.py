"""Values that represent the content of a checkpoint, and the limits of reading.

No class of the file is used: an object of any class becomes a `Record` with the class's name and the object's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

MIN_STEPS, MAX_STEPS, BYTES_A_STEP = 300_000, 800_000, 8
"""Limits on the steps of all pickles of a file, and on its values: the first number plus one per `BYTES_A_STEP` bytes,
up to the second. The largest known checkpoints take 100,000 steps, and a loss history a few hundred thousand."""

CALL, COLLECTION = 3, 3
"""Additional steps per call, and number of values that an object or a collection counts as."""

MAX_DEPTH = 100
"""Maximum nesting of the values of a file."""

MAX_COPIES = 4
"""Maximum size of all tensors and strings, counting shared memory each time, as a multiple of the file's size."""

MAX_NAME = 500
"""Maximum number of characters of a key, or of anything else that is compared."""

MAX_TEXT = 2**20
"""Maximum number of characters of any other string."""

MAX_KEY = 2**60
"""Bound on integer keys, since any number of larger integers can have the same hash."""


ARGUMENTS, ITEMS, STATE = "(arguments)", "(items)", "(state)"
"""Keys of a record's state for an object's arguments, its items, and a state that is not a dict."""


@dataclass(frozen=True, slots=True)
class Record:
    """Description of an object whose class is unknown or not instantiated.

    Args:
        name: Name of the class in the file.
        state: Attributes of the object, and other information under `ARGUMENTS`, `ITEMS` and `STATE`.
        source_hash: Hexadecimal SHA-256 of the source code that comes with the object, or empty.
    """

    name: str
    state: Mapping[str, Any]
    source_hash: str = ""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A global that a pickle names; it is looked up only in a closed table."""

    name: str


@dataclass(slots=True, eq=False)
class Instance:
    """An object during reading; a pickle creates it first and sets its state later."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)
    source_hash: str = ""


@dataclass(slots=True, eq=False)
class Array:
    """A NumPy array during reading.

    Args:
        tensor: Values, once the state is set.
        kind: Code of its dtype, if that is not numeric.
    """

    tensor: Tensor | None = None
    kind: str = ""


@dataclass(slots=True, eq=False)
class DtypeCode:
    """A NumPy dtype during reading, such as ``<f4``."""

    code: str
    order: str = "<"


@dataclass(slots=True, eq=False)
class Storage:
    """Values that tensors are views of, ``[n]``."""

    numbers: Shaped[Tensor, " n"]


class Budget:
    """Remaining budget for reading a file.

    Args:
        num_bytes: Size of the file in bytes.
    """

    def __init__(self, num_bytes: int) -> None:
        self.max_steps = min(MIN_STEPS + num_bytes // BYTES_A_STEP, MAX_STEPS)
        self.opcodes, self.bytes, self.nodes = self.max_steps, MAX_COPIES * num_bytes + 2**20, self.max_steps
        self.hashes: dict[int, tuple[str, str]] = {}
        self.records: dict[int, Record] = {}

    def step(self, count: int = 1) -> None:
        """Count steps of a pickle.

        Raises:
            ValueError: If there are too many.
        """
        self.opcodes -= count
        if self.opcodes < 0:
            raise ValueError(f"reading it takes more than {self.max_steps:,} steps")

    def node(self, depth: int, count: int = 1) -> None:
        """Count values at a depth; collections and objects count as `COLLECTION` values.

        Raises:
            ValueError: If there are too many, or they are nested too deep.
        """
        self.nodes -= count
        if self.nodes < 0:
            raise ValueError(f"it contains more than {self.max_steps:,} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"its values are nested more than {MAX_DEPTH} deep, or contain themselves")

    def spend(self, num_bytes: int) -> None:
        """Count memory before it is allocated.

        Raises:
            ValueError: If the count is negative, or exceeds what a file of this size can need.
        """
        self.bytes -= num_bytes
        if num_bytes < 0 or self.bytes < 0:
            raise ValueError(f"its tensors and strings take more than {MAX_COPIES} times the bytes of the file")


def check_key(key: Any) -> Any:
    """Return a key of a pickle if it is cheap to hash and to compare.

    A tuple becomes a string, since it is easy to create many tuples with the same hash.

    Raises:
        ValueError: If it is not a number, string, object or tuple of those, or is too long.
    """
    if isinstance(key, tuple) and not any(isinstance(item, tuple) for item in key):
        key = f"({', '.join(describe_key(check_key(item)) for item in key[:MAX_NAME])})"
    if not isinstance(key, str | int | float | bytes | None | GlobalName | Instance | Tensor):
        raise ValueError(f"keys in the pickle must be numbers or strings; got a value of type {type(key).__name__}")
    if isinstance(key, str | bytes) and len(key) > MAX_NAME:
        raise ValueError(f"keys in the pickle must have at most {MAX_NAME} characters; got {len(key)}")
    if isinstance(key, int) and abs(key) >= MAX_KEY:
        raise ValueError("integer keys in the pickle must have at most 60 bits")
    return key


def describe_key(key: Any) -> str:
    """Return a key as a string, such as ``project.Mode(1)`` for an object."""
    if isinstance(key, Tensor):
        return f"tensor {list(key.shape)}"
    if isinstance(key, Instance):
        arguments = key.state.get(ARGUMENTS, ())
        plain = [str(item) for item in arguments if isinstance(item, str | int | float | None)]
        return f"{key.name}({', '.join(plain)})"
    return key.name if isinstance(key, GlobalName) else str(key)


def make_printable(text: str, limit: int = 1000) -> str:
    """Return a string from a file as one safe line, without terminal control codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
