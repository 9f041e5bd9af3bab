"""Render the colors and labels of a picture, which depend only on its seed, index and size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

from gandissect.core.sampling import derive_seed

from .canvas import Canvas
from .hours import draw_hour
from .layout import DRAWN, Setting, lay_out, roll_place
from .objects import (
    Car,
    Fence,
    Flowers,
    House,
    Lane,
    Person,
    Range,
    Scene,
    SceneLabel,
    SceneObject,
    Street,
    Tree,
    Water,
)
from .paint_buildings import paint_house
from .paint_land import (
    paint_cloud,
    paint_footpath,
    paint_ground,
    paint_hill,
    paint_lane,
    paint_range,
    paint_sky,
    paint_street,
    paint_water,
)
from .paint_objects import paint_car, paint_fence, paint_flowers, paint_person, paint_tree

MIN_SIZE, MAX_SIZE = 16, 1024


def render(
    seed: int, index: int, size: int, setting: Setting = DRAWN
) -> tuple[UInt8[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size"]]:
    """Render a picture.

    Args:
        seed: Seed of the scenes.
        index: Index of the picture in the seed's sequence, at least 0.
        size: Height and width, 16 to 1024 pixels.
        setting: Names that take the place of drawn ones.

    Returns:
        Colors, uint8 ``[size, size, 3]``, and labels, uint8 ``[size, size]``.

    Raises:
        ValueError: If the index or the size is out of range.
    """
    check_scene_size(size)
    if index < 0:
        raise ValueError(f"index must be at least 0; got {index}")
    canvas = paint_scene(lay_out_picture(seed, index, setting), size)
    return _quantize(canvas), canvas.labels


def lay_out_picture(seed: int, index: int, setting: Setting = DRAWN) -> Scene:
    """Return the scene of a picture before it is painted; arguments as for `render`."""
    return lay_out(_seed_of(seed, index), setting)


def draw_place(seed: int, index: int) -> str:
    """Return the name of the place that a picture shows, without rendering it; arguments as for `render`."""
    return roll_place(_seed_of(seed, index))


def draw_scene_hour(seed: int, index: int) -> float:
    """Return the hour that is drawn for a picture, without rendering it; arguments as for `render`."""
    return draw_hour(_seed_of(seed, index))


def check_scene_size(size: int) -> None:
    """Check the size of a scene.

    Raises:
        ValueError: If it is not from 16 to 1024.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be {MIN_SIZE} to {MAX_SIZE} pixels; got {size}")


def _seed_of(seed: int, index: int) -> int:
    return derive_seed(seed, "scenes", index)


def _quantize(canvas: Canvas) -> UInt8[np.ndarray, "size size 3"]:
    """Return the colors of a canvas, uint8 [size, size, 3]."""
    image = np.clip(canvas.image, 0, 1) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))


def paint_scene(scene: Scene, size: int) -> Canvas:
    """Paint a scene from back to front on a canvas of size x size pixels."""
    canvas = _paint_land(scene, size)
    for thing in scene.standing:
        _paint_object(canvas, thing, scene)
    return canvas


def paint_owners(scene: Scene, size: int) -> tuple[UInt8[np.ndarray, "size size"], Int64[np.ndarray, "size size"]]:
    """Return the labels of a scene, and the index in `standing` of the thing that each pixel shows, -1 for none."""
    canvas = _paint_land(scene, size)
    owners = np.full((size, size), -1, np.int64)
    for index, thing in enumerate(scene.standing):
        behind = canvas.labels.copy()
        canvas.labels[...] = SceneLabel.SKY  # which nothing that stands is labeled
        _paint_object(canvas, thing, scene)
        touched = canvas.labels != SceneLabel.SKY
        owners[touched] = index
        np.copyto(canvas.labels, behind, where=~touched)
    return canvas.labels, owners


def _paint_land(scene: Scene, size: int) -> Canvas:
    """Paint all that does not stand on the ground."""
    canvas = Canvas.blank(size)
    light, camera = scene.light, scene.camera
    paint_sky(canvas, scene)
    for cloud in scene.clouds:
        paint_cloud(canvas, cloud, light)
    for row in scene.backdrop:
        if isinstance(row, Range):
            paint_range(canvas, row, light)
    paint_ground(canvas, scene.ground, camera, light)
    for row in scene.backdrop:
        if not isinstance(row, Range):
            paint_hill(canvas, row, light)
    for way in scene.ways:
        if isinstance(way, Lane):
            paint_lane(canvas, way, camera, light)
        elif isinstance(way, Street):
            paint_street(canvas, way, light)
        else:
            paint_footpath(canvas, way, light)
    return canvas


def _paint_object(canvas: Canvas, thing: SceneObject, scene: Scene) -> None:
    light = scene.light
    match thing:
        case House():
            paint_house(canvas, thing, scene.camera, light)
        case Water():
            paint_water(canvas, thing, light)
        case Tree():
            paint_tree(canvas, thing, light)
        case Car():
            paint_car(canvas, thing, light)
        case Person():
            paint_person(canvas, thing, light)
        case Fence():
            paint_fence(canvas, thing, light)
        case Flowers():
            paint_flowers(canvas, thing, light)
