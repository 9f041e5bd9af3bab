"""Draw sites with roads: a street of town houses, a city of towers, a lane between cottages."""

from __future__ import annotations

from .light import Dice, rgb, vary
from .objects import Camera, House, Lane, SceneObject, Street
from .sample_buildings import HousePlan, remove_door, roll_house
from .sample_objects import Season, roll_car, roll_flowers, roll_person, roll_tree
from .sample_sites import (
    EARTH,
    Site,
    Span,
    house_span,
    move_house,
    place_camera,
    roll_asphalt,
    roll_backdrop,
    roll_verge_trees,
)

VERGE = rgb((96, 150, 62))


def roll_street(dice: Dice, season: Season) -> Site:
    """Draw a row of town houses behind a pavement, with a road across the picture."""
    horizon, foot = dice.uniform(0.46, 0.56), dice.uniform(0.66, 0.76)
    camera = place_camera(horizon, foot, dice.uniform(0.045, 0.07))
    top = foot + dice.uniform(0.05, 0.10)
    bottom = min(1.1, top + dice.uniform(0.16, 0.26))
    road = Street(
        foot - 0.004, top, bottom, bottom + 0.03, vary(dice, roll_asphalt(dice), 0.02), VERGE, dice.chance(0.75)
    )
    standing = _roll_terrace(dice, season, camera, foot)
    if dice.chance(0.62):
        standing.append(roll_car(dice, camera, dice.uniform(0.14, 0.86), top + dice.uniform(0.04, 0.09), True))
    for _ in range(dice.weighted_choice({0: 0.4, 1: 0.35, 2: 0.25})):
        standing.append(roll_person(dice, camera, dice.uniform(0.06, 0.94), dice.uniform(foot + 0.02, top - 0.005)))
    if dice.chance(0.22):
        spot = dice.choice((0.08, 0.92)), top - 0.016
        standing.append(roll_tree(dice, season, camera, spot, 0.75, bed=True))
    return Site(camera, roll_backdrop(dice, season, horizon, 0.3, 1), (road,), standing)


def _roll_terrace(dice: Dice, season: Season, camera: Camera, foot: float) -> list[SceneObject]:
    """Draw town houses from the left edge to the right, wall to wall or with a tree in each gap."""
    out: list[SceneObject] = []
    x = dice.uniform(-0.25, 0.02)
    gaps = dice.chance(0.45)
    while x < 0.95:
        house = roll_house(dice, camera, HousePlan("town", 0, foot, 0, dice.whole(2, 3), dice.whole(1, 3)))
        wide = house.right - house.left
        out.append(move_house(house, x + wide / 2))
        x += wide + (dice.uniform(0.10, 0.22) if gaps else -0.002)
        if gaps:
            out.append(roll_tree(dice, season, camera, (x - 0.07, foot - 0.004), 0.9, bed=True))
    return out


def roll_city(dice: Dice, season: Season) -> Site:
    """Draw tall buildings at two depths above a road."""
    horizon, foot = dice.uniform(0.54, 0.62), dice.uniform(0.72, 0.79)
    camera = place_camera(horizon, foot, dice.uniform(0.036, 0.046))
    top = foot + dice.uniform(0.04, 0.08)
    road = Street(foot - 0.004, top, 1.1, 1.2, vary(dice, roll_asphalt(dice), 0.02), VERGE, dice.chance(0.8))
    standing = _roll_skyline(dice, camera, foot - 0.07) + _roll_towers(dice, camera, foot)
    if dice.chance(0.7):
        standing.append(roll_car(dice, camera, dice.uniform(0.14, 0.86), top + dice.uniform(0.05, 0.10), True))
    if dice.chance(0.4):
        standing.append(roll_person(dice, camera, dice.uniform(0.06, 0.94), top - 0.008))
    for _ in range(dice.whole(0, 2)):
        standing.append(roll_tree(dice, season, camera, (dice.uniform(0.02, 0.98), foot + 0.012), 0.7, bed=True))
    return Site(camera, roll_backdrop(dice, season, horizon, 0.1, 1), (road,), standing)


def _roll_skyline(dice: Dice, camera: Camera, foot: float) -> list[SceneObject]:
    """Draw the towers in the back, whose doors are hidden."""
    out: list[SceneObject] = []
    x = dice.uniform(-0.1, 0.1)
    while x < 1.0:
        house = roll_house(dice, camera, HousePlan("tower", 0, foot, 0, dice.whole(2, 3), dice.whole(3, 6)))
        wide = house.right - house.left
        out.append(remove_door(move_house(house, x + wide / 2)))
        x += wide + dice.uniform(0.02, 0.2)
    return out


def _roll_towers(dice: Dice, camera: Camera, foot: float) -> list[SceneObject]:
    """Draw the towers in front; those near the edges face the middle."""
    out: list[SceneObject] = []
    x = dice.uniform(-0.15, 0.12)
    while x < 0.95:
        visible_side = 1 if x < 0.25 else -1 if x > 0.55 else 0
        visible_side = visible_side if dice.chance(0.7) else 0
        house = roll_house(dice, camera, HousePlan("tower", 0, foot, visible_side, dice.whole(2, 3), dice.whole(2, 5)))
        wide = house.right - house.left
        out.append(move_house(house, x + wide / 2 + (house.depth if house.visible_side < 0 else 0)))
        x += wide + house.depth + dice.uniform(0.04, 0.24)
    return out


def roll_lane(dice: Dice, season: Season) -> Site:
    """Draw a road that runs to the horizon between cottages and trees."""
    horizon, foot = dice.uniform(0.42, 0.54), dice.uniform(0.64, 0.72)
    camera = place_camera(horizon, foot, dice.uniform(0.045, 0.06))
    road = _roll_road(dice, horizon)
    standing: list[SceneObject] = []
    taken: list[Span] = []
    for side in (-1, 1):
        if dice.chance(0.72):
            house = _roll_roadside_house(dice, camera, road, side, foot + dice.uniform(-0.05, 0.08))
            standing.append(house)
            taken.append(house_span(house))
            standing += _roll_doorstep_flowers(dice, camera, house, side)
    standing += roll_verge_trees(dice, season, camera, road, taken)
    if dice.chance(0.5):
        at = dice.uniform(0.74, 0.92)
        share = camera.nearness(at)
        x = road.center(share) + dice.choice((-1, 1)) * road.half * share * 0.5
        standing.append(roll_car(dice, camera, x, at, False))
    if dice.chance(0.55):
        at = dice.uniform(0.72, 0.95)
        share = camera.nearness(at)
        beside = (road.half + road.pavement * 0.6) * share + (0.0 if road.pavement else 0.07)
        x = road.center(share) + dice.choice((-1, 1)) * beside
        if 0.05 < x < 0.95:
            standing.append(roll_person(dice, camera, x, at))
    return Site(camera, roll_backdrop(dice, season, horizon, 0.55, 2), (road,), standing)


def _roll_road(dice: Dice, horizon: float) -> Lane:
    """Draw a road, either of asphalt, with or without pavements, or of earth."""
    near, far = dice.uniform(0.32, 0.68), dice.uniform(0.36, 0.64)
    half = dice.uniform(0.24, 0.36)
    town = dice.chance(0.4)
    earth = not town and dice.chance(0.3)
    bend, pavement = dice.uniform(-0.5, 0.5), dice.uniform(0.12, 0.18) if town else 0.0
    color = vary(dice, EARTH if earth else roll_asphalt(dice), 0.02)
    return Lane(near, far, half, bend, pavement, color, not earth and dice.chance(0.8), horizon + 0.012)


def _roll_roadside_house(dice: Dice, camera: Camera, road: Lane, side: int, foot: float) -> House:
    """Draw a house to the left (-1) or right (1) of a road."""
    share = camera.nearness(foot)
    edge = road.center(share) + side * (road.half + road.pavement + 0.03) * share
    kind = dice.weighted_choice({"cottage": 0.55, "town": 0.45})
    visible_side = -side if dice.chance(0.75) else 0
    plan = HousePlan(kind, 0, foot, visible_side, dice.whole(2, 3), 1 if kind == "cottage" else dice.whole(1, 2))
    house = roll_house(dice, camera, plan)
    reach = house.depth if house.visible_side else 0
    return move_house(house, edge + side * ((house.right - house.left) / 2 + reach + 0.02))


def _roll_doorstep_flowers(dice: Dice, camera: Camera, house: House, side: int) -> list[SceneObject]:
    """Sometimes draw flowers in front of a house, away from the road and not in front of its door."""
    if not dice.chance(0.4):
        return []
    x = (house.left + house.right) / 2 + side * (house.right - house.left) * dice.uniform(0.1, 0.5)
    if house.door is None or abs(x - house.door.x) <= 0.12:
        return []
    return [roll_flowers(dice, camera, x, house.foot + 0.012)]
