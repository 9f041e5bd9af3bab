"""Read a checkpoint in any known format as plain values, without executing anything in it.

Memory stays below seven times the size of the file plus 500 MB; `values` lists the other limits.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import safetensors
import safetensors.torch

from gandissect.storage.files import MAX_HEADER_BYTES, MAX_TENSORS, check_file, read_bytes

from .containers import ZIP_START, check_stored, is_legacy, open_archive, read_archive, read_legacy
from .pickle_globals import NETWORKS
from .pickles import Machine, to_plain
from .values import Budget, Record, make_printable

OTHERS = {
    b"\x89HDF": "an HDF5 file, as written by Keras",
    b"\x1f\x8b": "compressed with gzip; decompress it first",
    b"\x93NUMPY": "a NumPy array",
    b"\x08\x03\x12": "an ONNX model",
    b"\x08\x07\x12": "an ONNX model",
    b"\x08\x08\x12": "an ONNX model",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"<!DO": "a web page, not a checkpoint; download the file again",
    b"<htm": "a web page, not a checkpoint; download the file again",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with git lfs pull",
}
"""First bytes of files that are often mistaken for checkpoints, and their formats."""

_OWN_CHECKPOINT = {"task", "steps_done", "seconds", "sums", "summed"}
"""Keys in the training checkpoints of this toolkit."""

START_BYTES = 64
"""Number of bytes that identify the format of a file."""

KindAndTree = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Content of a checkpoint.

    Args:
        path: Path of the file.
        kind: ``torch``, ``nvlabs pickle``, ``tensorflow pickle``, ``pickle``, ``safetensors``,
            ``torchscript`` or ``torch export``.
        tree: Nested dicts and lists of tensors, numbers, strings and `Record`; empty for the last two kinds, which are
            programs.
    """

    path: str
    kind: str
    tree: Any


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint with any name as plain values, without executing anything in it.

    Args:
        path: File written by torch (old or new format), a pickle of NVlabs or of a TensorFlow network, or safetensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, too large or of an unknown kind, or names a global that is refused; the
            message names the file and the global.
    """
    check_file(path)
    if is_own(path):
        raise ValueError(
            f"{path} was written by gandissect and needs no import; "
            "if it is a generator, pass it directly to generators.load or to any command"
        )
    try:
        _check_start(path)
        kind, tree = _read(read_bytes(path))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {make_printable(str(error))}") from error
    except (RuntimeError, OverflowError, MemoryError, AssertionError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {make_printable(str(error))}") from error
    if isinstance(tree, Mapping) and set(tree) >= _OWN_CHECKPOINT:
        raise ValueError(
            f"{path} is a training checkpoint of gandissect; "
            f"pass the training folder to generators.load or to any command instead: {Path(path).parent}"
        )
    return Checkpoint(str(path), kind, tree)


def _check_start(path: Path | str) -> None:
    """Check the first bytes of a file before reading the rest.

    Raises:
        ValueError: If it is not a checkpoint; the message names its format if that is known.
    """
    start = _read_start(path, START_BYTES)
    if start.startswith(ZIP_START) or is_legacy(start) or _is_safetensors(start, Path(path).stat().st_size):
        return
    for beginning, meaning in OTHERS.items():
        if start.startswith(beginning):
            raise ValueError(f"it is {meaning}")
    if not start or start[:1] not in b"\x80(c}]":
        raise ValueError("it is not a checkpoint: neither a torch file, nor a pickle, nor safetensors")


def _read_start(path: Path | str, count: int) -> bytes:
    """Return the first bytes of a file; empty for files without a length, such as endless kernel logs."""
    if not Path(path).stat().st_size:
        return b""
    with Path(path).open("rb") as file:
        return file.read(count)


def _is_safetensors(start: bytes, num_bytes: int) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= num_bytes


def is_own(path: Path | str) -> bool:
    """Return whether a file begins like one written by this project, even if it is damaged."""
    start = _read_start(path, 9)
    if start[8:] != b"{":
        return False
    header = _read_start(path, 8 + min(int.from_bytes(start[:8], "little"), MAX_HEADER_BYTES))
    return b'"__metadata__":{"header":' in header


def program_kind(path: Path | str) -> str | None:
    """Return whether a file is a ``torchscript`` or ``torch export`` program, judging by its entries; None if neither.

    Raises:
        ValueError: If it is a damaged archive; the message names the file.
    """
    if _read_start(path, len(ZIP_START)) != ZIP_START:
        return None
    try:
        return _program_kind(open_archive(read_bytes(path)))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {make_printable(str(error))}") from error


def _read(data: bytes) -> KindAndTree:
    budget = Budget(len(data))
    if data.startswith(ZIP_START):
        return _read_zip(data, budget)
    if is_legacy(data):
        return "torch", to_plain(read_legacy(data, budget), budget)
    if _is_safetensors(data, len(data)):
        return _read_safetensors(data)
    return _read_pickle(data, budget)


def _read_zip(data: bytes, budget: Budget) -> KindAndTree:
    archive = open_archive(data)
    if kind := _program_kind(archive):
        return kind, {}
    check_stored(archive, len(data))
    return "torch", to_plain(read_archive(archive, budget), budget)


def _program_kind(archive: ZipFile) -> str | None:
    parts = {name.partition("/")[2] for name in archive.namelist()}
    if any(part.startswith("code/") for part in parts) or "constants.pkl" in parts:
        return "torchscript"
    exported = "archive_format" in parts or any(name.endswith("exported_program.json") for name in archive.namelist())
    return "torch export" if exported else None


def _read_safetensors(data: bytes) -> KindAndTree:
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES or data.count(b"{", 8, 8 + length) > MAX_TENSORS + 2:  # one for each tensor
        raise ValueError(f"it has more than {MAX_TENSORS:,} tensors, or its header is too long")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is not a complete safetensors file: {error}") from error
    return "safetensors", tensors


def _read_pickle(data: bytes, budget: Budget) -> KindAndTree:
    """Read a bare pickle, whose storages are nested files in the format of torch before 1.6."""
    machine = Machine(io.BytesIO(data), budget, load_bytes=lambda nested: read_legacy(nested, budget))
    tree = to_plain(machine.run(), budget)
    return _pickle_kind(tree), tree


def _pickle_kind(tree: Any) -> str:
    values = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else [tree]
    records = [value for value in values if isinstance(value, Record)]
    if any(record.name in NETWORKS for record in records):
        return "tensorflow pickle"
    return "nvlabs pickle" if any(record.source_hash for record in records) else "pickle"
