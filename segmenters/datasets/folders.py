"""List the pictures of a folder, for every command and function that reads folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from gandissect.storage.files import is_own_file

from .decoding import EXTENSIONS

SYSTEM_FOLDERS = frozenset(
    {
        "__macosx",  # archives from macOS
        "@eadir",  # thumbnails and recycle bins of storage servers
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "lost+found",  # Linux
    }
)
"""Names of folders that systems create, in lower case; they hold copies."""


def list_pictures(root: Path) -> list[Path]:
    """Return the pictures of a folder and its subfolders, sorted by name.

    Links to files and folders are followed. Each folder is visited once, by its real path if that is below ``root``,
    and never through a link that leads back up. Hidden files and folders, `SYSTEM_FOLDERS`, and folders with results of
    this toolkit (such as saved networks) are left out, because their pictures are not photographs.

    Args:
        root: Folder to list.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the folder contains no pictures, or holds results itself.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}")
    if (result := _find_result(root)) is not None:
        raise ValueError(
            f"{root} must be a folder of pictures; it holds results ({result.name}); name another folder, or move the "
            "results into a separate one"
        )
    pictures = sorted(_walk(root), key=lambda file: [normalize_name(part) for part in file.parts])
    if not pictures:
        raise ValueError(f"{root} must contain pictures ({', '.join(EXTENSIONS)}); got none")
    return pictures


def normalize_name(name: str) -> str:
    """Return a file's name with composed characters (NFC), because systems encode ``é`` differently."""
    return unicodedata.normalize("NFC", name)


def check_outside(out: Path, root: Path) -> None:
    """Check that a folder for results is separate from pictures.

    Args:
        out: Folder for the results, which need not exist.
        root: Folder of the pictures; results in a separate folder below it are left out by `list_pictures`.

    Raises:
        ValueError: If pictures are in ``out`` or below it, unless it contains ``root``.
    """
    folders = {folder for picture in list_pictures(root) for folder in picture.parents if folder.is_relative_to(root)}
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise ValueError(f"results must be in a folder without pictures; got {out}; name another one, e.g. {out}/run")


def _walk(root: Path) -> Iterator[Path]:
    """Yield the pictures; folders come before links to folders, so that each is visited by its real path."""
    entered: set[Path] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        place = folder.resolve()
        if place in entered or (folder != root and (_leads_up(folder, place, root) or _find_result(folder))):
            continue
        entered.add(place)
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FOLDERS:
                continue
            path = folder / entry.name
            if path.is_dir() if entry.is_symlink() else entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in EXTENSIONS and (
                path.is_file() or not path.exists()
            ):  # broken links are reported
                yield path


def _leads_up(folder: Path, place: Path, root: Path) -> bool:
    """Return whether a folder, located at ``place``, contains one of its own parents."""
    return any(holder.resolve().is_relative_to(place) for holder in folder.parents if holder.is_relative_to(root))


def _find_result(folder: Path) -> Path | None:
    """Return a file in a folder that this toolkit wrote, or None."""
    return next(filter(is_own_file, sorted(folder.glob("*.safetensors"))), None)
