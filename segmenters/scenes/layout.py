"""Lay out a picture: its light, its kind of site, and the objects on it.

Every scene follows the same rules: doors are at the foot of a wall, windows in walls, roofs on buildings, clouds and
sun in the sky, mountains at the horizon, cars on roads, people on grass or pavement, trees and flowers on grass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gandissect.core.lookup import lookup
from gandissect.core.ranges import Range, check_number

from .country import roll_coast, roll_country, roll_lake, roll_wild
from .hours import HOURS, draw_hour, group_of, mood_at
from .light import MOODS, Dice, Light, Mood, roll_light
from .objects import Camera, Ground, Scene
from .sample_objects import SEASONS, Season, roll_clouds, roll_season
from .sample_sites import Site
from .towns import roll_city, roll_lane, roll_street
from .winter import cover_with_snow

PLACES: dict[str, tuple[float, Callable[[Dice, Season], Site]]] = {
    "street": (0.25, roll_street),
    "lane": (0.23, roll_lane),
    "country": (0.20, roll_country),
    "lake": (0.12, roll_lake),
    "coast": (0.08, roll_coast),
    "city": (0.07, roll_city),
    "wild": (0.05, roll_wild),
}
"""Probability of each kind of place, and what draws it."""
TOWNS = ("street", "city")
"""Places where the sun is high above the roofs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Names that take the place of drawn ones; None leaves them drawn.

    Args:
        mood: Name of the light and weather, of `MOODS`.
        season: Name of the season, of `SEASONS`.
        place: Name of the place, of `PLACES`.
        hour: Hour of the day, from the morning, 0, to dusk, 1, in place of the mood; "drawn" draws it for each scene.

    Raises:
        KeyError: If a name is unknown; the message suggests the nearest one and lists all of them.
        ValueError: If the hour is out of range, or a mood is given too.
    """

    mood: str | None = None
    season: str | None = None
    place: str | None = None
    hour: float | Literal["drawn"] | None = None

    def __post_init__(self) -> None:
        for kind, names in NAMES.items():
            if (name := getattr(self, kind)) is not None:
                lookup(dict.fromkeys(names), name, f"{kind} of scenes")
        if self.hour is not None and self.mood is not None:
            raise ValueError(f"scenes must have a mood or an hour, not both; got {self.mood} and {self.hour}")
        if self.hour is not None and self.hour != "drawn":
            check_number("hour", self.hour, Range(0, 1))

    @property
    def given(self) -> dict[str, Any]:
        """What is given, by kind."""
        values = {kind: getattr(self, kind) for kind in (*NAMES, "hour")}
        return {kind: value for kind, value in values.items() if value is not None}


NAMES: dict[str, tuple[str, ...]] = {"mood": tuple(MOODS), "season": tuple(SEASONS), "place": tuple(PLACES)}
"""All names, by kind; a name is of one kind only."""
DRAWN = Setting()


def lay_out(seed: int, setting: Setting = DRAWN) -> Scene:
    """Return the scene of a seed.

    A given name leaves all other draws as they are. Thus another season changes only colors. Another mood or hour
    changes only the light: the sun and the clouds stay those of the mood that was drawn, so that things are at the same
    pixels.
    """
    dice = Dice(seed)
    light, mood = roll_light(dice)
    season = roll_season(dice, setting.season)
    place = _draw_place(dice, setting.place)
    site = PLACES[place][1](dice, season)
    ground = Ground(season.grass, season.far_grass, dice.offset())
    sun = _roll_sun(dice, light, mood, site.camera, place in TOWNS)
    clouds = roll_clouds(dice, mood, site.camera.horizon)
    standing = tuple(sorted(site.standing, key=lambda thing: thing.foot))
    hour = draw_hour(seed) if setting.hour == "drawn" else setting.hour
    if hour is not None:
        light, _ = roll_light(Dice(seed), (HOURS[group_of(hour)], mood_at(hour)))
    elif setting.mood is not None:
        light, _ = roll_light(Dice(seed), (setting.mood, MOODS[setting.mood][1]))
    scene = Scene(light, site.camera, sun, clouds, site.backdrop, ground, site.ways, standing, season.name, place, hour)
    return cover_with_snow(scene) if season.name == "winter" else scene


def roll_place(seed: int) -> str:
    """Return the name of the place that a seed draws, without the rest of its scene."""
    dice = Dice(seed)
    roll_light(dice)
    roll_season(dice)
    return _draw_place(dice)


def _draw_place(dice: Dice, name: str | None = None) -> str:
    """Draw the name of a place; a given name takes its place."""
    drawn = dice.weighted_choice({place: weight for place, (weight, _) in PLACES.items()})
    return drawn if name is None else name


def _roll_sun(dice: Dice, light: Light, mood: Mood, camera: Camera, town: bool) -> tuple[float, float, float] | None:
    """Draw the sun's position and radius (x, y, radius), high above the roofs of a town; None if it is not visible."""
    if not dice.chance(mood.sun_chance):
        return None
    radius = dice.uniform(0.06, 0.09)
    away = dice.uniform(0.12, 0.34)
    x = 0.5 + (0.5 - away) * (1 if light.side > 0 else -1)
    height = dice.uniform(0.6, 0.95) if town else light.height
    return x, camera.horizon - radius - max(0.04, height * (camera.horizon - 2 * radius)), radius
