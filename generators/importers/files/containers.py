"""The two containers in which torch keeps a pickle and the numbers beside it, read without torch.

Since 1.6 it is a zip archive, stored and not compressed: ``NAME/data.pkl`` and one file ``NAME/data/KEY`` for each
storage. Before, and within the pickles of NVlabs, it is five parts one after the other: three pickles (a magic
number, a version, facts of the machine), the pickle itself, and a pickled list of keys with the storages in its order,
each with its length before it.

Source: the comments and documentation of ``torch.serialization``.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch

from .pickle_globals import make_storage, storage_dtype
from .pickles import Machine
from .values import MAX_NAME, Budget, Storage

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")
ZIP_START = b"PK\x03\x04"
MAX_ENTRIES = 50_000
"""Files in an archive at most; each costs time and memory before the first is read."""


def is_legacy(data: bytes) -> bool:
    """Whether bytes begin as the container of torch before 1.6 does."""
    return data.startswith(LEGACY_START)


def open_archive(data: bytes) -> zipfile.ZipFile:
    """Return a zip archive, of which nothing but the names is read.

    Raises:
        ValueError: If it is damaged, or holds too many files.
    """
    at = -1
    for _ in range(MAX_ENTRIES + 1):
        if (at := data.find(b"PK\x01\x02", at + 1)) < 0:
            break
    else:
        raise ValueError(f"the archive holds more than {MAX_ENTRIES} files")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error


def check_stored(archive: zipfile.ZipFile, num_bytes: int) -> None:
    """Check that what is in an archive is stored, once, and no larger than the file.

    Raises:
        ValueError: If not.
    """
    infos = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise ValueError("the archive is compressed or encrypted; those of torch are neither")
    if sum(info.file_size for info in infos) > num_bytes or len(set(archive.namelist())) < len(infos):
        raise ValueError("the archive holds more than its bytes, or a name twice")


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one file of an archive.

    Raises:
        ValueError: If it is not there, or damaged.
    """
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, OSError) as error:
        raise ValueError(f"the archive has no whole {name[:200]!r}: {error}") from error


def read_archive(archive: zipfile.ZipFile, budget: Budget) -> Any:
    """Return what torch has written as an archive.

    Raises:
        ValueError: If it is damaged or holds what is not read.
    """
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"the archive is none of torch: it holds {len(pickles)} data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    if root + "byteorder" in archive.namelist() and read_entry(archive, root + "byteorder") != b"little":
        raise ValueError("the archive was written on a big-endian machine; save it again on another")
    storages: dict[str, Storage] = {}

    def load_storage(identity: Any) -> Storage:
        kind, key, count = _identity(identity)
        if key not in storages:
            storages[key] = make_storage(kind, read_entry(archive, f"{root}data/{key}"), count, budget)
        return storages[key]

    return Machine(io.BytesIO(read_entry(archive, pickles[0])), budget, load_storage).run()


def read_legacy(data: bytes, budget: Budget) -> Any:
    """Return what torch before 1.6 has written.

    Raises:
        ValueError: If it is damaged or holds what is not read.
    """
    stream = io.BytesIO(data)
    magic, version, machine = (Machine(stream, budget).run() for _ in range(3))
    if magic != MAGIC or version != 1001 or not isinstance(machine, dict) or not machine.get("little_endian", True):
        raise ValueError("a file of torch before 1.6, of a version or a machine that is not read")
    storages: dict[str, Storage] = {}

    def load_outside(identity: Any) -> Any:
        if isinstance(identity, tuple) and len(identity) > 1 and identity[0] == "module":
            return identity[1]  # the class of a module; what follows is its source text
        kind, key, count = _identity(identity)
        if key not in storages:  # the numbers follow; tensors can be views of them before they are there
            room = storage_dtype(kind).itemsize * count
            if room > len(data):
                raise ValueError(f"a storage of {count} numbers is larger than the file")
            storages[key] = make_storage(kind, bytes(room), count, budget)
        return storages[key]

    value = Machine(stream, budget, load_outside).run()
    keys = Machine(stream, budget).run()
    if not isinstance(keys, list) or not all(map(_is_key, keys)) or sorted(keys) != sorted(storages):
        raise ValueError("the storages that follow the pickle are not those that it names")
    for key in keys:
        _fill(storages[key], stream)
    return value


def _fill(storage: Storage, stream: io.BytesIO) -> None:
    numbers = storage.numbers
    count = int.from_bytes(stream.read(8), "little")
    data = stream.read(numbers.nbytes)
    if count != len(numbers) or len(data) != numbers.nbytes:
        raise ValueError("the file ends within a storage, or a storage has another length than is said")
    if data:
        numbers.copy_(torch.frombuffer(bytearray(data), dtype=numbers.dtype))


def _identity(identity: Any) -> tuple[Any, str, int]:
    """Return class, key and length of a storage from ``("storage", class, key, device, length, ...)``."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise ValueError("the pickle refers to something outside it that is no storage")
    _, kind, key, _, count = identity[:5]
    if not _is_key(key) or not isinstance(count, int) or count < 0 or (len(identity) > 5 and identity[5]):
        raise ValueError("the pickle refers to a storage that is none")
    return kind, key, count


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= MAX_NAME
