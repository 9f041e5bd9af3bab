"""Draw sites in the country: a house in a meadow, a lake, the coast, the wilderness."""

from __future__ import annotations

from .light import Dice, Triple, vary
from .objects import Camera, Footpath, Hill, House, Lane, Range, SceneObject, Water
from .sample_buildings import HousePlan, remove_door, roll_house
from .sample_objects import Season, roll_fence, roll_flowers, roll_mountains, roll_person, roll_tree
from .sample_sites import (
    EARTH,
    Site,
    Span,
    house_span,
    place_camera,
    roll_asphalt,
    roll_backdrop,
    roll_garden,
    roll_verge_trees,
    roll_visible_side,
    scatter_trees,
)

LAKES: tuple[Triple, ...] = ((44, 104, 168), (40, 124, 160), (60, 116, 150))
SEAS: tuple[Triple, ...] = ((40, 110, 178), (44, 136, 170), (70, 120, 150))


def roll_country(dice: Dice, season: Season) -> Site:
    """Draw one house in a meadow, with a path to its door, a fence, flowers and trees."""
    horizon, foot = dice.uniform(0.40, 0.54), dice.uniform(0.68, 0.80)
    camera = place_camera(horizon, foot, dice.uniform(0.055, 0.085))
    kind = dice.weighted_choice({"cottage": 0.62, "barn": 0.23, "chapel": 0.15})
    x = dice.uniform(0.3, 0.7)
    visible_side = roll_visible_side(dice, x, 0.75)
    columns = 3 if kind in ("barn", "chapel") else dice.whole(2, 3)
    floors = 2 if kind == "cottage" and dice.chance(0.25) else 1
    house = roll_house(dice, camera, HousePlan(kind, x, foot, visible_side, columns, floors))
    standing: list[SceneObject] = [house]
    if kind == "chapel":
        beside = house.left - 0.05 if visible_side >= 0 else house.right + 0.05
        standing.append(remove_door(roll_house(dice, camera, HousePlan("steeple", beside, foot - 0.005, 0, 1, 2))))
    ways = _roll_footpath(dice, house)
    standing += roll_garden(dice, camera, house, 0.65)
    for _ in range(dice.weighted_choice({0: 0.25, 1: 0.40, 2: 0.35})):
        at, place = foot + dice.uniform(0.012, 0.16), dice.uniform(0.06, 0.94)
        if house.door is None or abs(place - house.door.x) > 0.16:
            standing.append(roll_flowers(dice, camera, place, at))
    standing += scatter_trees(
        dice, season, camera, dice.whole(1, 4), (horizon + 0.07, foot + 0.03), [house_span(house)]
    )
    if dice.chance(0.35):
        standing.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), foot + dice.uniform(0.05, 0.16)))
    return Site(camera, roll_backdrop(dice, season, horizon, 0.5, 2), ways, standing)


def _roll_footpath(dice: Dice, house: House) -> tuple[Footpath, ...]:
    """Usually draw a paved path from a door to the lower edge of the picture."""
    if house.door is None or not dice.chance(0.7):
        return ()
    end_x, half = house.door.x + dice.uniform(-0.2, 0.2), house.door.half
    return (Footpath(house.door.x, half * 1.1, house.foot - 0.004, 1.02, end_x, half * dice.uniform(1.8, 3.0)),)


def roll_lake(dice: Dice, season: Season) -> Site:
    """Draw a lake that mirrors mountains, trees and perhaps a house on its far shore."""
    horizon = dice.uniform(0.38, 0.50)
    shore = horizon + dice.uniform(0.10, 0.16)
    camera = place_camera(horizon, shore, dice.uniform(0.042, 0.055))
    bottom = 1.2 if dice.chance(0.45) else dice.uniform(0.80, 0.90)
    color = vary(dice, dice.choice(LAKES), 0.02)
    standing: list[SceneObject] = [Water(shore + 0.01, bottom, color, dice.uniform(0.01, 0.03), dice.offset())]
    taken: list[Span] = []
    foot = shore - 0.016
    if dice.chance(0.65):
        x = dice.uniform(0.15, 0.85)
        kind = dice.weighted_choice({"cottage": 0.8, "chapel": 0.2})
        visible_side = roll_visible_side(dice, x, 0.7)
        plan = HousePlan(kind, x, foot, visible_side, 3 if kind == "chapel" else dice.whole(2, 3), 1)
        house = roll_house(dice, camera, plan)
        standing.append(house)
        taken.append(house_span(house))
    standing += scatter_trees(dice, season, camera, dice.whole(2, 6), (foot - 0.05, foot), taken)
    if bottom < 1:
        standing += _roll_near_shore(dice, season, camera, bottom + 0.05)
    return Site(camera, roll_backdrop(dice, season, horizon, 0.75, 2), (), standing)


def _roll_near_shore(dice: Dice, season: Season, camera: Camera, near: float) -> list[SceneObject]:
    """Draw the objects on the viewer's side of a lake."""
    out: list[SceneObject] = []
    for _ in range(dice.whole(0, 2)):
        out.append(roll_flowers(dice, camera, dice.uniform(0.05, 0.95), dice.uniform(near, 0.99)))
    if dice.chance(0.3):
        ends = dice.choice(((-0.05, 0.45), (0.5, 1.05), (-0.05, 1.05)))
        out.append(roll_fence(dice, camera, *ends, near + 0.03))
    if dice.chance(0.45):
        out.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), dice.uniform(near, 0.97)))
    if dice.chance(0.5):
        x = dice.choice((dice.uniform(0, 0.12), dice.uniform(0.88, 1)))
        out.append(roll_tree(dice, season, camera, (x, dice.uniform(near, 0.97)), 0.8))
    return out


def roll_coast(dice: Dice, season: Season) -> Site:
    """Draw a house in front of the sea, which begins at the horizon."""
    horizon = dice.uniform(0.36, 0.46)
    bottom = horizon + dice.uniform(0.14, 0.22)
    foot = bottom + dice.uniform(0.10, 0.20)
    camera = place_camera(horizon, foot, dice.uniform(0.05, 0.075))
    color = vary(dice, dice.choice(SEAS), 0.02)
    standing: list[SceneObject] = [Water(horizon, bottom, color, dice.uniform(0.01, 0.03), dice.offset(), sea=True)]
    x = dice.uniform(0.2, 0.8)
    taken: list[Span] = []
    if dice.chance(0.75):
        visible_side = roll_visible_side(dice, x, 0.7)
        house = roll_house(dice, camera, HousePlan("cottage", x, foot, visible_side, dice.whole(2, 3), 1))
        standing.append(house)
        taken.append(house_span(house))
        standing += roll_garden(dice, camera, house, 0.65)
    standing += scatter_trees(dice, season, camera, dice.whole(0, 3), (bottom + 0.07, foot + 0.06), taken)
    if dice.chance(0.5):
        standing.append(roll_person(dice, camera, dice.uniform(0.08, 0.92), dice.uniform(foot + 0.05, 0.97)))
    backdrop: tuple[Range | Hill, ...] = ()
    if dice.chance(0.4):
        backdrop = roll_mountains(dice, horizon, dice.uniform(0.10, 0.22))[:1]
    return Site(camera, backdrop, (), standing)


def roll_wild(dice: Dice, season: Season) -> Site:
    """Draw an uninhabited site: a meadow, woods, mountains, perhaps a winding road."""
    horizon = dice.uniform(0.40, 0.56)
    camera = place_camera(horizon, horizon + 0.16, dice.uniform(0.045, 0.06))
    standing: list[SceneObject] = []
    ways: tuple[Lane, ...] = ()
    if dice.chance(0.6):
        near, far = dice.uniform(0.25, 0.75), dice.uniform(0.3, 0.7)
        half, bend = dice.uniform(0.2, 0.3), dice.uniform(-0.9, 0.9)
        color = vary(dice, dice.choice((EARTH, roll_asphalt(dice))), 0.02)
        ways = (Lane(near, far, half, bend, 0.0, color, False, horizon + 0.012),)
        standing += roll_verge_trees(dice, season, camera, ways[0], [])
    else:
        standing += scatter_trees(dice, season, camera, dice.whole(3, 7), (horizon + 0.05, 0.85), [])
    for _ in range(dice.whole(0, 2)):
        if not ways:
            standing.append(roll_flowers(dice, camera, dice.uniform(0.05, 0.95), dice.uniform(0.75, 0.98)))
    return Site(camera, roll_backdrop(dice, season, horizon, 0.85, 2), ways, standing)
