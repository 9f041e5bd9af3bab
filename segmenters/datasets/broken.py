"""Report all unusable pictures in one message, or skip them on request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

MAX_NAMED = 100
"""Maximum number of unusable pictures named in one message."""

T = TypeVar("T")


class BrokenPicturesError(ValueError):
    """Raised if pictures cannot be used.

    Args:
        problems: Description of each problem, including the file name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        pictures, them = ("a picture", "it") if len(problems) == 1 else (f"{len(problems)} pictures", "them")
        remedy = f"repair or remove {them}, or skip {them} (--skip-broken, or skip_broken=True)"
        super().__init__(f"{pictures} cannot be used: {_join(problems)}; {remedy}")


def try_each(
    files: Iterable[Path], use: Callable[[Path], T], problems: dict[Path, str], *, keep: bool = True
) -> dict[Path, T]:
    """Apply a function to each file, and return the results of the files that it can use.

    Args:
        files: Files to use.
        use: Function that raises ValueError or OSError for a file that it cannot use.
        problems: Dictionary that the problem of each unusable file is added to.
        keep: Return the results; if False, each is discarded at once.
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
    """Report the unusable pictures of a folder, if any.

    Args:
        problems: Problem of each unusable picture.
        num_pictures: Total number of pictures.
        folder: Name of the folder in messages.
        skip: Warn instead of raising, as long as usable pictures remain.

    Raises:
        BrokenPicturesError: If there are unusable pictures, and `skip` is false or no usable ones remain.
    """
    if not problems:
        return
    ordered = [problems[file] for file in sorted(problems)]
    if not skip or len(problems) == num_pictures:
        raise BrokenPicturesError(ordered)
    logger.warning("skipped %d of %d pictures of %s: %s", len(problems), num_pictures, folder, _join(ordered))


def open_each(openers: Iterable[Callable[[], T]]) -> list[T]:
    """Call several functions that open pictures, and return their results.

    Args:
        openers: Functions to call; all are called before unusable pictures are reported.

    Raises:
        BrokenPicturesError: If any function finds unusable pictures; the message names those of all functions.
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
