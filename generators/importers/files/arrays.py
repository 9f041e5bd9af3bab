"""Arrays, scalars and dtypes of NumPy in a pickle, made without the functions that the pickle names."""

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
"""The NumPy dtypes that are read."""
SINGLE = 4
"""Bytes of a number in a network that is made of the file: what is smaller there counts as many."""

_INERT = re.compile(r"[USVMmcO]\d{0,9}(\[\w+\])?|f1[26]")


def make_scalar(budget: Budget, kind: Any, data: Any = b"") -> Any:
    """Return the number, text or record of a scalar."""
    if isinstance(kind, DtypeCode) and _is_inert(kind):
        return _make_text(kind, to_bytes(data, budget))
    return np.frombuffer(to_bytes(data, budget), _find_dtype(kind), count=1).item()


def _make_text(kind: DtypeCode, data: bytes) -> Any:
    """Return the text of a scalar, or a record of one that is neither text nor a number that is read."""
    if kind.code[:1] == "U":
        return data.decode("utf-32-be" if kind.order == ">" else "utf-32-le", "replace").rstrip("\0")
    return data.rstrip(b"\0") if kind.code[:1] == "S" else Instance(f"numpy.{kind.code}")


def _is_inert(kind: DtypeCode) -> bool:
    """Whether a dtype is one of texts, times, complex or long numbers, bytes or objects: no network is made of them."""
    return _INERT.fullmatch(kind.code) is not None


def make_array(budget: Budget, data: Any, kind: Any, shape: Any, order: Any) -> Array:
    """Return the array of some bytes, as protocol 5 writes it."""
    array = Array()
    fill_array(array, (1, shape, kind, order == "F", data), budget)
    return array


def fill_array(array: Array, state: Any, budget: Budget) -> None:
    """Give an array its numbers: ``(version, shape, dtype, Fortran order, bytes)``."""
    if not isinstance(state, tuple) or len(state) != 5 or not are_counts(state[1]):
        raise ValueError("the state of an array is malformed")
    _, shape, kind, fortran, data = state
    if isinstance(kind, DtypeCode) and _is_inert(kind):
        array.kind = kind.code
        return
    dtype, raw = _find_dtype(kind), to_bytes(data, budget)
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {list(shape)} and {dtype} has {len(raw)} bytes")
    budget.spend(math.prod(shape) * max(dtype.itemsize, SINGLE))
    numbers = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    array.tensor = torch.from_numpy(numbers.astype(dtype.newbyteorder("="), order="C"))


def to_bytes(data: Any, budget: Budget) -> bytes:
    """Return bytes; Python 2 wrote them as text."""
    if not isinstance(data, bytes | str):
        raise ValueError("the numbers of an array are bytes")
    if isinstance(data, bytes):
        return data
    budget.spend(len(data))
    return data.encode("latin1")


def _find_dtype(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, DtypeCode) or kind.code not in NUMBERS:
        code = kind.code if isinstance(kind, DtypeCode) else "?"
        raise ValueError(f"arrays of {code[:20]!r} are not read; allowed are {', '.join(NUMBERS)}")
    return np.dtype(kind.order + kind.code)


def make_dtype(_: Budget, code: Any, *__: Any) -> DtypeCode:
    """Return a dtype by its code, such as ``f4``."""
    if not isinstance(code, str) or len(code) > MAX_NAME:
        raise TypeError("a dtype has a code")
    return DtypeCode(code)


def set_order(kind: DtypeCode, state: Any) -> None:
    """Give a dtype its byte order.

    Raises:
        ValueError: If the state does not belong to a dtype.
    """
    if not isinstance(state, tuple) or len(state) < 2 or not isinstance(state[1], str) or state[1] not in "<>|=":
        raise ValueError("the state of a dtype is malformed")
    kind.order = state[1] or "<"


def are_counts(numbers: Any) -> bool:
    """Say whether something is a shape, or strides: a few whole numbers, none below 0."""
    return (
        isinstance(numbers, tuple | list)
        and len(numbers) <= 16
        and all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers)
    )
