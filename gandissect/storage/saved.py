"""Save results to disk without pickle: any frozen dataclass of numbers, strings and tensors.

A result is one safetensors file, with its tensors under dotted names and everything else as JSON in the header. When a
file is loaded, its content is validated against the class's type hints and then by the class itself, so a damaged or
hostile file cannot become a result.

The fields of a dataclass with ``SAVED_AS`` are saved among those of the dataclass that contains it, under the names in
``SAVED_AS``. A field with ``saved_as`` in its metadata is saved under that name. A field with ``is_optional`` in its
metadata is saved only if it differs from its default, a JSON value; so files from before it was added remain valid.
"""

from __future__ import annotations

import dataclasses
import numbers
import operator
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from jaxtyping import AbstractArray, Shaped
from torch import Tensor

from ..core.lookup import check_choice
from ..core.types import check_type
from .files import load_tensors, read_format, save_tensors

T = TypeVar("T")


class SavedResult:
    """Base class of results that can be saved to a file and loaded again.

    Attributes:
        FILE_NAME: Name of the file in a folder, ``*.safetensors``.
        VERSION: Version of the class's fields, at least 1.
    """

    __slots__ = ()
    FILE_NAME: ClassVar[str]
    VERSION: ClassVar[int]

    def save(self, place: Path | str, *, overwrite: bool = False) -> Path:
        """Save the result to a file.

        A file that already holds the same result, according to `is_same_result`, stays unchanged.

        Args:
            place: Path of a folder, or of a file whose name ends in ``.safetensors``.
            overwrite: Replace a file with another result.

        Returns:
            The path of the file.

        Raises:
            FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        """
        path = result_path(place, self.FILE_NAME)
        if overwrite or not self._is_saved_in(path):
            save_result(path, self, self.VERSION, overwrite=overwrite)
        return path

    def _is_saved_in(self, path: Path) -> bool:
        """Return whether a file holds this result."""
        try:
            return path.is_file() and is_same_result(type(self).load(path), self)
        except ValueError:
            return False

    @classmethod
    def load(cls, place: Path | str) -> Self:
        """Load a result that `save` wrote.

        Args:
            place: Path of the folder or file that was passed to `save`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged; the message names the file and states what is wrong.
        """
        return load_result(result_path(place, cls.FILE_NAME), cls, cls.VERSION)


def is_same_result(first: Any, second: Any) -> bool:
    """Return whether two results are equal in all fields except those with ``compare=False``, such as durations.

    Args:
        first: A result that `save_result` accepts.
        second: Another such result.
    """
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if dataclasses.is_dataclass(first):
        names = [field.name for field in dataclasses.fields(first) if field.init and field.compare]
        return type(first) is type(second) and all(
            is_same_result(getattr(first, name), getattr(second, name)) for name in names
        )
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(is_same_result, first, second))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return set(first) == set(second) and all(is_same_result(first[name], second[name]) for name in first)
    return bool(first == second)


def save_result(path: Path | str, result: Any, version: int, *, overwrite: bool = False) -> None:
    """Save a result to one file, atomically.

    Args:
        path: Path of the file, ``*.safetensors``; its folder is created if missing.
        result: A dataclass of numbers (Python or NumPy), strings, tensors, tuples, mappings with string keys, and
            nested dataclasses of this kind.
        version: Version of the class's fields, at least 1.
        overwrite: Replace an existing file with other content.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        TypeError: If a value has a type that cannot be saved.
        ValueError: If the result could not be loaded again; the message names the field that has another type than its
            class declares.
    """
    tensors: dict[str, Tensor] = {}
    value = _encode(result, "", tensors)
    kind = type(result)
    with _explain_errors(f"this {kind.__name__} cannot be saved"):
        _decode(kind, value, "", dict(tensors))
    header = {"format": _format(type(result)), "version": version, "value": value}
    save_tensors(path, tensors, header, overwrite=overwrite)


def result_path(place: Path | str, name: str) -> Path:
    """Return the file that a result is saved to: ``place`` if it is named ``*.safetensors``, else ``name`` inside it.

    Args:
        place: Path of a file or a folder; an existing folder may also be named ``*.safetensors``.
        name: Name of the file in a folder.
    """
    check_type("place", place, (str, Path))
    path = Path(place)
    return path if path.suffix == ".safetensors" and not path.is_dir() else path / name


def find_results(folder: Path, *kinds: type) -> list[Path]:
    """Return the files in a folder that hold results of the given classes, whatever their names.

    Args:
        folder: Folder to search, which must exist.
        kinds: Classes of the results.
    """
    formats = {_format(kind) for kind in kinds}
    return [path for path in sorted(folder.glob("*.safetensors")) if path.is_file() and read_format(path) in formats]


def load_result(path: Path | str, kind: type[T], version: int) -> T:
    """Load a result that `save_result` wrote.

    Args:
        path: Path of the file.
        kind: Class of the result.
        version: Version of the class's fields.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds something else; the message names the file and states what is wrong.
    """
    tensors, header = load_tensors(path, _format(kind), version)
    if header["version"] != version:
        raise ValueError(
            f"{path} was written by an older gandissect, which saved less; compute the {kind.__name__} again"
        )
    with _explain_errors(f"{path} is not a complete {kind.__name__}"):
        result: T = _decode(kind, header.get("value"), "", tensors)
        if tensors:
            raise ValueError(f"it has unexpected tensors: {', '.join(sorted(tensors)[:3])}")
    return result


def plain_entries(result: Any) -> dict[str, Any]:
    """Return a result's fields as plain values under their names in its file, with None for tensors.

    Args:
        result: A dataclass that `save_result` accepts.

    Raises:
        TypeError: If a value has a type that cannot be saved.
    """
    return _encode_dataclass(result, "", {})


@contextmanager
def _explain_errors(subject: str) -> Iterator[None]:
    """Turn errors in decoding into a ValueError that starts with a subject."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"{subject}: {error.args[0] if error.args else error}") from error


def _format(kind: type) -> str:
    return f"gandissect.{kind.__name__}"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as JSON, and move its tensors to ``tensors`` under their dotted names."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return None
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, tuple):
        return [_encode(item, _join(path, index), tensors) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _encode(item, _join(path, key), tensors) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return _encode_dataclass(value, path, tensors)
    raise TypeError(
        f"{path or 'a result'} must be a number, string, tensor, tuple, mapping or dataclass to be saved; "
        f"got {type(value).__name__}"
    )


def _encode_dataclass(value: Any, path: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return a dataclass as JSON, including the entries of parts that are saved inline."""
    entries: dict[str, Any] = {}
    for name, entry in _entries(type(value)).items():
        part = getattr(value, name)
        inline = _inline_entries(type(part), entry)
        for inner_name, inner_entry in inline.items():
            entries[inner_entry] = _encode(getattr(part, inner_name), _join(path, inner_entry), tensors)
        if not inline:
            entries[entry] = _encode(part, _join(path, entry), tensors)
    defaults = _default_entries(type(value))
    return {entry: item for entry, item in entries.items() if entry not in defaults or item != defaults[entry]}


def _default_entries(kind: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass's optional fields as JSON, by their names in a file; inline parts included."""
    hints, entries = typing.get_type_hints(kind), _entries(kind)
    parts = [(kind, entries), *((hints[name], _inline_entries(hints[name], entry)) for name, entry in entries.items())]
    return {
        names[field.name]: _encode(field.default, names[field.name], {})
        for part, names in parts
        if dataclasses.is_dataclass(part)
        for field in dataclasses.fields(part)
        if field.metadata.get("is_optional") and field.name in names
    }


def _entries(kind: Any) -> dict[str, str]:
    """Return the name that each field of a dataclass is saved under: its own, or ``saved_as`` from its metadata."""
    return {field.name: field.metadata.get("saved_as", field.name) for field in dataclasses.fields(kind) if field.init}


def _inline_entries(kind: Any, entry: str) -> dict[str, str]:
    """Return the names that the fields of an inline part are saved under; empty if the part is not saved inline."""
    return {name: pattern.format(entry) for name, pattern in getattr(kind, "SAVED_AS", {}).items()}


def _decode(hint: Any, data: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Decode ``data`` as the type ``hint``, and remove its tensors from ``tensors``."""
    if is_tensor(hint):
        if path not in tensors:
            raise ValueError(f"tensor {path!r} is missing")
        return tensors.pop(path)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_optional(hint, data, path, tensors)
    if origin is Literal:
        return _decode_choice(hint, data, path)
    if origin is tuple:
        return _decode_tuple(typing.get_args(hint), data, path, tensors)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = typing.get_args(hint)[1]
        entries = _expect(dict, data, path)
        return {key: _decode(item, entry, _join(path, key), tensors) for key, entry in entries.items()}
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(typing.cast(type, hint), data, path, tensors)
    if hint is float:
        return float(_expect((int, float), data, path))
    return _expect(hint, data, path)


def is_tensor(hint: Any) -> bool:
    """Return whether a type hint is a tensor of torch or jaxtyping, or a union of such."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return all(map(is_tensor, typing.get_args(hint)))
    return isinstance(hint, type) and issubclass(hint, Tensor | AbstractArray)


def _decode_optional(hint: Any, data: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Decode ``X | None``; a missing tensor is ``None``."""
    inner = next(option for option in typing.get_args(hint) if option is not type(None))
    missing = path not in tensors if is_tensor(inner) else data is None
    return None if missing else _decode(inner, data, path, tensors)


def _decode_choice(hint: Any, data: Any, path: str) -> Any:
    """Decode a string of a ``Literal`` type."""
    check_choice(_expect(str, data, path), hint, path)
    return data


def _decode_tuple(items: tuple[Any, ...], data: Any, path: str, tensors: dict[str, Tensor]) -> tuple[Any, ...]:
    """Decode ``tuple[X, ...]`` or ``tuple[X, Y]``."""
    values = _expect(list, data, path)
    hints = [items[0]] * len(values) if items[-1] is Ellipsis else list(items)
    if len(hints) != len(values):
        raise ValueError(f"{path} must have {len(hints)} entries; got {len(values)}")
    pairs = enumerate(zip(hints, values, strict=True))
    return tuple(_decode(hint, value, _join(path, index), tensors) for index, (hint, value) in pairs)


def _decode_dataclass(kind: type, data: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Decode a dataclass; its constructor runs its own checks."""
    entries = _default_entries(kind) | _expect(dict, data, path or kind.__name__)
    hints = typing.get_type_hints(kind)
    inline = {name: _inline_entries(hints[name], entry) for name, entry in _entries(kind).items()}
    expected = {inner for name, entry in _entries(kind).items() for inner in inline[name].values() or [entry]}
    if set(entries) != expected:
        mismatch = sorted(set(entries) ^ expected)
        raise ValueError(f"{path or kind.__name__} has missing or unknown entries: {', '.join(mismatch)}")
    values = {}
    for name, entry in _entries(kind).items():
        inside = {inner_name: entries[inner] for inner_name, inner in inline[name].items()}
        values[name] = _decode(hints[name], inside or entries[entry], _join(path, entry), tensors)
    return kind(**values)


def _expect(kind: Any, data: Any, path: str) -> Any:
    """Return ``data`` if it has the given type; a bool does not count as a number."""
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(cls.__name__ for cls in kinds)
        raise ValueError(f"{path} must be {expected}; got {type(data).__name__}")
    return data


def detached_copy(tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Return an independent copy that works with autograd, even if the tensor was made in inference mode."""
    with torch.inference_mode(False):
        return tensor.detach().clone()


def check_all_finite(name: str, tensor: Tensor) -> None:
    """Check that a result's tensor is finite.

    Raises:
        ValueError: If a value is NaN or infinite; the message names the tensor.
    """
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} must be finite; got a NaN or an infinite number")


def check_tensor(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int | None, ...]) -> None:
    """Check the dtype and shape of a result's tensor.

    Args:
        name: Name of the tensor, for the message.
        tensor: Tensor to check.
        dtype: Required dtype.
        shape: Required shape, with None for axes of any length.

    Raises:
        ValueError: If the dtype or shape differs.
    """
    fits = tensor.ndim == len(shape) and all(
        expected in (None, length) for expected, length in zip(shape, tensor.shape, strict=True)
    )
    if tensor.dtype != dtype or not fits:
        sizes = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} must be {dtype} [{sizes}]; got {tensor.dtype} {list(tensor.shape)}")
