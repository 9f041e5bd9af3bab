"""Default colors of concepts."""

from __future__ import annotations

import colorsys


def index_color(index: int) -> tuple[int, int, int]:
    """Return the color of the ``index``-th concept; consecutive concepts differ strongly in hue.

    Args:
        index: Index of the concept, at least 0.

    Returns:
        Red, green and blue, each from 0 to 255.
    """
    golden = 0.618034  # multiples of the golden ratio fill the color wheel evenly
    red, green, blue = colorsys.hsv_to_rgb(index * golden % 1, 0.75, (0.95, 0.7)[index % 2])
    return round(255 * red), round(255 * green), round(255 * blue)
