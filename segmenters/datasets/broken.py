"""Pictures that cannot be used: all of them are named at once, or left out where that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

MAX_NAMED = 100
"""So many broken pictures are named in one message."""

T = TypeVar("T")


class BrokenPicturesError(ValueError):
    """Some pictures cannot be used.

    Args:
        problems: What is wrong with each, naming its file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        pictures, them = ("a picture", "it") if len(problems) == 1 else (f"{len(problems)} pictures", "them")
        remedy = f"repair or remove {them}, or leave {them} out (--skip-broken, or skip_broken=True)"
        super().__init__(f"{pictures} cannot be used: {_join(problems)}; {remedy}")


def try_each(
    files: Iterable[Path], use: Callable[[Path], T], problems: dict[Path, str], *, keep: bool = True
) -> dict[Path, T]:
    """Return what a function gives for each file that it can use.

    Args:
        files: The files.
        use: The function; a file that it cannot use raises a ValueError or an OSError.
        problems: What is wrong with files that cannot be used is added here.
        keep: Whether results are returned; else they are dropped as soon as they are made.
    """
    results = {}
    for file in files:
        try:
            result = use(file)
        except (ValueError, OSError) as error:
            problems[file] = str(error)
            continue
        if keep:
            results[file] = result
    return results


def report_problems(problems: Mapping[Path, str], num_pictures: int, folder: object, *, skip: bool) -> None:
    """Say which pictures of a folder cannot be used, if there are any.

    Args:
        problems: What is wrong with each.
        num_pictures: How many pictures there are in all.
        folder: What to call the folder.
        skip: Warn only, as long as some pictures are left.

    Raises:
        BrokenPicturesError: If pictures cannot be used, and are not skipped or none is left.
    """
    if not problems:
        return
    ordered = [problems[file] for file in sorted(problems)]
    if not skip or len(problems) == num_pictures:
        raise BrokenPicturesError(ordered)
    logger.warning("left out %d of %d pictures of %s: %s", len(problems), num_pictures, folder, _join(ordered))


def open_each(openers: Iterable[Callable[[], T]]) -> list[T]:
    """Return what several functions open; what is broken in any of it is said at once.

    Raises:
        BrokenPicturesError: Naming the broken pictures of all.
    """
    opened, problems = [], list[str]()
    for opener in openers:
        try:
            opened.append(opener())
        except BrokenPicturesError as error:
            problems += error.problems
    if problems:
        raise BrokenPicturesError(problems)
    return opened


def _join(problems: Sequence[str]) -> str:
    more = len(problems) - MAX_NAMED
    return "; ".join([*problems[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])])
