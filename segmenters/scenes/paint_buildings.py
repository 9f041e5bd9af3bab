"""Paint buildings: walls, windows, doors and roofs in light and shade."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Patch, Point, box_distance, ellipse_distance, paint_box, paint_convex
from .light import Light, rgb
from .noise import Array
from .objects import Camera, Door, House, SceneLabel
from .paint_roofs import ROOFS, cut_polygon, gambrel_corners, order_clockwise, recede
from .shade import GLASS, LAMP, cast_shadow, illuminate, line_coverage

_ROUGH = {"grain": 0.035, "brick": 0.15, "stone": 0.11, "planks": 0.10, "boards": 0.14}
KNOB = rgb((240, 214, 120))


def paint_house(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint a building and its shadow."""
    half = (house.right - house.left) / 2
    spot = (house.left + house.right) / 2, house.foot
    cast_shadow(canvas, light, spot, half * 1.1, house.foot - house.ridge, 0.05)
    if house.visible_side:
        _paint_side(canvas, house, camera, light)
    if house.chimney is not None:
        _paint_chimney(canvas, house, light)
    _paint_front(canvas, house, light)
    _paint_windows(canvas, house, light)
    if house.door is not None:
        _paint_door(canvas, house.door, house, light)
    ROOFS[house.roof](canvas, house, camera, light)


def _paint_side(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint the visible side wall, with its gable and windows."""
    x = house.left if house.visible_side < 0 else house.right
    near = [(x, house.eaves), (x, house.foot)]
    corners = [*near, *(recede(point, house, camera, 1) for point in reversed(near))]
    tone = light.face("left" if house.visible_side < 0 else "right") * 0.92
    shapes = [corners]
    if house.roof == "eaves":
        shapes.append([near[0], recede((x, house.ridge), house, camera, 0.5), corners[-1]])
    for shape in shapes:
        polygon = cut_polygon(canvas, shape)
        if polygon is not None:
            patch, inside = polygon
            shade = 0.92 + _ROUGH[house.wall_texture] * patch.noise(house.wall_texture, house.offset)
            patch.paint(inside, illuminate(house.wall, shade, tone, light, house.distance), SceneLabel.BUILDING)
    if house.depth > 0.115:
        for middle in house.floors:
            _paint_side_window(canvas, house, camera, light, (x, middle))


def _paint_side_window(canvas: Canvas, house: House, camera: Camera, light: Light, middle: Point) -> None:
    """Paint a window in the side wall."""
    share = min(0.3, 0.6 * house.pane[0] / house.depth)
    for grow, color in ((1.0, house.trim), (0.66, GLASS)):
        points = [
            recede((middle[0], middle[1] + down * house.pane[1] * grow), house, camera, 0.5 + along * share * grow)
            for along, down in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        glow = light.lamps * 0.6 if color is GLASS else 0.0
        color = illuminate(color, 0.95, light.face("front"), light, house.distance) * (1 - glow) + LAMP * glow
        paint_convex(canvas, order_clockwise(points), color, SceneLabel.WINDOW)


def _paint_front(canvas: Canvas, house: House, light: Light) -> None:
    """Paint the front wall, darker under the eaves and at the foot."""
    top = house.ridge if house.roof in ("gable", "gambrel") else house.eaves
    patch = canvas.patch(house.left, top, house.right, house.foot)
    if patch is None:
        return
    inside = box_distance(patch, house.left, top, house.right, house.foot)
    if house.roof == "gable":
        inside = np.minimum(inside, _gable_distance(patch, house))
    elif house.roof == "gambrel":
        inside = np.minimum(inside, _gambrel_distance(patch, house))
    under = np.clip((patch.y - house.eaves) / 0.05, 0, 1) if house.roof not in ("gable", "gambrel") else 1.0
    along = (patch.x - house.left) / (house.right - house.left)
    shade = 0.80 + 0.20 * under - 0.14 * np.clip((patch.y - house.foot + 0.06) / 0.06, 0, 1)
    rough = _ROUGH[house.wall_texture] * patch.noise(house.wall_texture, house.offset)
    shade = shade + 0.06 * light.side * (2 * along - 1) + rough
    shade = shade + 0.03 * patch.noise("broad", house.offset)
    patch.paint(inside, illuminate(house.wall, shade, light.face("front"), light, house.distance), SceneLabel.BUILDING)


def _gable_distance(patch: Patch, house: House) -> Array:
    middle, half = (house.left + house.right) / 2, (house.right - house.left) / 2
    slope = (house.eaves - house.ridge) / half
    inside: Array = (patch.y - house.ridge - slope * np.abs(patch.x - middle)) / (1 + slope * slope) ** 0.5
    return inside


def _gambrel_distance(patch: Patch, house: House) -> Array:
    apex, knee, eaves = gambrel_corners(house)
    away = np.abs(patch.x - apex[0])
    inside: Array | None = None
    for (x0, y0), (x1, y1) in ((apex, knee), (knee, eaves)):
        slope = (y1 - y0) / (x1 - x0)
        side = (patch.y - y0 - slope * (away - (x0 - apex[0]))) / (1 + slope * slope) ** 0.5
        inside = side if inside is None else np.minimum(inside, side)
    return patch.y if inside is None else inside


def _paint_windows(canvas: Canvas, house: House, light: Light) -> None:
    """Paint the grid of windows, except at the door."""
    if not house.columns:
        return
    if len(house.floors) > 1:
        _paint_panes(canvas, house, light, house.floors[1:], house.columns)
    ground = tuple(column for place, column in enumerate(house.columns) if place not in house.skip)
    if ground:
        _paint_panes(canvas, house, light, house.floors[:1], ground)
    if house.attic:
        middle = (house.left + house.right) / 2
        _paint_panes(canvas, house, light, (house.eaves - 0.30 * (house.eaves - house.ridge),), (middle,))


def _paint_panes(canvas: Canvas, house: House, light: Light, ys: tuple[float, ...], xs: tuple[float, ...]) -> None:
    """Paint a window at every combination of ys and xs."""
    half_x, half_y = house.pane
    patch = canvas.patch(min(xs) - half_x, min(ys) - half_y - 0.01, max(xs) + half_x, max(ys) + half_y + 0.02)
    if patch is None:
        return
    away_x = np.abs(patch.x - np.array(xs, np.float32)[:, None])
    away_y = np.abs(patch.y - np.array(ys, np.float32)[None, :])
    column, row = away_x.argmin(axis=0), away_y.argmin(axis=1)
    near_x, near_y = away_x.min(axis=0)[None], away_y.min(axis=1)[:, None]
    inside = np.minimum(half_x - near_x, half_y - near_y)
    front = light.face("front")
    sill = np.minimum(half_x + 0.006 - near_x, half_y + 0.014 - near_y)
    patch.paint(sill, illuminate(house.wall, 0.72, front, light, house.distance))
    patch.paint(inside, illuminate(house.trim, 1.0, front, light, house.distance), SceneLabel.WINDOW)
    glow = np.array(house.glow, np.float32)
    pick = (row[:, None] * 3 + column[None] * 5 + int(ys[0] * 100)) % len(glow)
    lamp = glow[pick] * light.lamps
    sky = np.clip(0.5 - (patch.y - np.array(ys, np.float32)[row][:, None]) / (2.4 * half_y), 0, 1)
    glass = illuminate(GLASS, 0.8 + 0.5 * glow[pick], front, light, house.distance)
    glass = glass + (light.middle - glass) * (sky * 0.42)
    glass = glass + (LAMP * (0.95 + 0.2 * sky) - glass) * lamp
    frame = min(0.011, 0.2 * half_x)
    patch.paint(inside - frame, glass)
    bars = np.maximum(line_coverage(patch, near_x, 0.10 * half_x), line_coverage(patch, near_y, 0.07 * half_y))
    patch.tint(bars * (inside > 0), illuminate(house.trim, 1.0, front, light, house.distance))


def _paint_door(canvas: Canvas, door: Door, house: House, light: Light) -> None:
    """Paint a door: frame, leaf, panels or a barn's cross, and knob."""
    left, right, top = door.x - door.half, door.x + door.half, house.foot - door.height
    patch = canvas.patch(left, top, right, house.foot)
    if patch is None:
        return
    front = light.face("front")
    inside = box_distance(patch, left, top, right, house.foot)
    if door.style == "arch":
        arch = ellipse_distance(patch, door.x, top + door.half, door.half, door.half)
        inside = np.where(patch.y < top + door.half, arch, inside)
    patch.paint(inside, illuminate(door.frame, 1.0, front, light, house.distance), SceneLabel.DOOR)
    frame = min(0.013, door.half * 0.28)
    leaf = inside - frame
    if door.style != "arch":
        leaf = np.minimum(np.minimum(patch.x - left, right - patch.x), patch.y - top) - frame
    shade = 0.9 + 0.18 * (house.foot - patch.y) / door.height + 0.10 * patch.noise("boards", house.offset)
    patch.paint(leaf, illuminate(door.color, shade, front, light, house.distance))
    if door.style == "barn":
        across, down = (patch.x - door.x) / door.half, (patch.y - top) / door.height * 2 - 1
        cross = np.minimum(np.abs(across - down), np.abs(across + down)) * door.half * 0.7
        patch.tint(
            line_coverage(patch, cross, 0.008) * (leaf > 0), illuminate(door.frame, 1.0, front, light, house.distance)
        )
        return
    pane_half, pane_low = door.half * 0.42, top + door.height * 0.42
    pane = box_distance(patch, door.x - pane_half, top + door.height * 0.14, door.x + pane_half, pane_low)
    glass = illuminate(GLASS, 0.9, front, light, house.distance) * (1 - light.lamps * 0.7) + LAMP * (light.lamps * 0.7)
    patch.paint(pane, glass if door.style == "glazed" else illuminate(door.color, 0.72, front, light, house.distance))
    knob = ellipse_distance(patch, door.x + door.half * 0.5, house.foot - door.height * 0.42, 0.007, 0.007)
    patch.paint(knob, KNOB * front)


def _paint_chimney(canvas: Canvas, house: House, light: Light) -> None:
    """Paint a chimney; the roof, painted later, hides its foot."""
    if house.chimney is None:
        return
    left, top, half = house.chimney, house.ridge - 0.25 * (house.eaves - house.ridge) - 0.015, 0.02
    color = illuminate(rgb((150, 84, 66)), 1.0, light.face("front"), light, house.distance)
    paint_box(canvas, (left - half, top), (left + half, house.eaves), color, SceneLabel.ROOF)
    paint_box(
        canvas, (left - half - 0.005, top - 0.01), (left + half + 0.005, top + 0.006), color * 0.75, SceneLabel.ROOF
    )
