"""Style shared by figures of units: colors, and the band of random units behind a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS, CONTROL, INK = "#c2571a", "#8a93a0", "#222222"
"""Colors of a figure's units, of random units, and of lines that are not data."""


def draw_control_band(axes: Axes, low: Sequence[float], high: Sequence[float], label: str) -> None:
    """Draw the range of random units, at 0, 1, ... on the horizontal axis."""
    axes.fill_between(range(len(low)), low, high, color=CONTROL, alpha=0.35, lw=0, label=label)
