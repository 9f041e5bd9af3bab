"""NumPy arrays, scalars and dtypes in a pickle, built without calling the functions that the pickle names."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from .values import MAX_NAME, Array, Budget, DtypeCode, Instance

NUMBERS = {
    "b1": torch.bool,
    "u1": torch.uint8,
    "u2": torch.uint16,
    "u4": torch.uint32,
    "u8": torch.uint64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
}
"""Supported NumPy dtypes."""
SINGLE = 4
"""Bytes per value in an imported network; smaller dtypes in the file count as this many."""

_INERT = re.compile(r"[USVMmcO]\d{0,9}(\[\w+\])?|f1[26]")


def make_scalar(budget: Budget, kind: Any, data: Any = b"") -> Any:
    """Return a scalar as a number, a string or a record."""
    if isinstance(kind, DtypeCode) and _is_inert(kind):
        return _make_text(kind, to_bytes(data, budget))
    return np.frombuffer(to_bytes(data, budget), _find_dtype(kind), count=1).item()


def _make_text(kind: DtypeCode, data: bytes) -> Any:
    """Return a scalar as a string, or as a record if it is neither a string nor a supported number."""
    if kind.code[:1] == "U":
        return data.decode("utf-32-be" if kind.order == ">" else "utf-32-le", "replace").rstrip("\0")
    return data.rstrip(b"\0") if kind.code[:1] == "S" else Instance(f"numpy.{kind.code}")


def _is_inert(kind: DtypeCode) -> bool:
    """Return whether a dtype is strings, times, bytes, objects, complex or long numbers, which no network needs."""
    return _INERT.fullmatch(kind.code) is not None


def make_array(budget: Budget, data: Any, kind: Any, shape: Any, order: Any) -> Array:
    """Return an array from bytes, as in pickle protocol 5."""
    array = Array()
    fill_array(array, (1, shape, kind, order == "F", data), budget)
    return array


def fill_array(array: Array, state: Any, budget: Budget) -> None:
    """Fill an array from its state ``(version, shape, dtype, Fortran order, bytes)``."""
    if not isinstance(state, tuple) or len(state) != 5 or not are_counts(state[1]):
        raise ValueError("the state of an array is malformed")
    _, shape, kind, fortran, data = state
    if isinstance(kind, DtypeCode) and _is_inert(kind):
        array.kind = kind.code
        return
    dtype, raw = _find_dtype(kind), to_bytes(data, budget)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the bytes of an array must match shape {list(shape)} and {dtype}; got {len(raw)} bytes")
    budget.spend(math.prod(shape) * max(dtype.itemsize, SINGLE))
    numbers = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    array.tensor = torch.from_numpy(numbers.astype(dtype.newbyteorder("="), order="C"))


def to_bytes(data: Any, budget: Budget) -> bytes:
    """Return bytes, which Python 2 wrote as strings."""
    if not isinstance(data, bytes | str):
        raise ValueError(f"the values of an array must be bytes; got {type(data).__name__}")
    if isinstance(data, bytes):
        return data
    budget.spend(len(data))
    return data.encode("latin1")


def _find_dtype(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, DtypeCode) or kind.code not in NUMBERS:
        code = kind.code if isinstance(kind, DtypeCode) else "?"
        raise ValueError(f"the dtype of an array must be one of {', '.join(NUMBERS)}; got {code[:20]!r}")
    return np.dtype(kind.order + kind.code)


def make_dtype(_: Budget, code: Any, *__: Any) -> DtypeCode:
    """Return the dtype of a code such as ``f4``."""
    if not isinstance(code, str) or len(code) > MAX_NAME:
        raise TypeError("the code of a dtype must be a short string")
    return DtypeCode(code)


def set_order(kind: DtypeCode, state: Any) -> None:
    """Set the byte order of a dtype from its state.

    Raises:
        ValueError: If the state is not a dtype's.
    """
    if not isinstance(state, tuple) or len(state) < 2 or not isinstance(state[1], str) or state[1] not in "<>|=":
        raise ValueError("the state of a dtype is malformed")
    kind.order = state[1] or "<"


def are_counts(numbers: Any) -> bool:
    """Return whether a value is a shape or strides: a few non-negative integers."""
    return (
        isinstance(numbers, tuple | list)
        and len(numbers) <= 16
        and all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers)
    )
