"""Cover a scene with snow: other colors of the same things, so that winter has the labels of every other season."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .light import SNOW, rgb
from .noise import Color
from .objects import Flowers, Footpath, Hill, House, Lane, Range, Scene, SceneObject, Street, Tree, Water

FROST = rgb((196, 198, 208))
"""Bare twigs with hoarfrost."""
SNOW_LINE = 0.3
"""Height of the snow line as a share of the highest peak, where there is snow lower than usual."""


def cover_with_snow(scene: Scene) -> Scene:
    """Return a scene in winter: snow on meadows, roofs, trees and mountains, and no fruit."""
    return replace(
        scene,
        backdrop=tuple(_cover_row(row) for row in scene.backdrop),
        ground=replace(
            scene.ground, color=_whiten(scene.ground.color, 0.93), far_color=_whiten(scene.ground.far_color, 0.93)
        ),
        ways=tuple(_cover_way(way) for way in scene.ways),
        standing=tuple(_cover_object(thing) for thing in scene.standing),
    )


def _whiten(color: Color, share: float, toward: Color = SNOW) -> Color:
    """Return a color [3, 1, 1] of which snow hides a share."""
    whitened: Color = color + (toward - color) * np.float32(share)
    return whitened


def _cover_row(row: Range | Hill) -> Range | Hill:
    if isinstance(row, Range):
        return replace(row, snow=SNOW_LINE)
    return replace(row, color=_whiten(row.color, 0.88), wood_color=_whiten(row.wood_color, 0.6, FROST))


def _cover_way(way: Lane | Street | Footpath) -> Lane | Street | Footpath:
    match way:
        case Lane():
            return replace(way, color=_whiten(way.color, 0.35))
        case Street():
            return replace(way, color=_whiten(way.color, 0.2), verge=_whiten(way.verge, 0.93))
        case _:
            return way


def _cover_object(thing: SceneObject) -> SceneObject:
    match thing:
        case House():
            return replace(thing, roof_color=_whiten(thing.roof_color, 0.85))
        case Tree(kind="fir"):
            return replace(thing, color=_whiten(thing.color, 0.45), bed=_cover_bed(thing))
        case Tree():
            return replace(thing, color=_whiten(thing.color, 0.85, FROST), bed=_cover_bed(thing), fruit=None)
        case Flowers():
            return replace(thing, leaf=_whiten(thing.leaf, 0.75), blossom=_whiten(thing.blossom, 0.3))
        case Water(sea=False):
            return replace(thing, color=_whiten(thing.color, 0.3))
        case _:
            return thing


def _cover_bed(tree: Tree) -> Color | None:
    return None if tree.bed is None else _whiten(tree.bed, 0.93)
