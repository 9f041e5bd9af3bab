"""Reading and writing files that may be damaged, hostile or half written.

A file appears whole or not at all: it is written under a temporary name, flushed, then renamed.
Tensors are safetensors with a JSON header (``format``, ``version`` and what the format adds).
Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save_file
from torch import Tensor

MAX_FILE_BYTES = 8 * 2**30
"""No file larger than this is read."""

MAX_HEADER_BYTES = 100 * 10**6
"""No longer header is read; safetensors has the same limit."""

MAX_TENSORS = 20_000
"""No file with more tensors is read: to make each takes time, even of one without numbers."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the block succeeds.

    Args:
        path: Where the finished file shall be. Its folder is made if missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")  # threads share a pid
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: object) -> None:
    """Write JSON, whole or not at all.

    Raises:
        ValueError: If a number is not finite.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: Path | str) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder or too large.
    """
    check_file(path)
    return Path(path).read_bytes()


def check_file(path: Path | str) -> None:
    """Check that there is a file of at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder or too large.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")


def read_json(path: Path | str) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, naming the file.
    """
    try:
        return json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def check_folder(path: Path | str) -> None:
    """Check that files can be written to a folder, which is made when the first of them is.

    Raises:
        ValueError: If it, or what it would lie in, is a file or cannot be written to.
    """
    nearest = next(folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "cannot be written to" if nearest.is_dir() else "is a file"
        raise ValueError(f"{nearest} {why}; name another folder for the result")


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file.

    Args:
        path: The file.
        tensors: By name, any shapes and dtypes.
        header: JSON values, with ``format`` (text) and ``version`` (whole number).

    Raises:
        ValueError: If the header lacks its format or version.
    """
    if not isinstance(header.get("format"), str) or not isinstance(header.get("version"), int):
        raise ValueError(f"a header names its format and version; got {sorted(header)}")
    ready = _separate_memory({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as for any other file; save_file lets only the owner read
        save_file(ready, temporary, metadata={"header": json.dumps(header, allow_nan=False)})  # from where they lie
        temporary.chmod(mode)


def _separate_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of which no two share memory; only those that do are copied."""
    storages: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return separate


def load_tensors(path: Path | str, format: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Args:
        path: The file.
        format: The format that the header must name.
        version: The newest version understood; older ones are accepted.

    Returns:
        The tensors by name, and the header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or something else, naming the file and what is wrong.
    """
    header = _read_header(path, format)
    if not isinstance(header, dict) or header.get("format") != format:
        value = header.get("format") if isinstance(header, dict) else None
        raise ValueError(f"{path} holds {value!r}; expected {format!r}")
    if not isinstance(header.get("version"), int) or not 1 <= header["version"] <= version:
        value = header.get("version")
        raise ValueError(f"{path} is {format} version {value!r}; versions 1 to {version} are understood")
    try:
        return load(read_bytes(path)), header
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error


def _read_header(path: Path | str, format: str) -> Any:
    """Return the JSON header of a safetensors file, without reading the tensors behind it."""
    check_file(path)
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if not text or len(text) < length:
        raise ValueError(f"{path} is not a whole safetensors file")
    try:
        entries = json.loads(text)
        header = json.loads(entries["__metadata__"]["header"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has no header of ours; expected a {format!r} file") from error
    if len(entries) > MAX_TENSORS:
        raise ValueError(f"{path} has more than {MAX_TENSORS:,} tensors")
    return header


def is_own_file(path: Path | str) -> bool:
    """Say whether a file has the header that `save_tensors` writes, whatever its format."""
    try:
        _read_header(path, "")
    except (OSError, ValueError):
        return False
    return True


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or too large.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def hash_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tensors and a JSON header, hexadecimal; the order of names does not matter."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
