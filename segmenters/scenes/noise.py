"""Textures shared by all pictures: periodic value noise and masonry patterns, computed once per picture size.

A tile covers the unit square, which is the whole picture, and repeats beyond it. Each pixel of a tile is the mean of a
resolution-independent function over the pixel's area, so a coarse tile is a faithful reduction of a fine one, and
detail that is too fine fades out instead of aliasing. A texture lookup is a window of its tile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from zlib import crc32

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

Array = NDArray[np.floating]
"""Colors, distances or shares: float32 on the canvas, sometimes float64 in intermediate results."""

Color = Float32[np.ndarray, "3 1 1"]
"""Red, green, blue, each 0 to 1."""

Pattern = Callable[[Array, Array], Array]
"""Function of the position (u to the right, v down, in periods of the unit square)."""

FINEST = 1024
"""Number of samples along one side of the unit square that the means are computed from."""


def _positions(size: int) -> tuple[Array, int]:
    """Return the sample positions along the unit interval and the number of samples per pixel."""
    per_pixel = max(2, FINEST // size)
    return (np.arange(size * per_pixel) + 0.5) / (size * per_pixel), per_pixel


def _interpolation(size: int, cells: int) -> Array:
    """Return the weights [size, cells] that map periodic grid values to the mean of each pixel."""
    positions, per_pixel = _positions(size)
    cell = positions * cells
    left = np.floor(cell).astype(int)
    blend = cell - left
    blend = blend * blend * (3 - 2 * blend)
    weights = np.zeros((len(positions), cells))
    rows = np.arange(len(positions))
    np.add.at(weights, (rows, left % cells), 1 - blend)
    np.add.at(weights, (rows, (left + 1) % cells), blend)
    means: Array = weights.reshape(size, per_pixel, cells).mean(axis=1)
    return means


def value_noise(
    size: int, name: str, cells: tuple[int, int], octaves: int, gain: float
) -> Float64[np.ndarray, "size size"]:
    """Return periodic fractal noise [size, size] with mean about 0, mostly within -1..1.

    Args:
        size: Height and width in pixels.
        name: Name of the noise, which determines its random draws.
        cells: Number of grid cells down and across in the first octave.
        octaves: Number of octaves.
        gain: Weight of an octave relative to the previous one.
    """
    rng = np.random.default_rng(crc32(name.encode()))
    total, norm = np.zeros((size, size)), 0.0
    for octave in range(octaves):
        down, across = cells[0] << octave, cells[1] << octave
        grid = rng.uniform(-1, 1, (down, across))
        weight = gain**octave
        total += weight * (_interpolation(size, down) @ grid @ _interpolation(size, across).T)
        norm += weight * weight
    noise: Array = total * (1.6 / norm**0.5)
    return noise


def _average_pattern(size: int, pattern: Pattern) -> Array:
    """Return the mean of pattern(u [1, n], v [n, 1]) over each pixel, [size, size]."""
    positions, per_pixel = _positions(size)
    fine = pattern(positions[None, :], positions[:, None])
    means: Array = fine.reshape(size, per_pixel, size, per_pixel).mean(axis=(1, 3))
    return means


def _bricks(rows: int) -> Pattern:
    """Return running-bond masonry: each stone has its own tone, joints are dark."""
    tones = np.random.default_rng(rows).uniform(-0.5, 0.7, (rows, rows // 2))

    def tone(u: Array, v: Array) -> Array:
        row = np.floor(v * rows).astype(int)
        along = u * (rows // 2) + 0.5 * (row % 2)
        stone = np.floor(along).astype(int) % (rows // 2)
        joint = (np.mod(v * rows, 1) < 0.16) | (np.mod(along, 1) < 0.08)
        return np.where(joint, -1.0, tones[row % rows, stone])

    return tone


def _planks(count: int, across: bool) -> Pattern:
    """Return boards with dark gaps, horizontal or vertical."""
    tones = np.random.default_rng(count).uniform(-0.5, 0.6, count)

    def tone(u: Array, v: Array) -> Array:
        along = (v if across else u) * count
        line: Array = np.where(np.mod(along, 1) < 0.18, -1.1, tones[np.floor(along).astype(int) % count])
        return line + 0 * (u + v)

    return tone


def _shingles(rows: int) -> Pattern:
    """Return overlapping roof tiles; each row darkens toward its lower edge."""
    tones = np.random.default_rng(rows + 7).uniform(-0.4, 0.4, (rows, rows))

    def tone(u: Array, v: Array) -> Array:
        row = np.floor(v * rows).astype(int) % rows
        along = u * rows * 0.5 + 0.5 * (row % 2)
        tile = tones[row, np.floor(along).astype(int) % rows]
        shade: Array = tile + 0.7 - 1.4 * np.mod(v * rows, 1) ** 2
        return shade

    return tone


def _dots(count: int) -> Pattern:
    """Return round blossoms, one per cell of a jittered grid: 1 at the center, 0 at and beyond the edge."""
    shift = np.random.default_rng(count).uniform(0.3, 0.7, (2, count, count))

    def height(u: Array, v: Array) -> Array:
        col, row = np.floor(u * count).astype(int) % count, np.floor(v * count).astype(int) % count
        du, dv = u * count - col - shift[0][row, col], v * count - row - shift[1][row, col]
        blossom: Array = np.clip(1.6 - 4.0 * np.sqrt(du * du + dv * dv), 0, 1)
        return blossom

    return height


_NOISE: dict[str, tuple[tuple[int, int], int, float]] = {
    "broad": ((4, 4), 4, 0.5),
    "cloud": ((7, 6), 5, 0.55),
    "leaf": ((22, 22), 3, 0.7),
    "grain": ((56, 56), 2, 0.8),
    "streak": ((40, 6), 3, 0.6),
    "ripple": ((48, 7), 2, 0.7),
    "blade": ((18, 60), 2, 0.8),
}
_PATTERNS: dict[str, Pattern] = {
    "brick": _bricks(40),
    "stone": _bricks(22),
    "planks": _planks(34, across=True),
    "boards": _planks(30, across=False),
    "shingles": _shingles(36),
    "tiles": _shingles(24),
    "blossoms": _dots(26),
}


@lru_cache(maxsize=64)
def texture(name: str, size: int) -> Float32[np.ndarray, "side side"]:
    """Return a tile repeated twice in each direction, float32 [2 size, 2 size], so that any window is one slice."""
    tile = value_noise(size, name, *_NOISE[name]) if name in _NOISE else _average_pattern(size, _PATTERNS[name])
    tiled = np.tile(tile.astype(np.float32), (2, 2))
    tiled.setflags(write=False)
    return tiled
