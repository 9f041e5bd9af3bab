"""Which pictures a folder has: the one walk over folders, for every command and function that reads some."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from gandissect.storage.files import is_own_file

from .decoding import EXTENSIONS

SYSTEM_FOLDERS = frozenset(
    {
        "__macosx",  # archives that macOS packs
        "@eadir",  # thumbnails and waste baskets of storage servers
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "lost+found",  # Linux
    }
)
"""Folders that a system makes for itself, in lower case; what is in them are copies."""


def list_pictures(root: Path) -> list[Path]:
    """Return the pictures of a folder and of all folders in it, in the order of their names.

    Links to files and folders are followed. A folder is entered once, by its own name if it has one below ``root``, and
    not by a link that leads back up. Left out are hidden files and folders, `SYSTEM_FOLDERS`, and folders with results
    of this toolkit (saved networks, say), because the pictures in them are no photographs.

    Args:
        root: The folder.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no picture in it, or it holds results itself.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}")
    if (result := _find_result(root)) is not None:
        raise ValueError(
            f"{root} must be a folder of pictures; it holds results ({result.name}): name another folder, or move the "
            "results into one of their own"
        )
    pictures = sorted(_walk(root), key=lambda file: [normalize_name(part) for part in file.parts])
    if not pictures:
        raise ValueError(f"{root} holds no pictures ({', '.join(EXTENSIONS)})")
    return pictures


def normalize_name(name: str) -> str:
    """Return a file's name with composed characters (NFC), since systems differ in how they spell ``é``."""
    return unicodedata.normalize("NFC", name)


def check_outside(out: Path, root: Path) -> None:
    """Check that results in a folder would be apart from pictures.

    Args:
        out: Folder of the results, which need not be there yet.
        root: Folder of the pictures; results in a folder of their own below it are left out by `list_pictures`.

    Raises:
        ValueError: If pictures are in ``out`` or below it, except when it is a folder that holds ``root``.
    """
    folders = {folder for picture in list_pictures(root) for folder in picture.parents if folder.is_relative_to(root)}
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise ValueError(f"results must be in a folder without pictures; got {out}: name another one, e.g. {out}/run")


def _walk(root: Path) -> Iterator[Path]:
    """Yield the pictures; folders come before links to folders, so that each keeps the name that it has by itself."""
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
            elif path.suffix.lower() in EXTENSIONS and (path.is_file() or not path.exists()):  # a broken link is named
                yield path


def _leads_up(folder: Path, place: Path, root: Path) -> bool:
    """Say whether a folder that is at ``place`` holds one of those that lead to it."""
    return any(holder.resolve().is_relative_to(place) for holder in folder.parents if holder.is_relative_to(root))


def _find_result(folder: Path) -> Path | None:
    """Return a file of this toolkit in a folder, or None if it has none."""
    return next(filter(is_own_file, sorted(folder.glob("*.safetensors"))), None)
