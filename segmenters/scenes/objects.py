"""Elements of a scene: the concepts that label its pixels, and the objects in it.

All lengths are in picture widths, independent of the resolution, and all colors are float32 [3, 1, 1] in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gandissect.core.types import Concept

from .canvas import Point
from .light import Light
from .noise import Color

Puff = tuple[float, float, float]
"""Round part of a cloud or a crown: x, y, radius."""


class SceneLabel(IntEnum):
    """Concepts, with their indices in a label map."""

    SKY = 0
    CLOUD = 1
    SUN = 2
    MOUNTAIN = 3
    TREE = 4
    GRASS = 5
    WATER = 6
    ROAD = 7
    PAVEMENT = 8
    BUILDING = 9
    ROOF = 10
    WINDOW = 11
    DOOR = 12
    FENCE = 13
    FLOWER = 14
    CAR = 15
    PERSON = 16


GROUND = (SceneLabel.GRASS, SceneLabel.ROAD, SceneLabel.PAVEMENT)
"""Concepts that objects stand on and shadows fall on."""

_COLORS = (
    (135, 206, 250),
    (240, 240, 245),
    (255, 215, 0),
    (139, 115, 150),
    (34, 120, 50),
    (140, 205, 80),
    (30, 90, 200),
    (90, 90, 95),
    (195, 180, 165),
    (225, 150, 90),
    (165, 42, 42),
    (0, 225, 225),
    (110, 60, 20),
    (250, 160, 200),
    (230, 50, 160),
    (250, 60, 40),
    (120, 20, 220),
)
CONCEPTS = tuple(
    Concept(label.value, label.name.lower(), color) for label, color in zip(SceneLabel, _COLORS, strict=True)
)


@dataclass(frozen=True, slots=True)
class Camera:
    """Map positions on the ground to sizes: a meter at y = foot is (foot - horizon) * slope wide."""

    horizon: float
    slope: float

    def scale(self, foot: float) -> float:
        """Return the width of a meter at y = foot."""
        return (foot - self.horizon) * self.slope

    def nearness(self, foot: float) -> float:
        """Return the position of y = foot between the horizon, 0, and the lower edge of the picture, 1."""
        return (foot - self.horizon) / (1 - self.horizon)

    def distance(self, foot: float) -> float:
        """Return the distance of y = foot; a typical house is at distance 1."""
        return min(8.0, 0.06 / max(self.scale(foot), 1e-3))


@dataclass(frozen=True, slots=True)
class Cloud:
    """Cumulus cloud: round puffs (x, y, radius) on a flat base."""

    base: float
    puffs: tuple[Puff, ...]
    offset: Point


@dataclass(frozen=True, slots=True)
class Range:
    """Row of mountains: peaks (x, height, slope) that rise from a base line."""

    base: float
    peaks: tuple[tuple[float, float, float], ...]
    color: Color
    snow: float
    distance: float
    offset: Point


@dataclass(frozen=True, slots=True)
class Hill:
    """Hill of meadow whose edge undulates up to `rise` above a base line, with woods of height `wood` along it."""

    base: float
    rise: float
    color: Color
    distance: float
    offset: Point
    wood: float
    wood_color: Color


@dataclass(frozen=True, slots=True)
class Ground:
    """Meadow that everything stands on."""

    color: Color
    far_color: Color
    offset: Point


@dataclass(frozen=True, slots=True)
class Lane:
    """Road to the horizon: from x = near at the lower edge, with half width `half`, to x = far, with a bend."""

    near: float
    far: float
    half: float
    bend: float
    pavement: float
    color: Color
    stripes: bool
    end: float

    def center(self, share: float) -> float:
        """Return the middle of the road; share is 0 at the horizon and 1 at the lower edge."""
        return self.far + (self.near - self.far) * share + self.bend * share * (1 - share)


@dataclass(frozen=True, slots=True)
class Street:
    """Road across the picture, with pavement behind and in front of it, and a grass verge at the lower edge."""

    behind: float
    top: float
    bottom: float
    front: float
    color: Color
    verge: Color
    stripes: bool


@dataclass(frozen=True, slots=True)
class Footpath:
    """Paved path from a door down to y = end."""

    x: float
    half: float
    foot: float
    end: float
    end_x: float
    end_half: float


@dataclass(frozen=True, slots=True)
class Water:
    """Lake between slightly undulating shores at `foot` and `bottom`; the sea begins at the horizon."""

    foot: float
    bottom: float
    color: Color
    swing: float
    offset: Point
    sea: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """Door, with its horizontal center x, half width, height and colors."""

    x: float
    half: float
    height: float
    color: Color
    frame: Color
    style: str


@dataclass(frozen=True, slots=True)
class House:
    """Building: a front wall, perhaps a side wall (visible_side = -1 left, 1 right), a grid of windows, and a roof."""

    left: float
    right: float
    foot: float
    eaves: float
    ridge: float
    visible_side: int
    depth: float
    distance: float
    roof: str
    wall: Color
    wall_texture: str
    roof_color: Color
    roof_texture: str
    trim: Color
    columns: tuple[float, ...]
    floors: tuple[float, ...]
    skip: tuple[int, ...]
    pane: Point
    glow: tuple[float, ...]
    attic: bool
    door: Door | None
    chimney: float | None
    offset: Point


@dataclass(frozen=True, slots=True)
class Tree:
    """Tree: a trunk, and a crown of leafy puffs (x, y, radius) or of fir tiers; on pavement, with a bed of a color."""

    x: float
    foot: float
    height: float
    crown: float
    kind: str
    puffs: tuple[Puff, ...]
    color: Color
    bark: Color
    fruit: Color | None
    distance: float
    offset: Point
    bed: Color | None = None


@dataclass(frozen=True, slots=True)
class Car:
    """Car seen from the side (facing = -1 left, 1 right) or from one end (facing = 0; ahead: from the front)."""

    x: float
    foot: float
    length: float
    height: float
    facing: int
    ahead: bool
    kind: str
    color: Color
    color_name: str
    distance: float


@dataclass(frozen=True, slots=True)
class Person:
    """Person who stands or walks."""

    x: float
    foot: float
    height: float
    skirt: bool
    stride: float
    shirt: Color
    trousers: Color
    skin: Color
    hair: Color
    distance: float


@dataclass(frozen=True, slots=True)
class Fence:
    """Board fence along y = foot."""

    left: float
    right: float
    foot: float
    height: float
    board: float
    pointed: bool
    color: Color
    distance: float


@dataclass(frozen=True, slots=True)
class Flowers:
    """Flowering bush or flower bed."""

    x: float
    foot: float
    half: float
    height: float
    blossom: Color
    leaf: Color
    offset: Point
    distance: float


SceneObject = House | Tree | Car | Person | Fence | Flowers | Water


@dataclass(frozen=True, slots=True)
class Scene:
    """Scene before it is painted; `standing` is sorted from far to near. The name of its mood is in its light.

    The hour of the day, from 0 to 1, is None unless it was asked for.
    """

    light: Light
    camera: Camera
    sun: tuple[float, float, float] | None
    clouds: tuple[Cloud, ...]
    backdrop: tuple[Range | Hill, ...]
    ground: Ground
    ways: tuple[Lane | Street | Footpath, ...]
    standing: tuple[SceneObject, ...]
    season: str
    place: str
    hour: float | None = None
