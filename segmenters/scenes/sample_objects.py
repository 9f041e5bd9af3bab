"""Draw the plants, cars and people of a scene, and its clouds and mountains, in sizes that match their positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Point
from .light import Dice, Mood, Triple, rgb, vary
from .noise import Color
from .objects import Camera, Car, Cloud, Fence, Flowers, Hill, Person, Puff, Range, Tree

LEAVES = ((66, 128, 50), (82, 148, 54), (52, 108, 58), (104, 150, 60), (60, 136, 76))
AUTUMN = ((206, 128, 40), (196, 84, 40), (212, 164, 56), (168, 120, 50))
CHERRY = (244, 190, 208)
FIRS = ((36, 88, 62), (44, 100, 72), (34, 78, 70))
CARS: dict[str, Triple] = {
    "red": (206, 36, 40),
    "blue": (30, 80, 190),
    "yellow": (244, 200, 40),
    "white": (240, 240, 238),
    "green": (32, 140, 90),
    "orange": (236, 120, 30),
    "turquoise": (70, 180, 210),
    "black": (60, 60, 70),
}
SHIRTS = (
    (220, 40, 50),
    (40, 90, 210),
    (250, 200, 50),
    (240, 240, 240),
    (230, 110, 30),
    (160, 50, 160),
    (30, 150, 150),
    (240, 130, 170),
)
TROUSERS = ((40, 48, 92), (60, 56, 60), (110, 84, 60), (34, 70, 110), (150, 40, 60))
SKINS = ((248, 208, 176), (226, 172, 130), (170, 116, 80), (110, 72, 50))
HAIRS = ((48, 34, 26), (20, 18, 20), (120, 76, 40), (210, 170, 90), (150, 60, 30))
TURF = rgb((92, 146, 60))
BLOSSOMS = ((236, 40, 90), (250, 210, 60), (250, 130, 180), (255, 250, 250), (180, 90, 230), (250, 90, 40))


@dataclass(frozen=True, slots=True)
class Season:
    """Season: the colors of leaves and grass."""

    name: str
    leaves: tuple[Triple, ...]
    grass: Color
    far_grass: Color


SEASONS = {"summer": 0.6, "spring": 0.2, "autumn": 0.2, "winter": 0.0}
"""Probability of each season; winter must be asked for."""


def roll_season(dice: Dice, name: str | None = None) -> Season:
    """Draw a season, mostly summer; a name takes the place of the drawn one. Winter is summer before snow falls."""
    drawn = dice.weighted_choice(SEASONS)
    name = drawn if name is None else name
    if name == "autumn":
        grass = vary(dice, (150, 152, 66), 0.03), vary(dice, (176, 164, 88), 0.03)
        return Season(name, (*AUTUMN, *AUTUMN, *LEAVES[:2]), *grass)
    if name == "spring":
        grass = vary(dice, (116, 182, 66), 0.03), vary(dice, (158, 200, 96), 0.03)
        return Season(name, (*LEAVES, (140, 186, 70), CHERRY), *grass)
    return Season(name, LEAVES, vary(dice, (96, 158, 62), 0.035), vary(dice, (148, 178, 92), 0.035))


def roll_clouds(dice: Dice, mood: Mood, horizon: float) -> tuple[Cloud, ...]:
    """Draw the clouds of a mood; higher clouds are larger."""
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
            x = middle + along * size * dice.uniform(3.4, 4.4)
            puffs.append((x, base - radius * dice.uniform(0.25, 0.6), radius))
        clouds.append(Cloud(base, tuple(puffs), dice.offset()))
    return tuple(sorted(clouds, key=lambda cloud: -cloud.base))


def roll_mountains(dice: Dice, horizon: float, high: float) -> tuple[Range, ...]:
    """Draw one to three rows of mountains; the farther rows are higher and paler."""
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
        color = vary(dice, tone)
        out.append(Range(horizon + 0.012, tuple(peaks), color, snow if row == 0 else 0.0, distance, dice.offset()))
    return tuple(out)


def roll_hills(dice: Dice, season: Season, horizon: float, rows: int) -> tuple[Hill, ...]:
    """Draw hills of meadow between the mountains and the near ground, some of them wooded."""
    out = []
    for row in range(rows):
        wood = dice.uniform(0.05, 0.10) if dice.chance(0.65) else 0.0
        blue = dice.uniform(0.75, 1.0)
        color = season.far_grass * np.array([0.9 * blue, 0.96, 0.9], np.float32).reshape(3, 1, 1)
        leaf = vary(dice, dice.choice(FIRS if dice.chance(0.4) else season.leaves), 0.02) * 0.85
        base, rise = horizon + 0.025 + 0.012 * row, dice.uniform(0.03, 0.13) * (1 - 0.3 * row)
        out.append(Hill(base, rise, color, 2.4 - 0.9 * row, dice.offset(), wood, leaf))
    return tuple(out)


def roll_tree(dice: Dice, season: Season, camera: Camera, spot: Point, tall: float = 1.0, *, bed: bool = False) -> Tree:
    """Draw a tree whose trunk stands at a spot, in a bed of turf on pavement."""
    x, foot = spot
    kind = dice.weighted_choice({"round": 0.6, "fir": 0.25, "poplar": 0.15})
    height = max(0.14, min(camera.scale(foot), 0.1) * dice.uniform(5.0, 8.0) * tall)
    bark = vary(dice, dice.choice(((104, 74, 52), (88, 66, 54), (128, 96, 66))))
    fruit = vary(dice, (214, 40, 40)) if kind == "round" and dice.chance(0.15) else None
    offset, distance = dice.offset(), camera.distance(foot)
    puffs: tuple[Puff, ...] = ()
    color = vary(dice, dice.choice(FIRS), 0.03) if kind == "fir" else vary(dice, dice.choice(season.leaves), 0.02)
    if kind == "fir":
        crown, stretch = height * dice.uniform(0.24, 0.32), 1.1
    elif kind == "poplar":
        crown, stretch = height * dice.uniform(0.13, 0.17), 1.15
        middle = foot - height * 0.62
        puffs = ((x, middle, crown * 1.25), (x, middle + crown * 0.5, crown))
    else:
        crown, stretch = height * dice.uniform(0.30, 0.40), 1.0
        puffs = _roll_puffs(dice, (x, foot - height * 0.66), crown)
    return Tree(
        x, foot, height * stretch, crown, kind, puffs, color, bark, fruit, distance, offset, TURF if bed else None
    )


def _roll_puffs(dice: Dice, middle: Point, crown: float) -> tuple[Puff, ...]:
    """Draw the puffs (x, y, radius) of a round crown: one on top, one on each side, and one in the middle."""
    x, y = middle
    puffs = [(x, y - 0.28 * crown, crown * 0.72)]
    for side in (-1, 1):
        across, down = side * crown * dice.uniform(0.38, 0.55), crown * dice.uniform(0.05, 0.3)
        puffs.append((x + across, y + down, crown * dice.uniform(0.5, 0.62)))
    return (*puffs, (x + crown * dice.uniform(-0.3, 0.3), y + crown * 0.1, crown * 0.6))


def roll_car(dice: Dice, camera: Camera, x: float, foot: float, sideways: bool) -> Car:
    """Draw a car on the road, seen from the side or from one end."""
    scale = camera.scale(foot)
    kind = dice.choice(("saloon", "van"))
    height = max(0.095, scale * (1.75 if kind == "saloon" else 2.1))
    shape = {"saloon": (2.3, 1.22), "van": (2.0, 1.05)}[kind]
    length = height * shape[0 if sideways else 1]
    facing = (1 if dice.chance(0.5) else -1) if sideways else 0
    ahead, name = dice.chance(0.5), dice.choice(tuple(CARS))
    color = vary(dice, CARS[name], 0.01)
    return Car(x, foot, length, height, facing, ahead, kind, color, name, camera.distance(foot))


def roll_person(dice: Dice, camera: Camera, x: float, foot: float) -> Person:
    """Draw a person who stands at (x, foot)."""
    height = min(0.40, max(dice.uniform(0.20, 0.23), camera.scale(foot) * dice.uniform(1.75, 2.0)))
    skirt, stride = dice.chance(0.35), dice.uniform()
    shirt, trousers, skin, hair = (vary(dice, dice.choice(colors), 0.01) for colors in (SHIRTS, TROUSERS, SKINS, HAIRS))
    return Person(x, foot, height, skirt, stride, shirt, trousers, skin, hair, camera.distance(foot))


def roll_fence(dice: Dice, camera: Camera, left: float, right: float, foot: float) -> Fence:
    """Draw a fence along y = foot."""
    height = min(0.14, max(0.09, camera.scale(foot) * dice.uniform(1.1, 1.5)))
    color = vary(dice, dice.choice(((244, 242, 234), (244, 242, 234), (170, 124, 80), (150, 96, 62))))
    board, pointed = height * dice.uniform(0.32, 0.45), dice.chance(0.6)
    return Fence(left, right, foot, height, board, pointed, color, camera.distance(foot))


def roll_flowers(dice: Dice, camera: Camera, x: float, foot: float) -> Flowers:
    """Draw a flowering bush at (x, foot)."""
    half = min(0.13, max(0.082, camera.scale(foot) * dice.uniform(0.9, 1.4)))
    blossom, height = vary(dice, dice.choice(BLOSSOMS), 0.01), half * dice.uniform(0.8, 1.15)
    leaf = vary(dice, (60, 126, 58))
    return Flowers(x, foot, half, height, blossom, leaf, dice.offset(), camera.distance(foot))
