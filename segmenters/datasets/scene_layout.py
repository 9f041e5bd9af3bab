"""Decide what stands where: one of six kinds of place, then its light, backdrop, ways and inhabitants.

The rules that every scene keeps: doors stand at the foot of a wall, windows in walls, roofs on buildings, clouds and
sun in the sky, mountains at the horizon, cars on roads, people on grass or pavement, trees and flowers on grass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .scene_light import Dice, Mood, roll_light, vary
from .scene_parts import Camera, Ground, Hill, House, Lane, Path, Range, Scene, Standing, Street, Water
from .scene_rolls import (
    Season, roll_car, roll_clouds, roll_fence, roll_flowers, roll_hills, roll_house, roll_mountains, roll_person,
    roll_season, roll_tree, without_door,
)  # fmt: skip

Way = Lane | Street | Path
Place = tuple[Camera, tuple[Range | Hill, ...], tuple[Way, ...], list[Standing]]


def lay_out(seed: int) -> Scene:
    """Return the scene that a seed stands for."""
    dice = Dice(seed)
    light, mood = roll_light(dice)
    season = roll_season(dice)
    place = dice.weighted(_PLACES)
    camera, backdrop, ways, standing = place(dice, season)
    ground = Ground(season.grass, season.far_grass, dice.offset())
    sun = None
    if dice.chance(mood.sun_chance):
        radius = dice.uniform(0.06, 0.09)
        away = dice.uniform(0.12, 0.34)
        x = 0.5 + (0.5 - away) * (1 if light.side > 0 else -1)
        high = dice.uniform(0.6, 0.95) if place in (_street, _city) else light.height
        sun = x, camera.horizon - radius - max(0.04, high * (camera.horizon - 2 * radius)), radius
    clouds = roll_clouds(dice, mood, camera.horizon)
    order = tuple(sorted(standing, key=lambda thing: thing.foot))
    return Scene(light, camera, sun, clouds, backdrop, ground, ways, order, dice.offset())


def _camera(horizon: float, foot: float, scale: float) -> Camera:
    """Return the camera for which a metre at foot is scale wide."""
    return Camera(horizon, scale / (foot - horizon))


def _asphalt(dice: Dice) -> tuple[float, float, float]:
    return dice.choice(((96, 98, 106), (112, 112, 116), (84, 86, 96)))


def _scatter_trees(dice: Dice, season: Season, camera: Camera, count: int, low: float, high: float,
                   taken: list[tuple[float, float]]) -> list[Standing]:
    """Draw trees on the meadow, clear of what is taken (spans of x)."""
    out: list[Standing] = []
    for _ in range(count):
        foot, x = dice.uniform(low, high), dice.uniform(0.02, 0.98)
        if all(not left - 0.04 < x < right + 0.04 for left, right in taken):
            out.append(roll_tree(dice, season, camera, x, foot))
    return out


def _span(house: House) -> tuple[float, float]:
    """Return the x a house takes up, side wall included."""
    return house.left - max(0, -house.seen) * house.depth, house.right + max(0, house.seen) * house.depth


def _street(dice: Dice, season: Season) -> Place:
    """A row of town houses behind a pavement and a road across the picture."""
    horizon, foot = dice.uniform(0.46, 0.56), dice.uniform(0.66, 0.76)
    camera = _camera(horizon, foot, dice.uniform(0.045, 0.07))
    behind = foot - 0.004
    top = foot + dice.uniform(0.05, 0.10)
    bottom = min(1.1, top + dice.uniform(0.16, 0.26))
    street = Street(behind, top, bottom, bottom + 0.03, vary(dice, _asphalt(dice), 0.02), dice.chance(0.75))
    standing: list[Standing] = []
    x = dice.uniform(-0.25, 0.02)
    gap = dice.chance(0.45)
    while x < 0.95:
        house = roll_house(dice, camera, "town", 0, foot, 0, dice.whole(2, 3), dice.whole(1, 3))
        wide = house.right - house.left
        house = _moved(house, x + wide / 2)
        standing.append(house)
        x += wide + (dice.uniform(0.10, 0.22) if gap else -0.002)
        if gap:
            standing.append(roll_tree(dice, season, camera, x - 0.07, foot - 0.004, 0.9, bed=True))
    if dice.chance(0.62):
        standing.append(roll_car(dice, camera, dice.uniform(0.14, 0.86), top + dice.uniform(0.04, 0.09), True))
    for _ in range(dice.weighted({0: 0.4, 1: 0.35, 2: 0.25})):
        standing.append(roll_person(dice, camera, dice.uniform(0.06, 0.94), dice.uniform(foot + 0.02, top - 0.005)))
    if dice.chance(0.22):
        standing.append(roll_tree(dice, season, camera, dice.choice((0.08, 0.92)), top - 0.016, 0.75, bed=True))
    return camera, _backdrop(dice, season, horizon, 0.3, 1), (street,), standing


def _moved(house: House, x: float) -> House:
    """Return a house drawn around x = 0, moved to stand around x."""
    door = replace(house.door, x=house.door.x + x) if house.door is not None else None
    chimney = house.chimney + x if house.chimney is not None else None
    return replace(house, left=house.left + x, right=house.right + x, door=door, chimney=chimney,
                   columns=tuple(column + x for column in house.columns))


def _backdrop(dice: Dice, season: Season, horizon: float, mountains: float, hills: int) -> tuple[Range | Hill, ...]:
    """Draw mountains with some probability, then hills."""
    rows: tuple[Range | Hill, ...] = ()
    if dice.chance(mountains):
        rows = roll_mountains(dice, horizon, dice.uniform(0.18, min(0.40, horizon - 0.06)))
    return rows + roll_hills(dice, season, horizon, dice.whole(0 if rows else 1, hills))


def _lane(dice: Dice, season: Season) -> Place:
    """A road that runs to the horizon between cottages and trees."""
    horizon, foot = dice.uniform(0.42, 0.54), dice.uniform(0.64, 0.72)
    camera = _camera(horizon, foot, dice.uniform(0.045, 0.06))
    near, far = dice.uniform(0.32, 0.68), dice.uniform(0.36, 0.64)
    half = dice.uniform(0.24, 0.36)
    town = dice.chance(0.4)
    earth = not town and dice.chance(0.3)
    lane = Lane(near, far, half, dice.uniform(-0.5, 0.5), dice.uniform(0.12, 0.18) if town else 0.0,
                vary(dice, (164, 138, 106) if earth else _asphalt(dice), 0.02), not earth and dice.chance(0.8), horizon + 0.012)
    standing: list[Standing] = []
    taken = []
    for side in (-1, 1):
        if not dice.chance(0.72):
            continue
        at = foot + dice.uniform(-0.05, 0.08)
        share = (at - horizon) / (1 - horizon)
        edge = lane.centre(share) + side * (half + lane.pavement + 0.03) * share
        kind = dice.weighted({"cottage": 0.55, "town": 0.45})
        house = roll_house(dice, camera, kind, 0, at, -side if dice.chance(0.75) else 0, dice.whole(2, 3),
                           1 if kind == "cottage" else dice.whole(1, 2))
        room = house.right - house.left
        reach = house.depth if house.seen else 0
        house = _moved(house, edge + side * (room / 2 + reach + 0.02))
        standing.append(house)
        taken.append(_span(house))
        if dice.chance(0.4):
            place = (house.left + house.right) / 2 + side * room * dice.uniform(0.1, 0.5)
            if house.door is not None and abs(place - house.door.x) > 0.12:
                standing.append(roll_flowers(dice, camera, place, at + 0.012))
    standing += _verge_trees(dice, season, camera, lane, taken)
    if dice.chance(0.5):
        at = dice.uniform(0.74, 0.92)
        share = (at - horizon) / (1 - horizon)
        lane_side = dice.choice((-1, 1))
        standing.append(roll_car(dice, camera, lane.centre(share) + lane_side * half * share * 0.5, at, False))
    if dice.chance(0.55):
        at = dice.uniform(0.72, 0.95)
        share = (at - horizon) / (1 - horizon)
        side = dice.choice((-1, 1))
        x = lane.centre(share) + side * ((half + lane.pavement * 0.6) * share + (0.0 if lane.pavement else 0.07))
        if 0.05 < x < 0.95:
            standing.append(roll_person(dice, camera, x, at))
    return camera, _backdrop(dice, season, horizon, 0.55, 2), (lane,), standing


def _verge_trees(dice: Dice, season: Season, camera: Camera, lane: Lane, taken: list[tuple[float, float]]) -> list[Standing]:
    """Draw trees beside a lane, clear of the houses and of the road."""
    out: list[Standing] = []
    for _ in range(dice.whole(2, 5)):
        foot = dice.uniform(camera.horizon + 0.05, camera.horizon + 0.30)
        share = (foot - camera.horizon) / (1 - camera.horizon)
        side = dice.choice((-1, 1))
        x = lane.centre(share) + side * ((lane.half + lane.pavement) * share + dice.uniform(0.05, 0.4))
        if 0 < x < 1 and all(not left - 0.03 < x < right + 0.03 for left, right in taken):
            out.append(roll_tree(dice, season, camera, x, foot))
    return out


def _garden(dice: Dice, camera: Camera, house: House, fenced: float) -> list[Standing]:
    """Draw a fence on one or both sides of a house, clear of its door."""
    if not dice.chance(fenced):
        return []
    left, right = _span(house)
    at = house.foot + dice.uniform(0.02, 0.09)
    door = house.door.x if house.door is not None else (left + right) / 2
    ends = min(door - 0.10, left + dice.uniform(0.0, 0.10)), max(door + 0.10, right - dice.uniform(0.0, 0.10))
    sides = dice.choice(((True, True), (True, False), (False, True)))
    fences = [roll_fence(dice, camera, -0.05, ends[0], at), roll_fence(dice, camera, ends[1], 1.05, at)]
    color, board, pointed = fences[0].color, fences[0].board, fences[0].pointed
    fences[1] = replace(fences[1], color=color, board=board, pointed=pointed, height=fences[0].height)
    return [fence for fence, wanted in zip(fences, sides, strict=True) if wanted and fence.right > 0.06 and fence.left < 0.94]


def _country(dice: Dice, season: Season) -> Place:
    """One house in a meadow, with a path to its door, a fence, flowers and trees."""
    horizon, foot = dice.uniform(0.40, 0.54), dice.uniform(0.68, 0.80)
    camera = _camera(horizon, foot, dice.uniform(0.055, 0.085))
    kind = dice.weighted({"cottage": 0.62, "barn": 0.23, "chapel": 0.15})
    x = dice.uniform(0.3, 0.7)
    seen = (1 if x < 0.5 else -1) if dice.chance(0.75) else 0
    columns = 3 if kind in ("barn", "chapel") else dice.whole(2, 3)
    house = roll_house(dice, camera, kind, x, foot, seen, columns, 2 if kind == "cottage" and dice.chance(0.25) else 1)
    standing: list[Standing] = [house]
    if kind == "chapel":
        steeple = roll_house(dice, camera, "steeple", house.left - 0.05 if seen >= 0 else house.right + 0.05, foot - 0.005, 0, 1, 2)
        standing.append(without_door(steeple))
    ways: list[Way] = []
    if house.door is not None and dice.chance(0.7):
        end_x = house.door.x + dice.uniform(-0.2, 0.2)
        ways.append(Path(house.door.x, house.door.half * 1.1, foot - 0.004, 1.02, end_x, house.door.half * dice.uniform(1.8, 3.0)))
    left, right = _span(house)
    taken = [(left, right)]
    standing += _garden(dice, camera, house, 0.65)
    for _ in range(dice.weighted({0: 0.25, 1: 0.40, 2: 0.35})):
        at = foot + dice.uniform(0.012, 0.16)
        place = dice.uniform(0.06, 0.94)
        if house.door is None or abs(place - house.door.x) > 0.16:
            standing.append(roll_flowers(dice, camera, place, at))
    standing += _scatter_trees(dice, season, camera, dice.whole(1, 4), horizon + 0.07, foot + 0.03, taken)
    if dice.chance(0.35):
        standing.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), foot + dice.uniform(0.05, 0.16)))
    return camera, _backdrop(dice, season, horizon, 0.5, 2), tuple(ways), standing


def _lake(dice: Dice, season: Season) -> Place:
    """A lake or sea that mirrors mountains, trees and perhaps a house on its far shore."""
    horizon, shore = dice.uniform(0.38, 0.50), 0.0
    shore = horizon + dice.uniform(0.10, 0.16)
    camera = _camera(horizon, shore, dice.uniform(0.042, 0.055))
    bottom = 1.2 if dice.chance(0.45) else dice.uniform(0.80, 0.90)
    water = Water(shore + 0.01, bottom, vary(dice, dice.choice(((44, 104, 168), (40, 124, 160), (60, 116, 150))), 0.02),
                  dice.uniform(0.01, 0.03), dice.offset())
    standing: list[Standing] = [water]
    taken = []
    foot = shore - 0.016
    if dice.chance(0.65):
        x = dice.uniform(0.15, 0.85)
        kind = dice.weighted({"cottage": 0.8, "chapel": 0.2})
        house = roll_house(dice, camera, kind, x, foot, (1 if x < 0.5 else -1) if dice.chance(0.7) else 0, 3 if kind == "chapel" else dice.whole(2, 3), 1)
        standing.append(house)
        taken.append(_span(house))
    standing += _scatter_trees(dice, season, camera, dice.whole(2, 6), foot - 0.05, foot, taken)
    if bottom < 1:
        near = bottom + 0.05
        for _ in range(dice.whole(0, 2)):
            standing.append(roll_flowers(dice, camera, dice.uniform(0.05, 0.95), dice.uniform(near, 0.99)))
        if dice.chance(0.3):
            standing.append(roll_fence(dice, camera, *dice.choice(((-0.05, 0.45), (0.5, 1.05), (-0.05, 1.05))), near + 0.03))
        if dice.chance(0.45):
            standing.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), dice.uniform(near, 0.97)))
        if dice.chance(0.5):
            standing.append(roll_tree(dice, season, camera, dice.choice((dice.uniform(0, 0.12), dice.uniform(0.88, 1))), dice.uniform(near, 0.97), 0.8))
    return camera, _backdrop(dice, season, horizon, 0.75, 2), (), standing


def _coast(dice: Dice, season: Season) -> Place:
    """A house in front of the sea, which begins at the horizon."""
    horizon = dice.uniform(0.36, 0.46)
    bottom = horizon + dice.uniform(0.14, 0.22)
    foot = bottom + dice.uniform(0.10, 0.20)
    camera = _camera(horizon, foot, dice.uniform(0.05, 0.075))
    water = Water(horizon, bottom, vary(dice, dice.choice(((40, 110, 178), (44, 136, 170), (70, 120, 150))), 0.02),
                  dice.uniform(0.01, 0.03), dice.offset(), sea=True)
    standing: list[Standing] = [water]
    x = dice.uniform(0.2, 0.8)
    taken = []
    if dice.chance(0.75):
        house = roll_house(dice, camera, "cottage", x, foot, (1 if x < 0.5 else -1) if dice.chance(0.7) else 0, dice.whole(2, 3), 1)
        standing.append(house)
        taken.append(_span(house))
        standing += _garden(dice, camera, house, 0.65)
    standing += _scatter_trees(dice, season, camera, dice.whole(0, 3), bottom + 0.07, foot + 0.06, taken)
    if dice.chance(0.5):
        standing.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), dice.uniform(foot + 0.05, 0.97)))
    backdrop: tuple[Range | Hill, ...] = ()
    if dice.chance(0.4):
        backdrop = roll_mountains(dice, horizon, dice.uniform(0.10, 0.22))[:1]
    return camera, backdrop, (), standing


def _wild(dice: Dice, season: Season) -> Place:
    """Nobody lives here: a meadow, woods, mountains, perhaps a winding road."""
    horizon = dice.uniform(0.40, 0.56)
    camera = _camera(horizon, horizon + 0.16, dice.uniform(0.045, 0.06))
    ways: tuple[Way, ...] = ()
    taken: list[tuple[float, float]] = []
    standing: list[Standing] = []
    if dice.chance(0.6):
        lane = Lane(dice.uniform(0.25, 0.75), dice.uniform(0.3, 0.7), dice.uniform(0.2, 0.3), dice.uniform(-0.9, 0.9), 0.0,
                    vary(dice, dice.choice(((164, 138, 106), _asphalt(dice))), 0.02), False, horizon + 0.012)
        ways = (lane,)
        standing += _verge_trees(dice, season, camera, lane, taken)
    else:
        standing += _scatter_trees(dice, season, camera, dice.whole(3, 7), horizon + 0.05, 0.85, taken)
    for _ in range(dice.whole(0, 2)):
        if not ways:
            standing.append(roll_flowers(dice, camera, dice.uniform(0.05, 0.95), dice.uniform(0.75, 0.98)))
    return camera, _backdrop(dice, season, horizon, 0.85, 2), ways, standing


def _city(dice: Dice, season: Season) -> Place:
    """High buildings at two depths above a road."""
    horizon, foot = dice.uniform(0.54, 0.62), dice.uniform(0.72, 0.79)
    camera = _camera(horizon, foot, dice.uniform(0.036, 0.046))
    top = foot + dice.uniform(0.04, 0.08)
    street = Street(foot - 0.004, top, 1.1, 1.2, vary(dice, _asphalt(dice), 0.02), dice.chance(0.8))
    standing: list[Standing] = []
    x = dice.uniform(-0.1, 0.1)
    while x < 1.0:
        back = roll_house(dice, camera, "tower", 0, foot - 0.07, 0, dice.whole(2, 3), dice.whole(3, 6))
        wide = back.right - back.left
        standing.append(without_door(_moved(back, x + wide / 2)))
        x += wide + dice.uniform(0.02, 0.2)
    x = dice.uniform(-0.15, 0.12)
    while x < 0.95:
        seen = 1 if x < 0.25 else -1 if x > 0.55 else 0
        house = roll_house(dice, camera, "tower", 0, foot, seen if dice.chance(0.7) else 0, dice.whole(2, 3), dice.whole(2, 5))
        wide = house.right - house.left
        house = _moved(house, x + wide / 2 + (house.depth if house.seen < 0 else 0))
        standing.append(house)
        x += wide + house.depth + dice.uniform(0.04, 0.24)
    if dice.chance(0.7):
        standing.append(roll_car(dice, camera, dice.uniform(0.14, 0.86), top + dice.uniform(0.05, 0.10), True))
    if dice.chance(0.4):
        standing.append(roll_person(dice, camera, dice.uniform(0.06, 0.94), top - 0.008))
    for _ in range(dice.whole(0, 2)):
        standing.append(roll_tree(dice, season, camera, dice.uniform(0.02, 0.98), foot + 0.012, 0.7, bed=True))
    return camera, _backdrop(dice, season, horizon, 0.1, 1), (street,), standing


_PLACES: dict[Callable[[Dice, Season], Place], float] = {
    _street: 0.25, _lane: 0.23, _country: 0.20, _lake: 0.12, _coast: 0.08, _city: 0.07, _wild: 0.05,
}  # fmt: skip
__all__ = ["Mood", "lay_out"]
