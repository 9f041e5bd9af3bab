"""Paint roofs: sloped, hipped, flat, pointed, gabled, and gambrel."""

from __future__ import annotations

from .canvas import Canvas, Patch, Point, bounds, polygon_distance
from .light import Light
from .noise import Array
from .objects import Camera, House, SceneLabel
from .shade import illuminate


def recede(point: Point, house: House, camera: Camera, share: float) -> Point:
    """Return the position of a corner of the front after it moves back along the side wall by a share of the depth."""
    shrink = 1 - 0.16 * share
    return point[0] + house.visible_side * house.depth * share, camera.horizon + (point[1] - camera.horizon) * shrink


def order_clockwise(corners: list[Point]) -> list[Point]:
    """Return the corners of a convex polygon in clockwise order on the screen."""
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True))
    return corners if area > 0 else corners[::-1]


def cut_polygon(canvas: Canvas, corners: list[Point]) -> tuple[Patch, Array] | None:
    """Return the window over a convex polygon, and its signed distance there."""
    patch = canvas.patch(*bounds(corners))
    return None if patch is None else (patch, polygon_distance(patch, order_clockwise(corners)))


def gambrel_corners(house: House) -> tuple[Point, Point, Point]:
    """Return apex, knee and eaves of the right half of a barn roof."""
    middle, half = (house.left + house.right) / 2, (house.right - house.left) / 2
    knee = (middle + 0.66 * half, house.ridge + 0.36 * (house.eaves - house.ridge))
    return (middle, house.ridge), knee, (middle + half, house.eaves)


def _name_visible_side(house: House) -> str:
    """Return the side that the visible side wall faces."""
    return "right" if house.visible_side > 0 else "left"


def _paint_plane(
    canvas: Canvas, house: House, light: Light, corners: list[Point], toward: str, dim: float = 1.0
) -> None:
    """Paint one plane of a roof."""
    polygon = cut_polygon(canvas, corners)
    if polygon is None:
        return
    patch, inside = polygon
    low, high = max(y for _, y in corners), min(y for _, y in corners)
    rise = (low - patch.y) / max(low - high, 0.01)
    shade = dim * (0.92 + 0.12 * rise + 0.20 * patch.noise(house.roof_texture, house.offset))
    shade = shade + 0.07 * patch.noise("broad", house.offset)
    tone = 0.5 * (light.face(toward) + light.face("top"))
    patch.paint(inside, illuminate(house.roof_color, shade, tone, light, house.distance), SceneLabel.ROOF)


def _paint_eaves_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint a roof whose long side faces the viewer; it leans back over a visible side wall."""
    over = 0.018
    low = house.eaves + 0.014
    if house.visible_side:
        top = [recede((x, house.ridge), house, camera, 0.5) for x in (house.left - over, house.right + over)]
        far = recede((house.right if house.visible_side > 0 else house.left, house.eaves), house, camera, 1)
        edge = [top[1 if house.visible_side > 0 else 0], (far[0] + house.visible_side * over, far[1] + 0.012)]
        inner = [
            (edge[1][0] - house.visible_side * 0.028, edge[1][1]),
            (edge[0][0] - house.visible_side * 0.03, edge[0][1]),
        ]
        polygon = cut_polygon(canvas, [*edge, *inner])
        if polygon is not None:
            color = illuminate(house.roof_color, 0.62, light.face("front"), light, house.distance)
            patch, inside = polygon
            patch.paint(inside, color, SceneLabel.ROOF)
    else:
        inset = 0.05 * (house.right - house.left)
        top = [(house.left + inset, house.ridge), (house.right - inset, house.ridge)]
    corners = [(house.left - over, low), top[0], top[1], (house.right + over, low)]
    _paint_plane(canvas, house, light, corners, "front")


def _paint_hip_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint a roof that slopes on all sides, with its side plane above a visible side wall."""
    over, low = 0.018, house.eaves + 0.014
    inset = 0.24 * (house.right - house.left)
    shift = house.visible_side * house.depth * 0.5
    top = [(house.left + inset + shift, house.ridge), (house.right - inset + shift, house.ridge)]
    if house.visible_side:
        x = house.right + over if house.visible_side > 0 else house.left - over
        back = recede((x, low), house, camera, 1)
        flank = [(x, low), top[1 if house.visible_side > 0 else 0], (back[0] + house.visible_side * over, back[1])]
        _paint_plane(canvas, house, light, flank, _name_visible_side(house), 0.85)
    _paint_plane(canvas, house, light, [(house.left - over, low), top[0], top[1], (house.right + over, low)], "front")


def _paint_flat_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint the slab and parapet of a flat roof."""
    over, high = 0.012, house.ridge
    if house.visible_side:
        x = house.right + over if house.visible_side > 0 else house.left - over
        near = [(x, high), (x, house.eaves + 0.006)]
        flank = [*near, *(recede(point, house, camera, 1.05) for point in reversed(near))]
        _paint_plane(canvas, house, light, flank, _name_visible_side(house), 0.8)
    left, right, low = house.left - over, house.right + over, house.eaves + 0.006
    corners = [(left, high), (right, high), (right, low), (left, low)]
    _paint_plane(canvas, house, light, corners, "front")


def _paint_spire_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint the pointed roof of a tower, with one sunlit and one shaded flank."""
    over, low = 0.016, house.eaves + 0.012
    middle = (house.left + house.right) / 2 + house.visible_side * house.depth * 0.4
    right = recede((house.right, low), house, camera, 1)[0] if house.visible_side > 0 else house.right
    left = recede((house.left, low), house, camera, 1)[0] if house.visible_side < 0 else house.left
    ridge = (middle, house.ridge)
    edge = (house.right if house.visible_side >= 0 else house.left, low + 0.004)
    if not house.visible_side:
        edge = ((left + right) / 2, low + 0.006)
    _paint_plane(canvas, house, light, [(left - over, low), ridge, (edge[0], edge[1])], "left")
    _paint_plane(canvas, house, light, [(edge[0], edge[1]), ridge, (right + over, low)], "right")


def _paint_gable_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint a roof whose gable faces the viewer: its side plane, if visible, and its two edges."""
    middle = (house.left + house.right) / 2
    apex, over = (middle, house.ridge - 0.012), 0.02
    slope = (house.eaves - house.ridge) / ((house.right - house.left) / 2)
    ends = [(house.left - over, house.eaves + over * slope), (house.right + over, house.eaves + over * slope)]
    if house.visible_side:
        near = ends[1 if house.visible_side > 0 else 0]
        back = [recede(near, house, camera, 1), recede(apex, house, camera, 1)]
        _paint_plane(canvas, house, light, [apex, near, *back], _name_visible_side(house))
    thick = 0.034
    for end, toward in zip(ends, ("left", "right"), strict=True):
        edge = [(end[0], end[1] - thick * 0.5), (end[0], end[1] + thick * 0.4)]
        corners = [apex, *edge, (apex[0], apex[1] + thick * (0.9 + 0.5 * slope))]
        _paint_plane(canvas, house, light, corners, toward, 0.9)


def _paint_gambrel_roof(canvas: Canvas, house: House, camera: Camera, light: Light) -> None:
    """Paint a barn's roof: its side planes, if visible, and its four edges."""
    apex, knee, eaves = gambrel_corners(house)
    if house.visible_side:
        flip = house.visible_side
        points = [(apex[0] + flip * (x - apex[0]), y) for x, y in (apex, knee, (eaves[0] + 0.015, eaves[1] + 0.02))]
        for high, low, toward in ((points[0], points[1], "top"), (points[1], points[2], _name_visible_side(house))):
            back = [recede(low, house, camera, 1), recede(high, house, camera, 1)]
            _paint_plane(canvas, house, light, [high, low, *back], toward)
    for flip, toward in ((-1, "left"), (1, "right")):
        points = [(apex[0] + flip * (x - apex[0]), y) for x, y in (apex, knee, (eaves[0] + 0.018, eaves[1] + 0.03))]
        for high, low in ((points[0], points[1]), (points[1], points[2])):
            upper = [(high[0], high[1] - 0.02), (low[0], low[1] - 0.02)]
            corners = [*upper, (low[0] - flip * 0.006, low[1] + 0.016), (high[0] - flip * 0.006, high[1] + 0.018)]
            _paint_plane(canvas, house, light, corners, toward, 0.9)


ROOFS = {
    "eaves": _paint_eaves_roof,
    "hip": _paint_hip_roof,
    "flat": _paint_flat_roof,
    "spire": _paint_spire_roof,
    "gable": _paint_gable_roof,
    "gambrel": _paint_gambrel_roof,
}
