"""Read torch's two file formats, which combine a pickle with raw numbers, without torch.

Since 1.6 the format is an uncompressed zip archive: ``NAME/data.pkl`` and one file ``NAME/data/KEY`` per storage. The
earlier format, also used inside NVlabs' pickles, is a sequence: three pickles (a magic number, a version, properties
of the machine), the main pickle, and a pickled list of keys, followed by the storages in that order, each preceded by
its length.

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
"""Maximum number of files in an archive, since each costs time and memory when it is opened."""


def is_legacy(data: bytes) -> bool:
    """Return whether bytes begin like the format of torch before 1.6."""
    return data.startswith(LEGACY_START)


def open_archive(data: bytes) -> zipfile.ZipFile:
    """Open a zip archive and read only the names in it.

    Raises:
        ValueError: If it is damaged, or contains too many files.
    """
    at = -1
    for _ in range(MAX_ENTRIES + 1):
        if (at := data.find(b"PK\x01\x02", at + 1)) < 0:
            break
    else:
        raise ValueError(f"the archive contains more than {MAX_ENTRIES} files")
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error


def check_stored(archive: zipfile.ZipFile, num_bytes: int) -> None:
    """Check that the files in an archive are uncompressed, unique and no larger than the archive.

    Raises:
        ValueError: If a file is compressed, occurs twice, or is too large.
    """
    infos = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise ValueError("an archive of torch must be neither compressed nor encrypted")
    if sum(info.file_size for info in infos) > num_bytes or len(set(archive.namelist())) < len(infos):
        raise ValueError("the files in the archive exceed its size, or a name occurs twice")


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one file of an archive.

    Raises:
        ValueError: If it is missing or damaged.
    """
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, OSError) as error:
        raise ValueError(f"{name[:200]!r} is missing or damaged in the archive: {error}") from error


def read_archive(archive: zipfile.ZipFile, budget: Budget) -> Any:
    """Return the content of an archive written by torch.

    Raises:
        ValueError: If it is damaged, or contains something unsupported.
    """
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"an archive of torch must contain one data.pkl; got {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    if root + "byteorder" in archive.namelist() and read_entry(archive, root + "byteorder") != b"little":
        raise ValueError("the archive was written on a big-endian machine; save it on a little-endian one")
    storages: dict[str, Storage] = {}

    def load_storage(identity: Any) -> Storage:
        kind, key, count = _identity(identity)
        if key not in storages:
            storages[key] = make_storage(kind, read_entry(archive, f"{root}data/{key}"), count, budget)
        return storages[key]

    return Machine(io.BytesIO(read_entry(archive, pickles[0])), budget, load_storage).run()


def read_legacy(data: bytes, budget: Budget) -> Any:
    """Return the content of a file written by torch before 1.6.

    Raises:
        ValueError: If it is damaged, or contains something unsupported.
    """
    stream = io.BytesIO(data)
    magic, version, machine = (Machine(stream, budget).run() for _ in range(3))
    if magic != MAGIC or version != 1001 or not isinstance(machine, dict) or not machine.get("little_endian", True):
        raise ValueError("files of torch before 1.6 must have version 1001 and be little-endian")
    storages: dict[str, Storage] = {}

    def load_outside(identity: Any) -> Any:
        if isinstance(identity, tuple) and len(identity) > 1 and identity[0] == "module":
            return identity[1]  # the class of a module, followed by its source code
        kind, key, count = _identity(identity)
        if key not in storages:  # the numbers follow the pickle; tensors are views of memory that is filled later
            room = storage_dtype(kind).itemsize * count
            if room > len(data):
                raise ValueError(f"a storage must be smaller than the file; got {count} values")
            storages[key] = make_storage(kind, bytes(room), count, budget)
        return storages[key]

    value = Machine(stream, budget, load_outside).run()
    keys = Machine(stream, budget).run()
    if not isinstance(keys, list) or not all(map(_is_key, keys)) or sorted(keys) != sorted(storages):
        raise ValueError("the storages after the pickle differ from those that it names")
    for key in keys:
        _fill(storages[key], stream)
    return value


def _fill(storage: Storage, stream: io.BytesIO) -> None:
    numbers = storage.numbers
    count = int.from_bytes(stream.read(8), "little")
    data = stream.read(numbers.nbytes)
    if count != len(numbers) or len(data) != numbers.nbytes:
        raise ValueError("the file ends within a storage, or a storage has the wrong length")
    if data:
        numbers.copy_(torch.frombuffer(bytearray(data), dtype=numbers.dtype))


def _identity(identity: Any) -> tuple[Any, str, int]:
    """Return class, key and length of a storage from ``("storage", class, key, device, length, ...)``."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise ValueError("the pickle refers to an external object that is not a storage")
    _, kind, key, _, count = identity[:5]
    if not _is_key(key) or not isinstance(count, int) or count < 0 or (len(identity) > 5 and identity[5]):
        raise ValueError("the pickle contains an invalid reference to a storage")
    return kind, key, count


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= MAX_NAME
