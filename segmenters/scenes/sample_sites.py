"""Draw the parts that all kinds of sites share: cameras, backdrops, gardens, and trees clear of houses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .light import Dice, Triple
from .objects import Camera, Footpath, Hill, House, Lane, Range, SceneObject, Street
from .sample_objects import Season, roll_fence, roll_hills, roll_mountains, roll_tree

Span = tuple[float, float]
EARTH: Triple = (164, 138, 106)


@dataclass(frozen=True, slots=True)
class Site:
    """Site of a scene: its camera, backdrop, roads and paths, and objects in any order."""

    camera: Camera
    backdrop: tuple[Range | Hill, ...]
    ways: tuple[Lane | Street | Footpath, ...]
    standing: list[SceneObject]


def place_camera(horizon: float, foot: float, scale: float) -> Camera:
    """Return the camera in which a meter at y = foot has width `scale`."""
    return Camera(horizon, scale / (foot - horizon))


def roll_asphalt(dice: Dice) -> Triple:
    """Draw a shade of gray for a road, in 0..255."""
    return dice.choice(((96, 98, 106), (112, 112, 116), (84, 86, 96)))


def roll_backdrop(dice: Dice, season: Season, horizon: float, mountains: float, hills: int) -> tuple[Range | Hill, ...]:
    """Draw mountains with probability `mountains`, then at most `hills` rows of hills."""
    rows: tuple[Range | Hill, ...] = ()
    if dice.chance(mountains):
        rows = roll_mountains(dice, horizon, dice.uniform(0.18, min(0.40, horizon - 0.06)))
    return rows + roll_hills(dice, season, horizon, dice.whole(0 if rows else 1, hills))


def roll_visible_side(dice: Dice, x: float, probability: float) -> int:
    """Return the visible side wall of a house at x, the one toward the middle, or 0 for none."""
    return (1 if x < 0.5 else -1) if dice.chance(probability) else 0


def house_span(house: House) -> Span:
    """Return the range of x that a house occupies, including its side wall."""
    return house.left - max(0, -house.visible_side) * house.depth, house.right + max(
        0, house.visible_side
    ) * house.depth


def move_house(house: House, x: float) -> House:
    """Return a house drawn around x = 0, moved to x."""
    return replace(
        house,
        left=house.left + x,
        right=house.right + x,
        columns=tuple(column + x for column in house.columns),
        door=None if house.door is None else replace(house.door, x=house.door.x + x),
        chimney=None if house.chimney is None else house.chimney + x,
    )


def is_clear(x: float, taken: list[Span], room: float) -> bool:
    """Return whether x is at least `room` away from all occupied spans."""
    return all(not left - room < x < right + room for left, right in taken)


def scatter_trees(
    dice: Dice, season: Season, camera: Camera, count: int, feet: Span, taken: list[Span]
) -> list[SceneObject]:
    """Draw up to `count` trees on the meadow between two heights, clear of occupied spans."""
    out: list[SceneObject] = []
    for _ in range(count):
        foot, x = dice.uniform(*feet), dice.uniform(0.02, 0.98)
        if is_clear(x, taken, 0.04):
            out.append(roll_tree(dice, season, camera, (x, foot)))
    return out


def roll_verge_trees(dice: Dice, season: Season, camera: Camera, way: Lane, taken: list[Span]) -> list[SceneObject]:
    """Draw trees beside a lane, clear of the road and of occupied spans."""
    out: list[SceneObject] = []
    for _ in range(dice.whole(2, 5)):
        foot = dice.uniform(camera.horizon + 0.05, camera.horizon + 0.30)
        share = camera.nearness(foot)
        side = dice.choice((-1, 1))
        x = way.center(share) + side * ((way.half + way.pavement) * share + dice.uniform(0.05, 0.4))
        if 0 < x < 1 and is_clear(x, taken, 0.03):
            out.append(roll_tree(dice, season, camera, (x, foot)))
    return out


def roll_garden(dice: Dice, camera: Camera, house: House, fenced: float) -> list[SceneObject]:
    """Draw a fence on one or both sides of a house with probability `fenced`, clear of its door."""
    if not dice.chance(fenced):
        return []
    left, right = house_span(house)
    foot = house.foot + dice.uniform(0.02, 0.09)
    door = house.door.x if house.door is not None else (left + right) / 2
    ends = min(door - 0.10, left + dice.uniform(0.0, 0.10)), max(door + 0.10, right - dice.uniform(0.0, 0.10))
    sides = dice.choice(((True, True), (True, False), (False, True)))
    first = roll_fence(dice, camera, -0.05, ends[0], foot)
    roll_fence(dice, camera, ends[1], 1.05, foot)
    both = (first, replace(first, left=ends[1], right=1.05))
    return [
        fence for fence, wanted in zip(both, sides, strict=True) if wanted and fence.right > 0.06 and fence.left < 0.94
    ]
