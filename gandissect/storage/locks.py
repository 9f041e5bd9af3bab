"""One process at a time writes to a folder: a lock that ends with its process, however the process ends."""

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
"""File in a folder that one process writes to; it is removed when the process is done."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What a file system answers that knows no locks."""

_held = threading.local()


@contextmanager
def lock_folder(folder: Path | str) -> Iterator[None]:
    """Keep a folder to this thread of this process while the block runs; the same thread may lock it again.

    Args:
        folder: Folder to lock. It is made if missing, and removed again if it stays empty.

    Raises:
        BlockingIOError: If another process or thread writes to the folder, naming the process.
        OSError: If the folder cannot be written to.
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
        with suppress(OSError):  # of a folder that is not empty
            for path in missing:
                path.rmdir()


def _acquire(path: Path) -> int:
    """Return the descriptor of a lock file that this process has locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                owner = _read_owner(descriptor)
                os.close(descriptor)
                raise BlockingIOError(
                    f"{path.parent} is in use by {owner}; wait until it ends, or name another folder"
                ) from error
            logger.warning("%s: this file system knows no locks; let one process at a time write there", path.parent)
        with suppress(OSError):  # gone: removed by the process that held it, after this one had opened it
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        os.close(descriptor)
    with suppress(OSError):  # of a full disk: the text is for people only
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
    return descriptor


def _release(descriptor: int, path: Path) -> None:
    """Remove the lock file and end the lock."""
    if sys.platform == "win32":  # which removes no open file
        os.close(descriptor)
    with suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise OSError at once if somebody else has."""
    if sys.platform == "win32":
        os.lseek(descriptor, 2**20, os.SEEK_SET)  # past the text, which others may read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_owner(descriptor: int) -> str:
    """Return the process that holds a lock, as it has written it down."""
    return os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
