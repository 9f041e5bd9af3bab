"""Light and weather: the colors of the sky, of sunlit and shaded faces, and of haze."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import TypeVar

import numpy as np

from .noise import Array, Color

T = TypeVar("T")
Triple = tuple[float, float, float]


class Dice:
    """Draw the random numbers of one picture in a fixed order, from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._drawn: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a random number from low to high."""
        if not self._drawn:
            self._drawn = self._rng.random(512).tolist()
        return low + (high - low) * self._drawn.pop()

    def chance(self, probability: float) -> bool:
        """Return True with a given probability."""
        return self.uniform() < probability

    def whole(self, low: int, high: int) -> int:
        """Return a random integer from low to high, inclusive."""
        return min(high, low + int(self.uniform() * (high - low + 1)))

    def choice(self, items: Sequence[T]) -> T:
        """Return one of the items, uniformly at random."""
        return items[self.whole(0, len(items) - 1)]

    def weighted_choice(self, items: dict[T, float]) -> T:
        """Return one of the items, with probability proportional to its weight."""
        mark = self.uniform(0, sum(items.values()))
        for item, weight in items.items():
            mark -= weight
            if mark < 0:
                return item
        return next(iter(items))

    def offset(self) -> tuple[float, float]:
        """Return a random offset into a texture, on a grid shared by all sizes of 64 pixels and more."""
        return self.whole(0, 63) / 64, self.whole(0, 63) / 64


def rgb(color: Triple) -> Color:
    """Return a color given in 0..255 as float32 [3, 1, 1] in 0..1."""
    return (np.array(color, np.float32) / 255).reshape(3, 1, 1)


def vary(dice: Dice, color: Triple, hue: float = 0.02, tone: float = 0.1) -> Color:
    """Return a random color [3, 1, 1] near a color in 0..255, with hue, saturation and value slightly changed."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in color))
    h, s, v = h + dice.uniform(-hue, hue), s * dice.uniform(1 - tone, 1 + tone), v * dice.uniform(1 - tone, 1 + tone)
    red, green, blue = colorsys.hsv_to_rgb(h % 1, min(s, 1), min(v, 1))
    return rgb((255 * red, 255 * green, 255 * blue))


SNOW = rgb((246, 248, 255))


@dataclass(frozen=True, slots=True)
class Mood:
    """Time of day and weather: colors in 0..255; key and ambient light multiply the colors of surfaces."""

    zenith: Triple
    middle: Triple
    horizon: Triple
    key: Triple
    ambient: Triple
    cloud: Triple
    cloud_shade: Triple
    sun: Triple
    shadow: float
    haze: float
    lamps: float
    num_clouds: tuple[int, int]
    sun_chance: float
    sun_height: tuple[float, float]


MOODS: dict[str, tuple[float, Mood]] = {
    "noon": (
        0.24,
        Mood(
            zenith=(58, 124, 214),
            middle=(112, 172, 232),
            horizon=(190, 222, 240),
            key=(0.62, 0.6, 0.52),
            ambient=(0.5, 0.54, 0.6),
            cloud=(255, 255, 255),
            cloud_shade=(186, 200, 222),
            sun=(255, 246, 190),
            shadow=0.5,
            haze=0.1,
            lamps=0,
            num_clouds=(1, 4),
            sun_chance=0.5,
            sun_height=(0.55, 0.9),
        ),
    ),
    "morning": (
        0.17,
        Mood(
            zenith=(112, 168, 226),
            middle=(172, 206, 234),
            horizon=(250, 226, 190),
            key=(0.68, 0.58, 0.42),
            ambient=(0.46, 0.49, 0.56),
            cloud=(255, 250, 240),
            cloud_shade=(206, 196, 212),
            sun=(255, 240, 170),
            shadow=0.45,
            haze=0.24,
            lamps=0,
            num_clouds=(0, 3),
            sun_chance=0.65,
            sun_height=(0.25, 0.6),
        ),
    ),
    "golden": (
        0.17,
        Mood(
            zenith=(92, 146, 210),
            middle=(164, 194, 220),
            horizon=(250, 216, 158),
            key=(0.76, 0.58, 0.32),
            ambient=(0.44, 0.45, 0.52),
            cloud=(255, 240, 214),
            cloud_shade=(206, 178, 178),
            sun=(255, 228, 130),
            shadow=0.5,
            haze=0.18,
            lamps=0,
            num_clouds=(1, 4),
            sun_chance=0.65,
            sun_height=(0.2, 0.55),
        ),
    ),
    "sunset": (
        0.14,
        Mood(
            zenith=(70, 82, 158),
            middle=(204, 122, 148),
            horizon=(255, 172, 96),
            key=(0.76, 0.44, 0.24),
            ambient=(0.42, 0.38, 0.48),
            cloud=(255, 176, 140),
            cloud_shade=(146, 96, 140),
            sun=(255, 226, 120),
            shadow=0.42,
            haze=0.22,
            lamps=0.35,
            num_clouds=(1, 4),
            sun_chance=0.65,
            sun_height=(0.1, 0.35),
        ),
    ),
    "overcast": (
        0.12,
        Mood(
            zenith=(146, 158, 172),
            middle=(176, 186, 196),
            horizon=(208, 214, 216),
            key=(0.14, 0.14, 0.13),
            ambient=(0.78, 0.8, 0.82),
            cloud=(228, 232, 236),
            cloud_shade=(112, 122, 138),
            sun=(255, 255, 255),
            shadow=0.18,
            haze=0.3,
            lamps=0.05,
            num_clouds=(3, 6),
            sun_chance=0.0,
            sun_height=(0.5, 0.9),
        ),
    ),
    "mist": (
        0.07,
        Mood(
            zenith=(164, 180, 200),
            middle=(196, 204, 212),
            horizon=(232, 222, 210),
            key=(0.34, 0.3, 0.24),
            ambient=(0.62, 0.63, 0.66),
            cloud=(252, 250, 248),
            cloud_shade=(182, 188, 200),
            sun=(255, 248, 200),
            shadow=0.22,
            haze=0.62,
            lamps=0.05,
            num_clouds=(0, 2),
            sun_chance=0.5,
            sun_height=(0.3, 0.7),
        ),
    ),
    "dusk": (
        0.09,
        Mood(
            zenith=(30, 40, 100),
            middle=(78, 74, 142),
            horizon=(184, 118, 140),
            key=(0.16, 0.14, 0.2),
            ambient=(0.52, 0.52, 0.66),
            cloud=(112, 98, 150),
            cloud_shade=(54, 52, 104),
            sun=(255, 200, 140),
            shadow=0.15,
            haze=0.22,
            lamps=1.0,
            num_clouds=(0, 3),
            sun_chance=0.2,
            sun_height=(0.05, 0.2),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Light:
    """Light of one picture; colors are float32 [3, 1, 1].

    `side` is the sun's position from -1, left, to 1, right; `height` its elevation from 0, at the horizon, to 1,
    overhead; `lamps` the share of lit windows.
    """

    mood: str
    zenith: Color
    middle: Color
    horizon: Color
    key: Color
    ambient: Color
    cloud: Color
    cloud_shade: Color
    sun: Color
    side: float
    height: float
    shadow: float
    haze: float
    lamps: float

    def face(self, toward: str) -> Color:
        """Return the light that falls on a face oriented to the front, left, right or top."""
        share = {
            "front": 0.55 + 0.15 * (1 - abs(self.side)),
            "left": 0.5 - 0.55 * self.side,
            "right": 0.5 + 0.55 * self.side,
            "top": 0.55 + 0.4 * self.height,
        }[toward]
        return self.ambient + self.key * max(0.0, share)

    def fog(self, distance: float) -> float:
        """Return the share of a color that haze hides at a distance; a typical house is at 1, a mountain at 10."""
        return 1 - exp(-self.haze * distance * 0.5)

    def through_air(self, color: Array, distance: float) -> Array:
        """Return a color as seen through haze at a distance."""
        return color + (self.horizon - color) * np.float32(self.fog(distance))


def roll_light(dice: Dice, given: tuple[str, Mood] | None = None) -> tuple[Light, Mood]:
    """Draw the light and weather of a picture; a given mood and its name take the place of the drawn ones."""
    drawn = dice.weighted_choice({name: weight for name, (weight, _) in MOODS.items()})
    name, mood = (drawn, MOODS[drawn][1]) if given is None else given
    warm = dice.uniform(-0.05, 0.05)
    exposure = dice.uniform(0.92, 1.08)
    cast = np.array([1 + warm, 1, 1 - warm], np.float32).reshape(3, 1, 1) * np.float32(exposure)
    colors = {
        key: np.clip(vary(dice, getattr(mood, key), 0.012, 0.06) * cast, 0, 1)
        for key in ("zenith", "middle", "horizon", "cloud", "cloud_shade", "sun")
    }
    side = dice.uniform(0.25, 1) * (1 if dice.chance(0.5) else -1)
    key, ambient = (np.array(value, np.float32).reshape(3, 1, 1) * cast for value in (mood.key, mood.ambient))
    haze = mood.haze * dice.uniform(0.5, 1.6)
    return Light(
        name,
        key=key,
        ambient=ambient,
        side=side,
        height=dice.uniform(*mood.sun_height),
        shadow=mood.shadow,
        haze=haze,
        lamps=mood.lamps * dice.uniform(0.6, 1),
        **colors,
    ), mood
