"""Reading a checkpoint of any of the known containers as plain values; what is in it is never executed.

Memory stays below seven times the size of the file and 500 MB; what a file may cost besides is in `values`.
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
    b"\x89HDF": "HDF5, as Keras writes it",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\x93NUMPY": "a NumPy array",
    b"\x08\x03\x12": "ONNX",
    b"\x08\x07\x12": "ONNX",
    b"\x08\x08\x12": "ONNX",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"<!DO": "a web page; the download was none of a checkpoint",
    b"<htm": "a web page; the download was none of a checkpoint",
    b"version https://git-lfs": "a pointer of git-lfs; fetch the file itself with git lfs pull",
}
"""How files begin that are often taken for checkpoints, and what they are."""

_OWN_CHECKPOINT = {"task", "steps_done", "seconds", "sums", "summed"}
"""What the checkpoint of a training of this toolkit holds."""

START_BYTES = 64
"""Bytes of a file that say what it is."""

KindAndTree = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds.

    Args:
        path: The file.
        kind: ``torch``, ``nvlabs pickle``, ``tensorflow pickle``, ``pickle``, ``safetensors``,
            ``torchscript`` or ``torch export``.
        tree: Nested dicts and lists of tensors, numbers, texts and `Record`; empty for the last two kinds, which are
            programs.
    """

    path: str
    kind: str
    tree: Any


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint, whatever it is called, as plain values; nothing in it is executed.

    Args:
        path: The file: of torch (both containers), a pickle of NVlabs or of a TensorFlow network, or safetensors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of no known kind, too large, or names a class that is not read; the message
            names the file and, if so, the class.
    """
    check_file(path)
    if is_own(path):
        raise ValueError(
            f"{path} is a file that gandissect has written, and needs no import; "
            "if it is a generator, generators.load and every command take it as it is"
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
            f"{path} is what a training of gandissect is resumed from; "
            f"generators.load and every command take the folder of the training, {Path(path).parent}"
        )
    return Checkpoint(str(path), kind, tree)


def _check_start(path: Path | str) -> None:
    """Check that a file begins as checkpoints do, before the rest of it is read.

    Raises:
        ValueError: If not, saying what it is if that is known.
    """
    start = _read_start(path, START_BYTES)
    if start.startswith(ZIP_START) or is_legacy(start) or _is_safetensors(start, Path(path).stat().st_size):
        return
    for beginning, meaning in OTHERS.items():
        if start.startswith(beginning):
            raise ValueError(f"it is {meaning}")
    if not start or start[:1] not in b"\x80(c}]":
        raise ValueError("it is no checkpoint: neither of torch, nor a pickle, nor safetensors")


def _read_start(path: Path | str, count: int) -> bytes:
    """Return the first bytes of a file; none of what gives no length, such as a kernel's log, which never ends."""
    if not Path(path).stat().st_size:
        return b""
    with Path(path).open("rb") as file:
        return file.read(count)


def _is_safetensors(start: bytes, num_bytes: int) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= num_bytes


def is_own(path: Path | str) -> bool:
    """Whether a file begins as one that this project writes, whole or damaged: safetensors with its header."""
    start = _read_start(path, 9)
    if start[8:] != b"{":
        return False
    header = _read_start(path, 8 + min(int.from_bytes(start[:8], "little"), MAX_HEADER_BYTES))
    return b'"__metadata__":{"header":' in header


def program_kind(path: Path | str) -> str | None:
    """Return which program a file is, ``torchscript`` or ``torch export``, from the names in it; None if it is none.

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
        raise ValueError(f"it has more than {MAX_TENSORS:,} tensors, or a header that is too long")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is no whole safetensors file: {error}") from error
    return "safetensors", tensors


def _read_pickle(data: bytes, budget: Budget) -> KindAndTree:
    """Read a bare pickle; the storages in it are pickled within it, each as a file of torch before 1.6."""
    machine = Machine(io.BytesIO(data), budget, load_bytes=lambda nested: read_legacy(nested, budget))
    tree = to_plain(machine.run(), budget)
    return _pickle_kind(tree), tree


def _pickle_kind(tree: Any) -> str:
    values = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else [tree]
    records = [value for value in values if isinstance(value, Record)]
    if any(record.name in NETWORKS for record in records):
        return "tensorflow pickle"
    return "nvlabs pickle" if any(record.source_hash for record in records) else "pickle"
