"""Lock a folder for writing by one process at a time; the lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger(__name__)

LOCK = ".gandissect-lock"
"""Name of the lock file in a locked folder; it is removed when the lock ends."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Error numbers of file systems that do not support locks."""

_held = threading.local()


@contextmanager
def lock_folder(folder: Path | str) -> Iterator[None]:
    """Reserve a folder for this thread while the block runs; the same thread may lock it again.

    Args:
        folder: Folder to lock. It is created if missing, and removed if it is empty at the end.

    Raises:
        BlockingIOError: If another process or thread has locked the folder; the message names the process.
        OSError: If the folder is not writable.
    """
    folder = Path(folder)
    key, keys = os.path.realpath(folder), _held.__dict__.setdefault("keys", set())
    if key in keys:
        yield
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = _acquire(folder / LOCK)
        keys.add(key)
        try:
            yield
        finally:
            keys.discard(key)
            _release(descriptor, folder / LOCK)
    finally:
        with suppress(OSError):  # a folder that is not empty stays
            for path in missing:
                path.rmdir()


def _acquire(path: Path) -> int:
    """Lock a file and return its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                owner = _read_owner(descriptor)
                os.close(descriptor)
                raise BlockingIOError(
                    f"{path.parent} is in use by {owner}; wait until it ends, or choose another folder"
                ) from error
            logger.warning(
                "%s: this file system does not support locks; run only one process at a time there", path.parent
            )
        with suppress(OSError):  # the process that held the lock may have removed the file since it was opened
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        os.close(descriptor)
    with suppress(OSError):  # such as a full disk; the text only informs people
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
    return descriptor


def _release(descriptor: int, path: Path) -> None:
    """Remove the lock file and end the lock."""
    if sys.platform == "win32":  # cannot remove an open file
        os.close(descriptor)
    with suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise OSError immediately if it is locked already."""
    if sys.platform == "win32":
        os.lseek(descriptor, 2**20, os.SEEK_SET)  # past the text, so that other processes can read it
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_owner(descriptor: int) -> str:
    """Return the description that the lock's owner wrote to the file."""
    return os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
