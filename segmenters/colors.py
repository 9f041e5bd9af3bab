"""Colours for concepts that come without."""

from __future__ import annotations

import colorsys


def index_color(index: int) -> tuple[int, int, int]:
    """Return a color for the ``index``-th concept: neighbors lie far apart in hue.

    Args:
        index: 0 or more.

    Returns:
        Red, green, blue, each 0-255.
    """
    golden = 0.618034  # multiples of the golden ratio fill the circle of hues evenly
    red, green, blue = colorsys.hsv_to_rgb(index * golden % 1, 0.75, (0.95, 0.7)[index % 2])
    return round(255 * red), round(255 * green), round(255 * blue)
