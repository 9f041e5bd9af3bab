"""Progress bars with rate and remaining time, shown only on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(total: int, title: str, *, show: bool, unit: str = "img") -> tqdm[None]:
    """Return a progress bar for a ``with`` block; ``bar.update(n)`` advances it by n.

    Args:
        total: Number of units of work.
        title: Text to the left of the bar.
        show: Show the bar.
        unit: Name of a unit of work.
    """
    return tqdm(total=total, desc=title, unit=unit, disable=None if show else True)


def track(items: Sequence[T], title: str, *, show: bool, unit: str = "batch") -> Iterator[T]:
    """Yield items while counting them on a progress bar.

    Args:
        items: Items to yield.
        title: Text to the left of the bar.
        show: Show the bar.
        unit: Name of an item.
    """
    with progress_bar(len(items), title, show=show, unit=unit) as bar:
        for item in items:
            yield item
            bar.update(1)
