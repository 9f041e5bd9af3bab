"""Canvas of a scene, with colors and labels, and windows of it to paint in.

Positions are in picture widths at every resolution, with x to the right and y down from the top left corner. A shape is
a signed distance, positive inside. Both its coverage of a pixel, which anti-aliases the color, and its label, which is
exact at the pixel's center, are derived from this distance, so the two never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from .noise import Array, texture

Point = tuple[float, float]


@dataclass(slots=True)
class Canvas:
    """Canvas with colors, float32 [3, size, size] in 0..1, and labels, uint8 [size, size]."""

    size: int
    image: Float32[np.ndarray, "3 size size"]
    labels: UInt8[np.ndarray, "size size"]
    centers: Float32[np.ndarray, " size"]

    @classmethod
    def blank(cls, size: int) -> Canvas:
        """Return a canvas of size x size pixels, black and labeled 0."""
        centers = ((np.arange(size) + 0.5) / size).astype(np.float32)
        return cls(size, np.zeros((3, size, size), np.float32), np.zeros((size, size), np.uint8), centers)

    def patch(self, left: float, top: float, right: float, bottom: float) -> Patch | None:
        """Return the window that covers a box and one pixel around it, or None if it is outside the canvas."""
        size = self.size
        c0, c1 = max(0, int(left * size) - 1), min(size, int(right * size) + 2)
        r0, r1 = max(0, int(top * size) - 1), min(size, int(bottom * size) + 2)
        if c0 >= c1 or r0 >= r1 or right < 0 or bottom < 0:
            return None
        return Patch(self, slice(r0, r1), slice(c0, c1), self.centers[None, c0:c1], self.centers[r0:r1, None])


@dataclass(slots=True)
class Patch:
    """Window of the canvas, with the positions of its pixel centers: x [1, w] and y [h, 1]."""

    canvas: Canvas
    rows: slice
    cols: slice
    x: Float32[np.ndarray, "1 w"]
    y: Float32[np.ndarray, "h 1"]

    @property
    def image(self) -> Float32[np.ndarray, "3 h w"]:
        """View of the colors in the window, [3, h, w]."""
        return self.canvas.image[:, self.rows, self.cols]

    @property
    def labels(self) -> UInt8[np.ndarray, "h w"]:
        """View of the labels in the window, [h, w]."""
        return self.canvas.labels[self.rows, self.cols]

    def noise(self, name: str, offset: Point = (0.0, 0.0)) -> Float32[np.ndarray, "h w"]:
        """Return a texture over the window [h, w], shifted right and down by an offset in picture widths."""
        size = self.canvas.size
        row = (self.rows.start + round(offset[1] * size)) % size
        col = (self.cols.start + round(offset[0] * size)) % size
        height, width = self.rows.stop - self.rows.start, self.cols.stop - self.cols.start
        return texture(name, size)[row : row + height, col : col + width]

    def profile(self, name: str, row: float, offset: float) -> Float32[np.ndarray, "1 w"]:
        """Return one line of a texture along x, [1, w]."""
        size = self.canvas.size
        col = (self.cols.start + round(offset * size)) % size
        line = int(row * size) % size
        return texture(name, size)[line : line + 1, col : col + self.cols.stop - self.cols.start]

    def paint(self, inside: Array, color: Array, concept: int | None = None, soft: float = 0.0) -> None:
        """Paint and label a shape with a color [3, 1, 1] or [3, h, w]; its edge is `soft` picture widths wide."""
        steep = min(self.canvas.size, 1.0 / soft) if soft else self.canvas.size
        self.tint(np.clip(inside * np.float32(steep) + np.float32(0.5), 0, 1), color)
        if concept is not None:
            np.copyto(self.labels, concept, where=inside > 0, casting="unsafe")

    def tint(self, alpha: Array, color: Array) -> None:
        """Blend in a color with weights [h, w], without changing the labels."""
        image = self.image
        image += alpha * (color - image)

    def darken(self, alpha: Array, color: Array) -> None:
        """Multiply by a color [3, 1, 1] with weights [h, w], without changing the labels."""
        self.image[...] *= 1 + alpha * (color - 1)

    def slab_coverage(self, low: float, high: float, along: Array) -> Array:
        """Return the share of each pixel between two parallel lines, exact at any width."""
        size = self.canvas.size
        over, under = np.clip((along - low) * size + 0.5, 0, 1), np.clip((high - along) * size + 0.5, 0, 1)
        share: Array = np.maximum(over + under - 1, 0)
        return share


def box_distance(patch: Patch, left: float, top: float, right: float, bottom: float) -> Array:
    """Return the signed distance of an upright rectangle."""
    across: Array = np.minimum(patch.x - left, right - patch.x)
    down: Array = np.minimum(patch.y - top, bottom - patch.y)
    return np.minimum(across, down)


def ellipse_distance(patch: Patch, x: float, y: float, half_width: float, half_height: float) -> Array:
    """Return the signed distance of an ellipse, accurate near its edge."""
    across, down = (patch.x - x) / half_width, (patch.y - y) / half_height
    inside: Array = (1 - np.sqrt(across * across + down * down)) * min(half_width, half_height)
    return inside


def polygon_distance(patch: Patch, corners: Sequence[Point]) -> Array:
    """Return the signed distance of a convex polygon, with its corners in clockwise order on the screen."""
    inside: Array | None = None
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        if length < 1e-6:
            continue
        nx, ny = (y0 - y1) / length, (x1 - x0) / length
        edge = patch.x * nx + (patch.y * ny - (x0 * nx + y0 * ny))
        inside = edge if inside is None else np.minimum(inside, edge, out=inside)
    if inside is None:
        raise ValueError(f"a polygon must have three different corners; got {list(corners)}")
    return inside


def bounds(corners: Sequence[Point]) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom of a set of points."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def paint_convex(canvas: Canvas, corners: Sequence[Point], color: Array, concept: int | None = None) -> Patch | None:
    """Paint a convex polygon, with its corners clockwise on the screen, in one color."""
    patch = canvas.patch(*bounds(corners))
    if patch is not None:
        patch.paint(polygon_distance(patch, corners), color, concept)
    return patch


def paint_ellipse(canvas: Canvas, center: Point, half: Point, color: Array, concept: int | None = None) -> None:
    """Paint an upright ellipse in one color."""
    patch = canvas.patch(center[0] - half[0], center[1] - half[1], center[0] + half[0], center[1] + half[1])
    if patch is not None:
        patch.paint(ellipse_distance(patch, *center, *half), color, concept)


def paint_box(canvas: Canvas, low: Point, high: Point, color: Array, concept: int | None = None) -> None:
    """Paint an upright rectangle in one color, given its top left and bottom right corners."""
    patch = canvas.patch(*low, *high)
    if patch is not None:
        patch.paint(box_distance(patch, *low, *high), color, concept)
