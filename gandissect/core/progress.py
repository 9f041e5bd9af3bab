"""The one style of progress bars: with rate and remaining time, and only where there is a terminal to show them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(total: int, title: str, *, show: bool, unit: str = "img") -> tqdm[None]:
    """Return a progress bar for a ``with`` block, in which ``bar.update(n)`` says that n more are done.

    Args:
        total: How many units of work there are.
        title: What is done, at the left of the bar.
        show: Whether the bar is shown.
        unit: What is counted.
    """
    return tqdm(total=total, desc=title, unit=unit, disable=None if show else True)


def track(items: Sequence[T], title: str, *, show: bool, unit: str = "batch") -> Iterator[T]:
    """Yield some items one after another, and count them on a progress bar.

    Args:
        items: The items.
        title: What is done with them, at the left of the bar.
        show: Whether the bar is shown.
        unit: What an item is.
    """
    with progress_bar(len(items), title, show=show, unit=unit) as bar:
        for item in items:
            yield item
            bar.update(1)
