"""Draw single things for a scene: a house, a tree, a car, a person, with sizes that suit where they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .scene_light import Dice, Mood, rgb, vary
from .scene_noise import Array
from .scene_parts import Camera, Car, Cloud, Door, Fence, Flowers, Hill, House, Person, Range, Tree

WALLS = ((238, 226, 200), (240, 236, 226), (232, 196, 128), (214, 148, 112), (196, 208, 216), (228, 176, 164),
         (176, 196, 168), (244, 214, 120), (168, 186, 212))  # fmt: skip
BRICKS = ((176, 88, 66), (196, 118, 84), (150, 96, 80))
STONES = ((176, 168, 156), (198, 184, 160))
ROOFS = ((178, 70, 48), (150, 58, 46), (120, 76, 56), (74, 84, 104), (98, 64, 66), (190, 92, 52), (70, 92, 84))
TOWERS = ((206, 210, 214), (222, 206, 184), (164, 178, 196), (196, 160, 140), (184, 188, 180), (232, 226, 214))
DOORS = ((122, 44, 34), (34, 84, 66), (38, 60, 120), (96, 58, 30), (150, 30, 40), (58, 40, 30), (24, 96, 110))
LEAVES = ((66, 128, 50), (82, 148, 54), (52, 108, 58), (104, 150, 60), (60, 136, 76))
AUTUMN = ((206, 128, 40), (196, 84, 40), (212, 164, 56), (168, 120, 50))
BLOSSOM_TREES = ((244, 190, 208), (248, 226, 232))
FIRS = ((36, 88, 62), (44, 100, 72), (34, 78, 70))
CARS = ((206, 36, 40), (30, 80, 190), (244, 200, 40), (240, 240, 238), (32, 140, 90), (236, 120, 30), (70, 180, 210), (60, 60, 70))
SHIRTS = ((220, 40, 50), (40, 90, 210), (250, 200, 50), (240, 240, 240), (230, 110, 30), (160, 50, 160), (30, 150, 150), (240, 130, 170))
TROUSERS = ((40, 48, 92), (60, 56, 60), (110, 84, 60), (34, 70, 110), (150, 40, 60))
SKINS = ((248, 208, 176), (226, 172, 130), (170, 116, 80), (110, 72, 50))
HAIRS = ((48, 34, 26), (20, 18, 20), (120, 76, 40), (210, 170, 90), (150, 60, 30))
BLOSSOMS = ((236, 40, 90), (250, 210, 60), (250, 130, 180), (255, 250, 250), (180, 90, 230), (250, 90, 40))


@dataclass(frozen=True, slots=True)
class Season:
    """What grows: the colours of leaves and of grass."""

    leaves: tuple[tuple[float, float, float], ...]
    grass: Array
    far_grass: Array


def roll_season(dice: Dice) -> Season:
    """Draw a season, mostly summer."""
    name = dice.weighted({"summer": 0.6, "spring": 0.2, "autumn": 0.2})
    if name == "autumn":
        return Season((*AUTUMN, *AUTUMN, *LEAVES[:2]), vary(dice, (150, 152, 66), 0.03), vary(dice, (176, 164, 88), 0.03))
    if name == "spring":
        return Season((*LEAVES, (140, 186, 70), *BLOSSOM_TREES[:1]), vary(dice, (116, 182, 66), 0.03), vary(dice, (158, 200, 96), 0.03))
    return Season(LEAVES, vary(dice, (96, 158, 62), 0.035), vary(dice, (148, 178, 92), 0.035))


def roll_clouds(dice: Dice, mood: Mood, horizon: float) -> tuple[Cloud, ...]:
    """Draw the clouds of a mood, higher ones larger."""
    clouds = []
    for _ in range(dice.whole(*mood.num_clouds)):
        base = dice.uniform(0.10, max(0.14, horizon - 0.10))
        size = (0.35 + 0.65 * (1 - base / horizon)) * dice.uniform(0.10, 0.20)
        size = max(size, 0.06)
        middle, count = dice.uniform(0.0, 1.0), dice.whole(3, 5)
        puffs = []
        for k in range(count):
            along = (k - (count - 1) / 2) / count
            radius = size * (0.95 - 1.1 * abs(along)) * dice.uniform(0.75, 1.1)
            puffs.append((middle + along * size * dice.uniform(3.4, 4.4), base - radius * dice.uniform(0.25, 0.6), radius))
        clouds.append(Cloud(base, tuple(puffs), dice.offset()))
    return tuple(sorted(clouds, key=lambda cloud: -cloud.base))


def roll_mountains(dice: Dice, horizon: float, high: float) -> tuple[Range, ...]:
    """Draw one to three rows of mountains, the far ones higher and paler."""
    rows = dice.whole(1, 3)
    tone = dice.choice(((118, 112, 128), (132, 116, 104), (104, 118, 132), (120, 126, 110)))
    snow = dice.uniform(0.5, 0.75) if dice.chance(0.45) else 0.0
    out = []
    for row in range(rows):
        share = 1 - 0.30 * row
        peaks = []
        x = dice.uniform(-0.2, 0.15)
        while x < 1.15:
            peaks.append((x, high * share * dice.uniform(0.55, 1.0), dice.uniform(0.5, 1.15)))
            x += dice.uniform(0.2, 0.45)
        distance = 2.6 + 4.4 * (rows - 1 - row) / max(rows - 1, 1) if rows > 1 else dice.uniform(3.0, 6.0)
        out.append(Range(horizon + 0.012, tuple(peaks), vary(dice, tone), snow if row == 0 else 0.0, distance, dice.offset()))
    return tuple(out)


def roll_hills(dice: Dice, season: Season, horizon: float, rows: int) -> tuple[Hill, ...]:
    """Draw rises of meadow between the mountains and the near ground, some wooded."""
    out = []
    for row in range(rows):
        wood = dice.uniform(0.05, 0.10) if dice.chance(0.65) else 0.0
        blue = dice.uniform(0.75, 1.0)
        color = season.far_grass * np.array([0.9 * blue, 0.96, 0.9], np.float32).reshape(3, 1, 1)
        leaf = vary(dice, dice.choice(FIRS if dice.chance(0.4) else season.leaves), 0.02) * 0.85
        out.append(Hill(horizon + 0.025 + 0.012 * row, dice.uniform(0.03, 0.13) * (1 - 0.3 * row), color,
                        2.4 - 0.9 * row, dice.offset(), wood, leaf))
    return tuple(out)


def roll_tree(dice: Dice, season: Season, camera: Camera, x: float, foot: float, tall: float = 1.0,
              bed: bool = False) -> Tree:
    """Draw a tree that stands at (x, foot)."""
    scale = camera.scale(foot)
    kind = dice.weighted({"round": 0.6, "fir": 0.25, "poplar": 0.15})
    height = max(0.14, min(scale, 0.1) * dice.uniform(5.0, 8.0) * tall)
    bark = vary(dice, dice.choice(((104, 74, 52), (88, 66, 54), (128, 96, 66))))
    fruit = vary(dice, (214, 40, 40)) if kind == "round" and dice.chance(0.15) else None
    offset, distance = dice.offset(), camera.distance(foot)
    if kind == "fir":
        color = vary(dice, dice.choice(FIRS), 0.03)
        return Tree(x, foot, height * 1.1, height * dice.uniform(0.24, 0.32), kind, (), color, bark, None, distance, offset, bed)
    color = vary(dice, dice.choice(season.leaves), 0.02)
    if kind == "poplar":
        crown = height * dice.uniform(0.13, 0.17)
        middle = foot - height * 0.62
        puffs: tuple[tuple[float, float, float], ...] = ((x, middle, crown * 1.25), (x, middle + crown * 0.5, crown))
        return Tree(x, foot, height * 1.15, crown, kind, puffs, color, bark, None, distance, offset, bed)
    crown = height * dice.uniform(0.30, 0.40)
    middle = foot - height * 0.66
    ring = [(x, middle - 0.28 * crown, crown * 0.72)]
    for side in (-1, 1):
        ring.append((x + side * crown * dice.uniform(0.38, 0.55), middle + crown * dice.uniform(0.05, 0.3), crown * dice.uniform(0.5, 0.62)))
    ring.append((x + crown * dice.uniform(-0.3, 0.3), middle + crown * 0.1, crown * 0.6))
    return Tree(x, foot, height, crown, kind, tuple(ring), color, bark, fruit, distance, offset, bed)


def roll_car(dice: Dice, camera: Camera, x: float, foot: float, sideways: bool) -> Car:
    """Draw a car on the road, seen from the side or from an end."""
    scale = camera.scale(foot)
    kind = dice.choice(("saloon", "van"))
    height = max(0.095, scale * (1.75 if kind == "saloon" else 2.1))
    length = height * (2.3 if kind == "saloon" else 2.0) if sideways else height * (1.22 if kind == "saloon" else 1.05)
    facing = (1 if dice.chance(0.5) else -1) if sideways else 0
    return Car(x, foot, length, height, facing, dice.chance(0.5), kind, vary(dice, dice.choice(CARS), 0.01), camera.distance(foot))


def roll_person(dice: Dice, camera: Camera, x: float, foot: float) -> Person:
    """Draw someone who stands at (x, foot)."""
    height = min(0.40, max(dice.uniform(0.20, 0.23), camera.scale(foot) * dice.uniform(1.75, 2.0)))
    colors = (vary(dice, dice.choice(choices), 0.01) for choices in (SHIRTS, TROUSERS, SKINS, HAIRS))
    return Person(x, foot, height, dice.chance(0.35), dice.uniform(), *colors, distance=camera.distance(foot))


def roll_fence(dice: Dice, camera: Camera, left: float, right: float, foot: float) -> Fence:
    """Draw a fence along y = foot."""
    height = min(0.14, max(0.09, camera.scale(foot) * dice.uniform(1.1, 1.5)))
    color = vary(dice, dice.choice(((244, 242, 234), (244, 242, 234), (170, 124, 80), (150, 96, 62))))
    return Fence(left, right, foot, height, height * dice.uniform(0.32, 0.45), dice.chance(0.6), color, camera.distance(foot))


def roll_flowers(dice: Dice, camera: Camera, x: float, foot: float) -> Flowers:
    """Draw a flowering bush at (x, foot)."""
    half = min(0.13, max(0.082, camera.scale(foot) * dice.uniform(0.9, 1.4)))
    blossom = vary(dice, dice.choice(BLOSSOMS), 0.01)
    return Flowers(x, foot, half, half * dice.uniform(0.8, 1.15), blossom, vary(dice, (60, 126, 58)), dice.offset(), camera.distance(foot))


def _unlike(dice: Dice, choices: tuple[tuple[float, float, float], ...], other: Array, least: float) -> Array:
    """Return one of some colours that stands out against another."""
    color = vary(dice, dice.choice(choices))
    for choice in choices:
        if float(np.abs(color - other).max()) >= least:
            break
        color = rgb(choice)
    return color


def _roll_wall(dice: Dice, kind: str) -> tuple[Array, str]:
    if kind == "tower":
        return vary(dice, dice.choice(TOWERS)), dice.choice(("planks", "grain"))
    if kind == "barn":
        return vary(dice, dice.choice(((170, 48, 40), (170, 48, 40), (150, 104, 70)))), "boards"
    if kind in ("chapel", "steeple"):
        return vary(dice, dice.choice(((240, 236, 226), *STONES))), dice.choice(("grain", "stone"))
    look = dice.weighted({"plaster": 0.5, "brick": 0.25, "wood": 0.15, "stone": 0.1})
    colors = {"plaster": WALLS, "brick": BRICKS, "wood": WALLS, "stone": STONES}[look]
    return vary(dice, dice.choice(colors)), {"plaster": "grain", "brick": "brick", "wood": "planks", "stone": "stone"}[look]


_ROOF_KINDS = {
    "cottage": {"eaves": 0.45, "gable": 0.35, "hip": 0.2},
    "town": {"eaves": 0.4, "gable": 0.25, "hip": 0.2, "flat": 0.15},
    "tower": {"flat": 0.9, "hip": 0.1},
    "barn": {"gambrel": 0.7, "gable": 0.3},
    "chapel": {"gable": 1.0},
    "steeple": {"spire": 1.0},
}


def roll_house(dice: Dice, camera: Camera, kind: str, x: float, foot: float, seen: int, columns: int, floors: int) -> House:
    """Draw a building of a kind whose front is centred at x; seen says which side wall shows, 0 for none."""
    scale = camera.scale(foot)
    wide_door = kind == "barn" or (kind == "tower" and dice.chance(0.6))
    door_half = max(0.038, scale * (0.95 if wide_door else 0.60))
    door_height = max(0.115, scale * (2.5 if wide_door else 2.25))
    pane = max(0.033, scale * dice.uniform(0.52, 0.68)), max(0.038, scale * dice.uniform(0.62, 0.82))
    pitch = max(2 * pane[0], 2 * door_half) * dice.uniform(1.35, 1.6)
    storey = max(2.8 * scale, door_height * 1.18, pane[1] * 2 * 1.45)
    if kind == "tower":
        storey = pane[1] * 2 * dice.uniform(1.4, 1.6)
    half = columns * pitch / 2 + 0.01
    left, right = x - half, x + half
    ground = max(storey, door_height * 1.18)
    eaves = foot - ground - (floors - 1) * storey - 0.012
    roof = dice.weighted(_ROOF_KINDS[kind])
    ridge = {"flat": eaves - max(0.026, 0.4 * scale), "spire": eaves - 2 * half * dice.uniform(1.5, 2.3)}.get(
        roof, eaves - half * dice.uniform(0.75, 1.05) * (1.0 if roof in ("gable", "gambrel") else 0.85))
    ridge = max(ridge, eaves - 0.3) if roof not in ("spire", "gambrel") else ridge
    places = tuple(left + (k + 0.5) * (right - left) / columns for k in range(columns))
    rows = tuple(foot - (0.56 * ground if k == 0 else ground + (k - 1) * storey + 0.5 * storey) for k in range(floors))
    wall, wall_texture = _roll_wall(dice, kind)
    roof_color = _unlike(dice, ROOFS, wall, 0.25)
    at = dice.whole(0, columns - 1) if kind not in ("barn", "chapel", "steeple") else columns // 2
    style = "barn" if kind == "barn" else dice.weighted({"plain": 0.4, "glazed": 0.35, "arch": 0.25})
    trim = vary(dice, (246, 244, 238), 0.01, 0.04)
    door = Door(places[at], door_half, door_height, _unlike(dice, DOORS, wall, 0.30), trim if dice.chance(0.7) else wall * 0.6, style)
    gable_room = roof in ("gable", "gambrel") and (eaves - ridge) > 4.2 * pane[1]
    return House(
        left, right, foot, eaves, ridge, seen, 2 * half * dice.uniform(0.35, 0.6) if seen else 0.0, camera.distance(foot),
        roof, wall, wall_texture, roof_color, dice.choice(("shingles", "tiles")), trim, places, rows, (at,), pane,
        tuple(float(dice.chance(0.6)) for _ in range(11)), gable_room, door,
        x + half * dice.uniform(0.2, 0.6) * dice.choice((-1, 1)) if roof in ("eaves", "hip", "gable") and dice.chance(0.6) and kind != "chapel" else None,
        dice.offset(),
    )  # fmt: skip


def without_door(house: House) -> House:
    """Return a house with a window in the door's place."""
    return replace(house, door=None, skip=())
