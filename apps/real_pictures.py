"""Open the real pictures named on the command line, which generated images are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from segmenters.datasets import ImageSource, open_pictures

T = TypeVar("T")


def open_with_held_out(
    specs: Sequence[str], size: int, hold_out: float, *, skip_broken: bool = False
) -> tuple[ImageSource, ImageSource]:
    """Return training pictures and held-out pictures, as `segmenters.datasets.open_pictures` does.

    Args:
        specs: Picture sources, each ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT``.
        size: Height and width of the pictures, in pixels.
        hold_out: Share held out of each folder without a split.
        skip_broken: Skip unusable pictures, with a warning that names them.

    Raises:
        ValueError: If nothing is held out, or a specification or a file is invalid.
        FileNotFoundError: If there is no such folder or split.
    """
    train, held_out = open_pictures(specs, size, hold_out, skip_broken=skip_broken)
    return train, require_held_out(held_out)


def require_held_out(held_out: T | None) -> T:
    """Return the held-out pictures.

    Args:
        held_out: Held-out pictures, or None if nothing is held out.

    Raises:
        ValueError: If nothing is held out.
    """
    if held_out is None:
        raise ValueError("no pictures are held out for evaluation; name at least one folder without @SPLIT, or scenes")
    return held_out
