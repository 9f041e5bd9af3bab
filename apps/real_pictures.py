"""Real pictures that are named on the command line, to compare generated ones with."""

from __future__ import annotations

from collections.abc import Sequence

from segmenters.datasets import ImageSource, open_pictures


def open_with_held_out(
    specs: Sequence[str], size: int, hold_out: float, *, skip_broken: bool = False
) -> tuple[ImageSource, ImageSource]:
    """Return pictures to train on and held-out ones, as `segmenters.datasets.open_pictures` does.

    Args:
        specs: ``scenes``, ``scenes:COUNT``, ``FOLDER`` or ``FOLDER@SPLIT`` each.
        size: Height and width of the pictures.
        hold_out: Share of each folder without split that is held out.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.

    Raises:
        ValueError: If nothing is held out, or a specification or a file is wrong.
        FileNotFoundError: If there is no such folder or split.
    """
    train, held_out = open_pictures(specs, size, hold_out, skip_broken=skip_broken)
    return train, require_held_out(held_out)


def require_held_out(held_out: ImageSource | None) -> ImageSource:
    """Return held-out pictures.

    Raises:
        ValueError: If there are none.
    """
    if held_out is None:
        raise ValueError("nothing is held out to judge by; name at least one folder without @SPLIT, or scenes")
    return held_out
