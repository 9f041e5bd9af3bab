"""What a scene consists of: the concepts its pixels are labeled with and the things that stand in it.

Every length is in picture widths, every color float32 [3, 1, 1] in 0..1; nothing here knows a resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gandissect.core.types import Concept

from .canvas import Point
from .light import Light
from .noise import Color

Puff = tuple[float, float, float]
"""A round part of a cloud or a crown: x, y, radius."""


class SceneLabel(IntEnum):
    """The concepts, each with its index in a label map."""

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
"""Where things stand and shadows fall."""

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
    """Map places on the ground to their size: a meter at foot y is (y - horizon) * slope wide."""

    horizon: float
    slope: float

    def scale(self, foot: float) -> float:
        """Return the width of a meter that stands at y = foot."""
        return (foot - self.horizon) * self.slope

    def nearness(self, foot: float) -> float:
        """Return how far down y = foot lies between the horizon, 0, and the lower edge of the picture, 1."""
        return (foot - self.horizon) / (1 - self.horizon)

    def distance(self, foot: float) -> float:
        """Return how far away that is; 1 is where a usual house stands."""
        return min(8.0, 0.06 / max(self.scale(foot), 1e-3))


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cumulus: round puffs (x, y, radius) on a flat base."""

    base: float
    puffs: tuple[Puff, ...]
    offset: Point


@dataclass(frozen=True, slots=True)
class Range:
    """A row of mountains: peaks (x, height, slope) that rise from a base line."""

    base: float
    peaks: tuple[tuple[float, float, float], ...]
    color: Color
    snow: float
    distance: float
    offset: Point


@dataclass(frozen=True, slots=True)
class Hill:
    """A rise of meadow whose edge swings up to rise above a base line, with a wood of some height along it."""

    base: float
    rise: float
    color: Color
    distance: float
    offset: Point
    wood: float
    wood_color: Color


@dataclass(frozen=True, slots=True)
class Ground:
    """The meadow that everything stands on."""

    color: Color
    far_color: Color
    offset: Point


@dataclass(frozen=True, slots=True)
class Lane:
    """A road that runs to the horizon: from x near at the lower edge, half wide, to x far, bending on the way."""

    near: float
    far: float
    half: float
    bend: float
    pavement: float
    color: Color
    stripes: bool
    end: float

    def center(self, share: float) -> float:
        """Return the middle of the road where share is 0 at the horizon and 1 at the lower edge."""
        return self.far + (self.near - self.far) * share + self.bend * share * (1 - share)


@dataclass(frozen=True, slots=True)
class Street:
    """A road across the picture, with pavement behind and in front of it."""

    behind: float
    top: float
    bottom: float
    front: float
    color: Color
    stripes: bool


@dataclass(frozen=True, slots=True)
class Footpath:
    """A paved way from a door down to y = end."""

    x: float
    half: float
    foot: float
    end: float
    end_x: float
    end_half: float


@dataclass(frozen=True, slots=True)
class Water:
    """A lake: from a shore at foot to a shore at bottom, each swinging a little; the sea begins at the horizon."""

    foot: float
    bottom: float
    color: Color
    swing: float
    offset: Point
    sea: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """A door: middle, half width, height, colors."""

    x: float
    half: float
    height: float
    color: Color
    frame: Color
    style: str


@dataclass(frozen=True, slots=True)
class House:
    """A building: a front wall, perhaps a side wall (visible_side = -1 left, 1 right), windows in a grid, a roof."""

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
    """A tree: trunk, and a crown of leafy puffs (x, y, radius) or of fir tiers.

    In a pavement it grows from a bed of turf.
    """

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
    bed: bool = False


@dataclass(frozen=True, slots=True)
class Car:
    """A car seen from the side (facing -1 left or 1 right) or from behind or ahead (facing 0)."""

    x: float
    foot: float
    length: float
    height: float
    facing: int
    ahead: bool
    kind: str
    color: Color
    distance: float


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who stands or walks."""

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
    """A close fence of boards along y = foot."""

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
    """A flowering bush or bed."""

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
    """One picture before it is painted; standing is sorted from far to near."""

    light: Light
    camera: Camera
    sun: tuple[float, float, float] | None
    clouds: tuple[Cloud, ...]
    backdrop: tuple[Range | Hill, ...]
    ground: Ground
    ways: tuple[Lane | Street | Footpath, ...]
    standing: tuple[SceneObject, ...]
