"""Folders of results: checked and locked before the work starts, and filled only if it succeeds."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .files import check_folder, copy_permissions, exists_message, replace_file, resolve_target
from .locks import lock_folder

_STAGED = ".gandissect-staged-"


@contextmanager
def output_folder(
    folder: Path | str,
    names: Sequence[str],
    *,
    overwrite: bool = False,
    find_others: Callable[[Path], Iterable[Path]] | None = None,
) -> Iterator[Path]:
    """Yield an empty folder whose files are moved to ``folder`` together if the block succeeds.

    Until then, ``folder`` is locked and unchanged. All earlier results are removed before the first new one appears, so
    old and new files are never mixed.

    Args:
        folder: Folder for the results; created if missing.
        names: Names of all possible result files, including those that this block may not write.
        overwrite: Replace earlier results.
        find_others: Function that returns the results in a folder that have other names.

    Raises:
        BlockingIOError: If another process has locked the folder.
        FileExistsError: If, before the block runs, the folder holds earlier results and ``overwrite`` is not set.
        ValueError: If the folder or its nearest existing parent is a file or is not writable, or a result is a folder.
    """
    folder = Path(folder)
    check_folder(folder)
    with lock_folder(folder):
        others = [] if find_others is None else sorted(find_others(folder))
        earlier = list(dict.fromkeys([*(folder / name for name in names if _exists(folder / name)), *others]))
        for path in earlier:
            resolve_target(path)  # refuses folders
        if earlier and not overwrite:
            raise FileExistsError(exists_message(earlier))
        for leftover in folder.glob(f"{_STAGED}*"):  # from a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        staged = folder / f"{_STAGED}{secrets.token_hex(4)}"
        staged.mkdir()
        try:
            with _name_final_file(staged, folder):
                yield staged
            _publish(staged, folder, earlier)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def _name_final_file(staged: Path, folder: Path) -> Iterator[None]:
    """Replace staged paths in operating-system errors by the final ones."""
    try:
        yield
    except OSError as error:
        path = Path(str(error.filename))
        if error.errno is None or not path.is_relative_to(staged):
            raise
        raise OSError(error.errno, error.strerror, str(folder / path.relative_to(staged))) from error


def _publish(staged: Path, folder: Path, earlier: Sequence[Path]) -> None:
    """Move all staged files to the final folder, replacing earlier results."""
    written = sorted(staged.iterdir())
    unexpected = {folder / path.name for path in written if _exists(folder / path.name)} - {*earlier}
    if unexpected:
        raise FileExistsError(exists_message(sorted(unexpected)))
    for path in earlier:
        new = staged / path.name
        if new.exists() and path.exists():
            copy_permissions(path, new)
        if not (path.is_symlink() and new.exists()):
            path.unlink()
    for path in sorted(
        written, key=lambda path: path.suffix != ".safetensors"
    ):  # results before the pages that show them
        replace_file(path, folder / path.name, overwrite=True)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
