"""Draw buildings: cottages, town houses, towers, barns and chapels, with walls, roofs, windows and a door."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .canvas import Point
from .light import Dice, Triple, rgb, vary
from .noise import Color
from .objects import Camera, Door, House

Triples = tuple[Triple, ...]

WALLS: Triples = (
    (238, 226, 200),
    (240, 236, 226),
    (232, 196, 128),
    (214, 148, 112),
    (196, 208, 216),
    (228, 176, 164),
    (176, 196, 168),
    (244, 214, 120),
    (168, 186, 212),
)
BRICKS: Triples = ((176, 88, 66), (196, 118, 84), (150, 96, 80))
STONES: Triples = ((176, 168, 156), (198, 184, 160))
TOWERS: Triples = (
    (206, 210, 214),
    (222, 206, 184),
    (164, 178, 196),
    (196, 160, 140),
    (184, 188, 180),
    (232, 226, 214),
)
BARNS: Triples = ((170, 48, 40), (170, 48, 40), (150, 104, 70))
ROOFS: Triples = (
    (178, 70, 48),
    (150, 58, 46),
    (120, 76, 56),
    (74, 84, 104),
    (98, 64, 66),
    (190, 92, 52),
    (70, 92, 84),
)
DOORS: Triples = (
    (122, 44, 34),
    (34, 84, 66),
    (38, 60, 120),
    (96, 58, 30),
    (150, 30, 40),
    (58, 40, 30),
    (24, 96, 110),
)
LOOKS: dict[str, tuple[Triples, str]] = {
    "plaster": (WALLS, "grain"),
    "brick": (BRICKS, "brick"),
    "wood": (WALLS, "planks"),
    "stone": (STONES, "stone"),
}
ROOF_KINDS = {
    "cottage": {"eaves": 0.45, "gable": 0.35, "hip": 0.2},
    "town": {"eaves": 0.4, "gable": 0.25, "hip": 0.2, "flat": 0.15},
    "tower": {"flat": 0.9, "hip": 0.1},
    "barn": {"gambrel": 0.7, "gable": 0.3},
    "chapel": {"gable": 1.0},
    "steeple": {"spire": 1.0},
}


@dataclass(frozen=True, slots=True)
class HousePlan:
    """Plan of a building: its kind, the position of its front, the visible side wall, columns and floors of windows."""

    kind: str
    x: float
    foot: float
    visible_side: int
    columns: int
    floors: int


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes of a building's parts: half a window, half a door, heights of the door, ground floor and upper floors."""

    pane: Point
    door_half: float
    door_height: float
    pitch: float
    ground: float
    story: float


def roll_house(dice: Dice, camera: Camera, plan: HousePlan) -> House:
    """Draw a building that follows a plan."""
    kind, x, foot, columns = plan.kind, plan.x, plan.foot, plan.columns
    scale = camera.scale(foot)
    sizes = _roll_sizes(dice, kind, scale)
    half = columns * sizes.pitch / 2 + 0.01
    left, right = x - half, x + half
    eaves = foot - sizes.ground - (plan.floors - 1) * sizes.story - 0.012
    roof = dice.weighted_choice(ROOF_KINDS[kind])
    ridge = _roll_ridge(dice, roof, eaves, half, scale)
    places = tuple(left + (k + 0.5) * (right - left) / columns for k in range(columns))
    wall, wall_texture = _roll_wall(dice, kind)
    roof_color = _roll_contrasting(dice, ROOFS, wall, 0.25)
    at = columns // 2 if kind in ("barn", "chapel", "steeple") else dice.whole(0, columns - 1)
    style = "barn" if kind == "barn" else dice.weighted_choice({"plain": 0.4, "glazed": 0.35, "arch": 0.25})
    trim = vary(dice, (246, 244, 238), 0.01, 0.04)
    leaf = _roll_contrasting(dice, DOORS, wall, 0.30)
    frame = trim if dice.chance(0.7) else wall * 0.6
    return House(
        left=left,
        right=right,
        foot=foot,
        eaves=eaves,
        ridge=ridge,
        visible_side=plan.visible_side,
        depth=2 * half * dice.uniform(0.35, 0.6) if plan.visible_side else 0.0,
        distance=camera.distance(foot),
        roof=roof,
        wall=wall,
        wall_texture=wall_texture,
        roof_color=roof_color,
        roof_texture=dice.choice(("shingles", "tiles")),
        trim=trim,
        columns=places,
        floors=_window_heights(foot, plan.floors, sizes),
        skip=(at,),
        pane=sizes.pane,
        glow=tuple(float(dice.chance(0.6)) for _ in range(11)),
        attic=roof in ("gable", "gambrel") and (eaves - ridge) > 4.2 * sizes.pane[1],
        door=Door(places[at], sizes.door_half, sizes.door_height, leaf, frame, style),
        chimney=_roll_chimney(dice, kind, roof, x, half),
        offset=dice.offset(),
    )


def remove_door(house: House) -> House:
    """Return a house with a window in place of the door."""
    return replace(house, door=None, skip=())


def _roll_sizes(dice: Dice, kind: str, scale: float) -> _Sizes:
    """Draw the sizes of a building's parts, large enough to be visible at 64 pixels."""
    wide = kind == "barn" or (kind == "tower" and dice.chance(0.6))
    door_half = max(0.038, scale * (0.95 if wide else 0.60))
    door_height = max(0.115, scale * (2.5 if wide else 2.25))
    pane = max(0.033, scale * dice.uniform(0.52, 0.68)), max(0.038, scale * dice.uniform(0.62, 0.82))
    pitch = max(2 * pane[0], 2 * door_half) * dice.uniform(1.35, 1.6)
    story = max(2.8 * scale, door_height * 1.18, pane[1] * 2 * 1.45)
    if kind == "tower":
        story = pane[1] * 2 * dice.uniform(1.4, 1.6)
    return _Sizes(pane, door_half, door_height, pitch, max(story, door_height * 1.18), story)


def _roll_ridge(dice: Dice, roof: str, eaves: float, half: float, scale: float) -> float:
    """Draw the height of a roof above its eaves; return the y of its highest line."""
    flat = eaves - max(0.026, 0.4 * scale)
    spire = eaves - 2 * half * dice.uniform(1.5, 2.3)
    sloped = eaves - half * dice.uniform(0.75, 1.05) * (1.0 if roof in ("gable", "gambrel") else 0.85)
    ridge = {"flat": flat, "spire": spire}.get(roof, sloped)
    return ridge if roof in ("spire", "gambrel") else max(ridge, eaves - 0.3)


def _window_heights(foot: float, floors: int, sizes: _Sizes) -> tuple[float, ...]:
    """Return the vertical centers of the windows of each floor, from the ground up."""
    upper = (foot - (sizes.ground + (k - 1) * sizes.story + 0.5 * sizes.story) for k in range(1, floors))
    return (foot - 0.56 * sizes.ground, *upper)


def _roll_chimney(dice: Dice, kind: str, roof: str, x: float, half: float) -> float | None:
    """Draw the horizontal center of a chimney, or None for no chimney."""
    if roof not in ("eaves", "hip", "gable") or not dice.chance(0.6) or kind == "chapel":
        return None
    return x + half * dice.uniform(0.2, 0.6) * dice.choice((-1, 1))


def _roll_contrasting(dice: Dice, choices: Triples, other: Color, least: float) -> Color:
    """Draw one of several colors, or the first of them if the drawn color does not contrast with another color."""
    color = vary(dice, dice.choice(choices))
    for choice in choices:
        if float(np.abs(color - other).max()) >= least:
            break
        color = rgb(choice)
    return color


def _roll_wall(dice: Dice, kind: str) -> tuple[Color, str]:
    """Draw the color and texture of a wall."""
    if kind == "tower":
        return vary(dice, dice.choice(TOWERS)), dice.choice(("planks", "grain"))
    if kind == "barn":
        return vary(dice, dice.choice(BARNS)), "boards"
    if kind in ("chapel", "steeple"):
        return vary(dice, dice.choice(((240, 236, 226), *STONES))), dice.choice(("grain", "stone"))
    colors, texture = LOOKS[dice.weighted_choice({"plaster": 0.5, "brick": 0.25, "wood": 0.15, "stone": 0.1})]
    return vary(dice, dice.choice(colors)), texture
