"""Color lit faces and cast shadows, for all painters of solid objects."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Patch, Point
from .light import Light, rgb
from .noise import Array
from .objects import GROUND, SceneLabel

GLASS = rgb((50, 70, 102))
LAMP = rgb((255, 212, 112))
SHADOW = rgb((58, 62, 104))
IS_GROUND = np.isin(np.arange(len(SceneLabel)), GROUND)


def illuminate(color: Array, shade: Array | float, tone: Array, light: Light, distance: float) -> Array:
    """Return the color of a surface under the light that falls on it, seen through haze."""
    fog = np.float32(light.fog(distance))
    return (color * tone * (1 - fog)) * shade + light.horizon * fog


def line_coverage(patch: Patch, away: Array, half: Array | float) -> Array:
    """Return the share of each pixel covered by a line of any width, given the distance to its middle."""
    size = patch.canvas.size
    return np.clip((half - away) * size + 0.5, 0, 1) * np.minimum(half * (2 * size), 1)


def cast_shadow(canvas: Canvas, light: Light, spot: Point, half: float, height: float, flat: float = 0.0) -> None:
    """Softly darken the ground, and nothing else, around a spot and away from the sun."""
    x, y = spot
    reach = half + 0.35 * height * light.shadow
    x = x - np.sign(light.side) * (reach - half)
    flat = flat or 0.16 * half + 0.014
    patch = canvas.patch(x - reach, y - flat * 1.4, x + reach, y + flat * 1.4)
    if patch is not None:
        across, down = (patch.x - x) / reach, (patch.y - y) / flat
        alpha = np.clip(1.5 - 1.3 * np.sqrt(across * across + down * down), 0, 1) * IS_GROUND[patch.labels]
        patch.darken(alpha * np.float32(0.25 + light.shadow), SHADOW + (1 - SHADOW) * 0.35)
