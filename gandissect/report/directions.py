"""Figures of directions: what moving along each does to an image, and to the concepts of many images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..core.images import to_uint8
from ..latent.directions.direction import Direction
from ..latent.directions.moves import DirectionSweep
from ..stats.intervals import half_width
from .text import finish_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCH = 0.95
"""Side of an image in the figure, in inches."""
LABEL_INCHES = 2.1
"""Width of the labels on the left."""
LINE_INCHES = 0.165
"""Height of a line of text."""
NAME_WIDTH = 26
"""Maximum number of characters in a line of a name."""


def draw_directions(directions: Sequence[Direction], sweeps: Sequence[DirectionSweep]) -> Figure:
    """Draw directions one below the other: the effect of a step on the left, images at each step on the right.

    Args:
        directions: Directions to draw, at least one, with labels.
        sweeps: The same images moved along each direction, all by the same steps.

    Returns:
        A figure without window or global state; write it with ``savefig``.

    Raises:
        ValueError: If there are no directions, or the steps differ.
    """
    from .figures import NotebookFigure

    if not directions or len(directions) != len(sweeps) or len({sweep.steps for sweep in sweeps}) > 1:
        raise ValueError(
            "need at least 1 direction, each with a sweep, all with the same steps; got "
            f"{len(directions)} directions and {len(sweeps)} sweeps"
        )
    steps, rows = sweeps[0].steps, sweeps[0].images.shape[1]
    row = max(INCH * rows, *(LINE_INCHES * len(_lines(direction)) for direction in directions)) + 0.12
    size = (LABEL_INCHES + INCH * len(steps), 0.6 + len(directions) * row)
    figure = NotebookFigure(figsize=size, dpi=130)
    top, left = 1 - 0.6 / size[1], LABEL_INCHES / size[0]
    figure.text(0.1 / size[0], 1 - 0.12 / size[1], _title(directions), va="top", fontsize=8.5)
    for column, step in enumerate(steps):
        place = left + (column + 0.5) * INCH / size[0]
        figure.text(place, top + 0.05 / size[1], f"{step:+g} sd" if step else "unmoved", ha="center", fontsize=8)
    for number, (direction, sweep) in enumerate(zip(directions, sweeps, strict=True)):
        ceiling = top - number * row / size[1]
        height = INCH * rows / size[1]
        axes = figure.add_axes((left, ceiling - height, INCH * len(steps) / size[0], height))
        axes.imshow(_tile_steps(sweep.images), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        for line, (text, style) in enumerate(_lines(direction)):
            figure.text(0.1 / size[0], ceiling - LINE_INCHES * line / size[1], text, va="top", **style)
    return finish_text(figure)


def _title(directions: Sequence[Direction]) -> str:
    label = next((label for direction in directions for label in direction.labels), None)
    by = f"; effect of a step of 1 sd, {label.num_samples:,} images, {label.segmenter}" if label else ""
    return f"{directions[0].generator}{by}"


def _lines(direction: Direction) -> list[tuple[str, dict[str, Any]]]:
    """Return the lines of a direction's name and labels, each with its text style."""
    name: dict[str, Any] = {"fontsize": 8.5, "fontweight": "bold"}
    lines = [(line, name) for line in textwrap.wrap(direction.name, NAME_WIDTH)]
    for label in direction.labels:
        reach = 100 * half_width(label.stderr, label.num_samples - 1)
        lines.append((f"{label.concept} {100 * label.slope:+.2f} ± {reach:.2f}%", {"fontsize": 8}))
    return lines if direction.labels else [*lines, ("no concept beyond chance", {"fontsize": 8, "color": "#666666"})]


def _tile_steps(images: Tensor) -> Any:
    """Return images ``[step, row, 3, H, W]`` side by side with white gaps, uint8 ``[height, width, 3]``."""
    pixels = to_uint8(images).permute(1, 0, 3, 4, 2).numpy()
    framed = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    return np.concatenate(np.concatenate(list(framed.swapaxes(0, 1)), axis=2), axis=0)
