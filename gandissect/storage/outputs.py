"""The folder of a command's results: checked and locked before the work, filled at its end, all or nothing."""

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
    """Yield an empty folder whose files come into ``folder`` together if the block succeeds.

    Until then the folder is locked, and what it holds stays as it is. Then all earlier results are removed before the
    first new one appears, so that old and new files never stand side by side.

    Args:
        folder: Folder of the results; made if missing.
        names: Names of files that are results, those that may not be written this time too.
        overwrite: Replace earlier results.
        find_others: Returns results in a folder that have other names.

    Raises:
        BlockingIOError: If another process writes to the folder.
        FileExistsError: If the folder holds earlier results that may not be replaced, before the block runs.
        ValueError: If the folder, or what it would be in, is a file or cannot be written to, or a result is a folder.
    """
    folder = Path(folder)
    check_folder(folder)
    with lock_folder(folder):
        others = [] if find_others is None else sorted(find_others(folder))
        earlier = list(dict.fromkeys([*(folder / name for name in names if _exists(folder / name)), *others]))
        for path in earlier:
            resolve_target(path)  # refuses a folder of that name
        if earlier and not overwrite:
            raise FileExistsError(exists_message(earlier))
        for left_over in folder.glob(f"{_STAGED}*"):  # by a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
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
    """Name a file where it would have come to in an error about a file of the staged folder."""
    try:
        yield
    except OSError as error:
        path = Path(str(error.filename))
        if error.errno is None or not path.is_relative_to(staged):
            raise
        raise OSError(error.errno, error.strerror, str(folder / path.relative_to(staged))) from error


def _publish(staged: Path, folder: Path, earlier: Sequence[Path]) -> None:
    """Move all files of one folder into another, in the place of earlier ones."""
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
    for path in sorted(written, key=lambda path: path.suffix != ".safetensors"):  # results before what shows them
        replace_file(path, folder / path.name, overwrite=True)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
