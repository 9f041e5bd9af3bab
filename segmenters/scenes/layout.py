"""Lay out a picture: its light, its kind of site, and the objects on it.

Every scene follows the same rules: doors are at the foot of a wall, windows in walls, roofs on buildings, clouds and
sun in the sky, mountains at the horizon, cars on roads, people on grass or pavement, trees and flowers on grass.
"""

from __future__ import annotations

from collections.abc import Callable

from .country import roll_coast, roll_country, roll_lake, roll_wild
from .light import Dice, Light, Mood, roll_light
from .objects import Camera, Ground, Scene
from .sample_objects import Season, roll_clouds, roll_season
from .sample_sites import Site
from .towns import roll_city, roll_lane, roll_street

SITES: dict[Callable[[Dice, Season], Site], float] = {
    roll_street: 0.25,
    roll_lane: 0.23,
    roll_country: 0.20,
    roll_lake: 0.12,
    roll_coast: 0.08,
    roll_city: 0.07,
    roll_wild: 0.05,
}
"""Probability of each kind of site."""


def lay_out(seed: int) -> Scene:
    """Return the scene of a seed."""
    dice = Dice(seed)
    light, mood = roll_light(dice)
    season = roll_season(dice)
    kind = dice.weighted_choice(SITES)
    site = kind(dice, season)
    ground = Ground(season.grass, season.far_grass, dice.offset())
    sun = _roll_sun(dice, light, mood, site.camera, kind in (roll_street, roll_city))
    clouds = roll_clouds(dice, mood, site.camera.horizon)
    standing = tuple(sorted(site.standing, key=lambda thing: thing.foot))
    return Scene(light, site.camera, sun, clouds, site.backdrop, ground, site.ways, standing)


def _roll_sun(dice: Dice, light: Light, mood: Mood, camera: Camera, town: bool) -> tuple[float, float, float] | None:
    """Draw the sun's position and radius (x, y, radius), high above the roofs of a town; None if it is not visible."""
    if not dice.chance(mood.sun_chance):
        return None
    radius = dice.uniform(0.06, 0.09)
    away = dice.uniform(0.12, 0.34)
    x = 0.5 + (0.5 - away) * (1 if light.side > 0 else -1)
    height = dice.uniform(0.6, 0.95) if town else light.height
    return x, camera.horizon - radius - max(0.04, height * (camera.horizon - 2 * radius)), radius
