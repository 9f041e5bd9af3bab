"""The sheet a scene is painted on: colors and labels side by side, and windows of it to paint in.

Places are in picture widths, x to the right and y down from the top left corner, whatever the resolution. A shape is a
signed distance, positive inside. Its coverage of a pixel, which anti-aliases the color, and its label, which is
exact at the pixel's center, come from that one distance, so that the two never disagree.
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
    """Hold colors float32 [3, size, size] in 0..1 and labels uint8 [size, size]."""

    size: int
    image: Float32[np.ndarray, "3 size size"]
    labels: UInt8[np.ndarray, "size size"]
    centers: Float32[np.ndarray, " size"]

    @classmethod
    def blank(cls, size: int) -> Canvas:
        """Return a sheet of size x size pixels, black and labeled 0."""
        centers = ((np.arange(size) + 0.5) / size).astype(np.float32)
        return cls(size, np.zeros((3, size, size), np.float32), np.zeros((size, size), np.uint8), centers)

    def patch(self, left: float, top: float, right: float, bottom: float) -> Patch | None:
        """Return the window that covers a box and one pixel around it, or None where it lies outside the sheet."""
        size = self.size
        c0, c1 = max(0, int(left * size) - 1), min(size, int(right * size) + 2)
        r0, r1 = max(0, int(top * size) - 1), min(size, int(bottom * size) + 2)
        if c0 >= c1 or r0 >= r1 or right < 0 or bottom < 0:
            return None
        return Patch(self, slice(r0, r1), slice(c0, c1), self.centers[None, c0:c1], self.centers[r0:r1, None])


@dataclass(slots=True)
class Patch:
    """A window of the canvas with the places of its pixel centers: x [1, w] and y [h, 1]."""

    canvas: Canvas
    rows: slice
    cols: slice
    x: Float32[np.ndarray, "1 w"]
    y: Float32[np.ndarray, "h 1"]

    @property
    def image(self) -> Float32[np.ndarray, "3 h w"]:
        """The colors under the window, [3, h, w]; writing to it paints."""
        return self.canvas.image[:, self.rows, self.cols]

    @property
    def labels(self) -> UInt8[np.ndarray, "h w"]:
        """The labels under the window, [h, w]; writing to it labels."""
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
        """Cover the shape with a color [3, 1, 1] or [3, h, w], its rim soft picture widths wide, and label it."""
        steep = min(self.canvas.size, 1.0 / soft) if soft else self.canvas.size
        self.tint(np.clip(inside * np.float32(steep) + np.float32(0.5), 0, 1), color)
        if concept is not None:
            np.copyto(self.labels, concept, where=inside > 0, casting="unsafe")

    def tint(self, alpha: Array, color: Array) -> None:
        """Blend a color in with weights [h, w], leaving the labels alone."""
        image = self.image
        image += alpha * (color - image)

    def darken(self, alpha: Array, color: Array) -> None:
        """Multiply by a color [3, 1, 1] where the weights [h, w] are 1, leaving the labels alone."""
        self.image[...] *= 1 + alpha * (color - 1)

    def slab_coverage(self, low: float, high: float, along: Array) -> Array:
        """Return how much of each pixel lies between two parallel lines, exact however thin."""
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
    """Return the signed distance of an ellipse, near its rim."""
    across, down = (patch.x - x) / half_width, (patch.y - y) / half_height
    inside: Array = (1 - np.sqrt(across * across + down * down)) * min(half_width, half_height)
    return inside


def polygon_distance(patch: Patch, corners: Sequence[Point]) -> Array:
    """Return the signed distance of a convex polygon, its corners in clockwise order as seen."""
    inside: Array | None = None
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        if length < 1e-6:
            continue
        nx, ny = (y0 - y1) / length, (x1 - x0) / length
        edge = patch.x * nx + (patch.y * ny - (x0 * nx + y0 * ny))
        inside = edge if inside is None else np.minimum(inside, edge, out=inside)
    if inside is None:
        raise ValueError(f"a polygon needs three different corners; got {list(corners)}")
    return inside


def bounds(corners: Sequence[Point]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of some points."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def paint_convex(canvas: Canvas, corners: Sequence[Point], color: Array, concept: int | None = None) -> Patch | None:
    """Paint a convex polygon, its corners clockwise as seen, in one color."""
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
    """Paint an upright rectangle in one color, from its top left corner to its bottom right one."""
    patch = canvas.patch(*low, *high)
    if patch is not None:
        patch.paint(box_distance(patch, *low, *high), color, concept)
