"""Read and write files that may be damaged, hostile or incomplete.

Writing a file is atomic: it is written under a temporary name, flushed and then renamed. An existing file is replaced
only on request, and keeps its mode; if it is a symbolic link, the link's target is replaced. Tensors are saved as
safetensors with a JSON header (``format``, ``version`` and additional entries of the format). Nothing here unpickles.
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
"""Maximum size of a file that is read, in bytes."""

MAX_HEADER_BYTES = 100 * 10**6
"""Maximum size of a header that is read, in bytes; safetensors has the same limit."""

MAX_TENSORS = 20_000
"""Maximum number of tensors in a file that is read, since even an empty tensor takes time to create."""


@contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, and rename it to ``path`` if the block succeeds.

    The mode of a new file follows the umask. A file that is replaced keeps its mode, and its group where the system
    allows it. If ``path`` is a symbolic link, its target is written.

    Args:
        path: Path of the finished file. Its folder is created if missing.
        overwrite: Replace an existing file with other content; a file with the same bytes is always accepted.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        OSError: If the file cannot be written; the error names it.
        ValueError: If ``path`` is a folder or a device, or its folder is a file or is not writable.
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
            temporary.chmod(mode)  # some writers replace the file by one that only its owner may read
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            replace_file(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(written: Path, path: Path, *, overwrite: bool) -> None:
    """Move a finished file to its final name, keeping the mode and links of a file that it replaces.

    Args:
        written: Finished file, on the same file system as the folder of ``path``.
        path: Final name, or a link to it.
        overwrite: Replace an existing file with other content.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
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
    """Return the message about existing files of one folder, with the remedy."""
    first, *others = paths
    problem, them = f"{first} already exists", "it"
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        problem, them = f"{first.parent} holds earlier results ({first.name}, {others[0].name}{more})", "them"
    return f"{problem}; choose another path, or replace {them} with overwrite=True (--overwrite on the command line)"


def check_new_file(path: Path | str, *, overwrite: bool = False) -> None:
    """Check that a file can be written, before the work starts.

    Args:
        path: Path of the file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and may not be replaced.
        ValueError: If ``path`` is a folder or a device, or its folder is a file or is not writable.
    """
    path = Path(path)
    check_folder(resolve_target(path).parent)
    if path.exists() and not overwrite:
        raise FileExistsError(exists_message([path]))


def resolve_target(path: Path) -> Path:
    """Return the file to write for ``path``, which is its target if it is a symbolic link.

    Raises:
        ValueError: If ``path`` is a folder or a device.
    """
    if path.is_dir():
        raise ValueError(f"{path} must be a file; got a folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be a file; got a device or a pipe")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def copy_permissions(source: Path, target: Path) -> None:
    """Copy the mode of a file to another one, and its group where the system allows it."""
    status = source.stat()
    if status.st_gid != target.stat().st_gid:  # never on Windows, where all are 0
        with suppress(OSError):
            os.chown(target, -1, status.st_gid)
    target.chmod(status.st_mode)


@contextmanager
def _name_file(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Add the file's name to operating-system errors that name no file or the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in {None, temporary, str(temporary)}:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: Path | str, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 text file atomically.

    Args:
        path: Path of the file.
        text: Content of the file.
        overwrite: Replace an existing file with other content.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: object, *, overwrite: bool = False) -> None:
    """Write a JSON file atomically.

    Args:
        path: Path of the file.
        value: JSON value to write.
        overwrite: Replace an existing file with other content.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, overwrite=overwrite)


def read_bytes(path: Path | str) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or too large.
    """
    check_file(path)
    with Path(path).open("rb") as file:
        return file.read(Path(path).stat().st_size)  # reads nothing from a kernel file without a size


def check_file(path: Path | str) -> None:
    """Check that a file exists and has at most `MAX_FILE_BYTES`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or too large.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} must have at most {MAX_FILE_BYTES} bytes; got {path.stat().st_size}")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not JSON; the message names it.
    """
    try:
        return json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def check_folder(path: Path | str) -> None:
    """Check that files can be written to a folder, which need not exist yet.

    Raises:
        ValueError: If the folder, or its nearest existing parent, is a file or is not writable.
    """
    nearest = _nearest_folder(Path(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        problem = "is not writable" if nearest.is_dir() else "is a file"
        raise ValueError(f"{nearest} {problem}; choose another folder for the results")


def _nearest_folder(path: Path) -> Path:
    """Return the path itself or its nearest parent that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def save_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write tensors and a JSON header to a safetensors file.

    Args:
        path: Path of the file.
        tensors: Tensors of any shapes and dtypes, by name.
        header: JSON values, including ``format`` (string) and ``version`` (integer).
        overwrite: Replace an existing file with other content.

    Raises:
        FileExistsError: If there is a file with other content and ``overwrite`` is not set.
        OSError: If the file cannot be written; the error names it.
        ValueError: If the header lacks its format or version.
    """
    if not isinstance(header.get("format"), str) or not isinstance(header.get("version"), int):
        raise ValueError(f"header must have a format (string) and a version (integer); got {sorted(header)}")
    ready = _separate_memory({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    metadata = {"header": json.dumps(header, allow_nan=False)}
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            save_file(ready, temporary, metadata=metadata)  # without a copy in memory
        except safetensors.SafetensorError as error:
            raise _as_os_error(error, path) from error


def _as_os_error(error: safetensors.SafetensorError, path: Path | str) -> OSError:
    """Return the operating-system error, such as a full disk, behind a safetensors error."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return OSError(f"{path} cannot be written: {error}")
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))


def _separate_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that share no memory, copying only those that do."""
    storages: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return separate


def load_tensors(path: Path | str, format: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load a file that `save_tensors` wrote.

    Args:
        path: Path of the file.
        format: Format that the header must have.
        version: Newest supported version; older ones are accepted.

    Returns:
        The tensors by name, and the header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or has another format; the message names the file and states what is wrong.
    """
    header = _read_header(path, format)
    if not isinstance(header, dict) or header.get("format") != format:
        value = header.get("format") if isinstance(header, dict) else None
        raise ValueError(f"format of {path} must be {format!r}; got {value!r}")
    if not isinstance(header.get("version"), int) or not 1 <= header["version"] <= version:
        value = header.get("version")
        raise ValueError(f"{format} version of {path} must be 1 to {version}; got {value!r}")
    try:
        return load(read_bytes(path)), header
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from error


def read_format(path: Path | str) -> str | None:
    """Return the format in a safetensors file's header; None if `save_tensors` did not write the file."""
    try:
        header = _read_header(path, "")
    except ValueError:
        return None
    value = header.get("format") if isinstance(header, dict) else None
    return value if isinstance(value, str) else None


def _read_header(path: Path | str, format: str) -> Any:
    """Return the JSON header of a safetensors file without reading its tensors."""
    check_file(path)
    if not Path(path).stat().st_size:  # a kernel file without a size may never end
        raise ValueError(f"{path} is not a complete safetensors file")
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if not text or len(text) < length:
        raise ValueError(f"{path} is not a complete safetensors file")
    try:
        entries = json.loads(text)
        header = json.loads(entries["__metadata__"]["header"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has no gandissect header; expected a {format!r} file") from error
    if len(entries) > MAX_TENSORS:
        raise ValueError(f"{path} must have at most {MAX_TENSORS:,} tensors; got {len(entries):,}")
    return header


def is_own_file(path: Path | str) -> bool:
    """Return whether `save_tensors` wrote a file, whatever its format."""
    try:
        _read_header(path, "")
    except (OSError, ValueError):
        return False
    return True


def sha256_file(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or too large.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def find_unsaved_tensors(network: nn.Module, saved: Container[str], prefix: str = "") -> dict[str, Tensor]:
    """Return the parameters and buffers of a network that its state dict omits, such as fixed noise.

    Args:
        network: Any torch module.
        saved: Names in the state dict.
        prefix: Prefix of the network's names in the state dict.
    """
    tensors = chain(network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False))
    return {name: tensor for name, tensor in tensors if f"{prefix}{name}" not in saved}


def hash_tensors(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of tensors and a JSON header; the order of names does not matter."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
