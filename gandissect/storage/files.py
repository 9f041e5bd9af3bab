"""Reading and writing files that may be damaged, hostile or half written.

A file appears whole or not at all: it is written under a temporary name, flushed, then renamed. A file that exists
is replaced on request only. Its mode stays, and so does a symbolic link, whose target is replaced.
Tensors are safetensors with a JSON header (``format``, ``version`` and what the format adds).
Nothing here unpickles.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

MAX_FILE_BYTES = 8 * 2**30
"""No file larger than this is read."""

MAX_HEADER_BYTES = 100 * 10**6
"""No longer header is read; safetensors has the same limit."""

MAX_TENSORS = 20_000
"""No file with more tensors is read: to make each takes time, even of one without numbers."""


@contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the block succeeds.

    A new file has the mode that the umask asks for. A file that is replaced keeps its mode, and its group where the
    system allows it. Through a symbolic link the target is written.

    Args:
        path: Path of the finished file. Its folder is made if missing.
        overwrite: Replace another file of that name; one with the same bytes is accepted in any case.

    Raises:
        FileExistsError: If there is another file of that name.
        OSError: If the file cannot be written, naming it.
        ValueError: If ``path`` is a folder or a device, or its folder is a file or cannot be written to.
    """
    path = Path(path)
    target = resolve_target(path)
    check_folder(target.parent)
    with _name_file(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")  # threads share a pid
    try:
        with _name_file(path, temporary):
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers make a file of their own, which only its owner may read
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            replace_file(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(written: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; what is not replaced stays as it is.

    Args:
        written: The finished file, on the same file system as the folder of ``path``.
        path: Its name, or a link to it.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is a file of other content.
        ValueError: If ``path`` is a folder or a device.
    """
    target = resolve_target(path)
    if target.exists():
        if not overwrite and not filecmp.cmp(written, target, shallow=False):
            raise FileExistsError(exists_message([path]))
        copy_permissions(target, written)
    if written.stat().st_dev != _nearest_folder(target).stat().st_dev:  # the link leads to another file system
        with atomic_path(target, overwrite=True) as copy:
            shutil.copyfile(written, copy)
    else:
        written.replace(target)


def exists_message(paths: Sequence[Path]) -> str:
    """Return the message about files that exist, of one folder, with the remedy."""
    first, *others = paths
    found, them = f"{first} exists", "it"
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        found, them = f"{first.parent} holds earlier results ({first.name}, {others[0].name}{more})", "them"
    return f"{found}; name another place, or replace {them} with overwrite=True (--overwrite on the command line)"


def check_new_file(path: Path | str, *, overwrite: bool = False) -> None:
    """Check, before the work, that a file can be written.

    Args:
        path: Path of the file.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        FileExistsError: If there is one that may not be replaced.
        ValueError: If it is a folder or a device, or its folder is a file or cannot be written to.
    """
    path = Path(path)
    check_folder(resolve_target(path).parent)
    if path.exists() and not overwrite:
        raise FileExistsError(exists_message([path]))


def resolve_target(path: Path) -> Path:
    """Return the file that is written in the name of ``path``: that behind a symbolic link.

    Raises:
        ValueError: If it is a folder or a device.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; name a file")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def copy_permissions(source: Path, target: Path) -> None:
    """Give a file the mode of another one, and its group where the system allows it."""
    about = source.stat()
    if about.st_gid != target.stat().st_gid:  # never on Windows, where all are 0
        with suppress(OSError):
            os.chown(target, -1, about.st_gid)
    target.chmod(about.st_mode)


@contextmanager
def _name_file(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name the file in an error of the operating system that names none, or the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in {None, temporary, str(temporary)}:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: Path | str, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Args:
        path: Path of the file.
        text: Its content.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: object, *, overwrite: bool = False) -> None:
    """Write JSON, whole or not at all.

    Args:
        path: Path of the file.
        value: What to write.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, overwrite=overwrite)


def read_bytes(path: Path | str) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder or too large.
    """
    check_file(path)
    with Path(path).open("rb") as file:
        return file.read(Path(path).stat().st_size)  # nothing of a kernel's file without a length


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
    nearest = _nearest_folder(Path(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "cannot be written to" if nearest.is_dir() else "is a file"
        raise ValueError(f"{nearest} {why}; name another folder for the result")


def _nearest_folder(path: Path) -> Path:
    """Return the path, or what it would be in: the nearest parent that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def save_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write tensors and a JSON header as one safetensors file.

    Args:
        path: The file.
        tensors: By name, any shapes and dtypes.
        header: JSON values, with ``format`` (text) and ``version`` (whole number).
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
        OSError: If the file cannot be written, naming it.
        ValueError: If the header lacks its format or version.
    """
    if not isinstance(header.get("format"), str) or not isinstance(header.get("version"), int):
        raise ValueError(f"a header names its format and version; got {sorted(header)}")
    ready = _separate_memory({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    metadata = {"header": json.dumps(header, allow_nan=False)}
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            save_file(ready, temporary, metadata=metadata)  # without a copy in memory
        except safetensors.SafetensorError as error:
            raise _as_os_error(error, path) from error


def _as_os_error(error: safetensors.SafetensorError, path: Path | str) -> OSError:
    """Return the operating system's error that a safetensors error is about, such as a full disk."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return OSError(f"{path} cannot be written: {error}")
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))


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


def read_format(path: Path | str) -> str | None:
    """Return the format that a safetensors file names in its header; None if it is no file of ours."""
    try:
        header = _read_header(path, "")
    except ValueError:
        return None
    value = header.get("format") if isinstance(header, dict) else None
    return value if isinstance(value, str) else None


def _read_header(path: Path | str, format: str) -> Any:
    """Return the JSON header of a safetensors file, without reading the tensors behind it."""
    check_file(path)
    if not Path(path).stat().st_size:  # a kernel's file that gives no length may never end
        raise ValueError(f"{path} is not a whole safetensors file")
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


def find_unsaved_tensors(network: nn.Module, saved: Container[str], prefix: str = "") -> dict[str, Tensor]:
    """Return the parameters and buffers of a network that its state dict leaves out, such as fixed noise.

    Args:
        network: Any module.
        saved: Names in the state dict.
        prefix: What the state dict puts before the network's own names.
    """
    tensors = chain(network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False))
    return {name: tensor for name, tensor in tensors if f"{prefix}{name}" not in saved}


def hash_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return the SHA-256 of tensors and a JSON header, hexadecimal; the order of names does not matter."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
