"""Paint the landscape: sky, sun, clouds, mountains, hills, meadow, roads and water."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, Patch, ellipse_distance, polygon_distance
from .light import SNOW, Light, rgb
from .noise import Array
from .objects import Camera, Cloud, Footpath, Ground, Hill, Lane, Range, Scene, SceneLabel, Street, Water
from .shade import line_coverage

STRIPE = rgb((240, 236, 220))
PAVING = rgb((196, 182, 164))
EARTH = rgb((176, 150, 108))


def blend(low: Array, high: Array, share: Array | float) -> Array:
    """Interpolate between two colors."""
    return low + (high - low) * share


def paint_sky(canvas: Canvas, scene: Scene) -> None:
    """Fill the canvas with a sky that pales toward the horizon and glows around the sun."""
    light, horizon = scene.light, scene.camera.horizon
    fall = (canvas.centers / horizon)[:, None]
    upper = np.clip(fall / 0.55, 0, 1)
    lower = np.clip((fall - 0.45) / 0.6, 0, 1)
    rows = blend(blend(light.zenith, light.middle, upper), light.horizon, lower * lower * (3 - 2 * lower))
    canvas.image[...] = rows
    patch = patch_below(canvas)
    if scene.sun is not None:
        x, y, radius = scene.sun
        away = (patch.x - x) ** 2 + (patch.y - y) ** 2
        patch.tint(0.55 / (1 + away / (3.2 * radius * radius)), light.sun)
        around = canvas.patch(x - radius, y - radius, x + radius, y + radius)
        if around is not None:
            disc = ellipse_distance(around, x, y, radius, radius)
            around.paint(disc, blend(light.sun, SNOW, np.clip(disc / radius, 0, 1)), SceneLabel.SUN)


def patch_below(canvas: Canvas, top: float = 0.0) -> Patch:
    """Return the window below y = top."""
    patch = canvas.patch(0, min(max(top, 0), 0.999), 1, 1)
    if patch is None:
        raise ValueError(f"top must leave part of the picture below it; got {top}")
    return patch


def paint_cloud(canvas: Canvas, cloud: Cloud, light: Light) -> None:
    """Paint a cumulus with a bright top, shaded base and fluffy edge; it is labeled where it hides half the sky."""
    left, right = min(x - r for x, _, r in cloud.puffs), max(x + r for x, _, r in cloud.puffs)
    top = min(y - r for _, y, r in cloud.puffs)
    patch = canvas.patch(left - 0.03, top - 0.03, right + 0.03, cloud.base + 0.03)
    if patch is None:
        return
    inside: Array | None = None
    for x, y, radius in cloud.puffs:
        puff = radius - np.sqrt((patch.x - x) ** 2 + (1.25 * (patch.y - y)) ** 2)
        inside = puff if inside is None else np.maximum(inside, puff, out=inside)
    if inside is None:
        return
    noise = patch.noise("cloud", cloud.offset)
    inside = np.minimum(inside, (cloud.base - patch.y) * 1.2 + 0.012) + noise * 0.017
    relief = noise - patch.noise("cloud", (cloud.offset[0] - light.side * 0.03, cloud.offset[1] - 0.03))
    rise = (cloud.base - patch.y) / max(cloud.base - top, 0.02)
    shade = np.clip(0.15 + 0.95 * rise - 0.28 * relief - 1.2 * inside, 0, 1)
    patch.paint(inside, blend(light.cloud_shade, light.cloud, shade), SceneLabel.CLOUD, soft=0.028)


def paint_range(canvas: Canvas, mountains: Range, light: Light) -> None:
    """Paint a row of peaks, each with a sunny and a shaded flank, snow above the snow line, and haze at its foot."""
    highest = max(height for _, height, _ in mountains.peaks)
    patch = canvas.patch(0, mountains.base - highest - 0.03, 1, mountains.base)
    if patch is None:
        return
    across = np.array([x for x, _, _ in mountains.peaks], np.float32)[:, None]
    heights = np.array([h for _, h, _ in mountains.peaks], np.float32)[:, None]
    slopes = np.array([s for _, _, s in mountains.peaks], np.float32)[:, None]
    tents = heights - slopes * np.abs(patch.x - across)
    owner = tents.argmax(axis=0)
    jag = patch.profile("leaf", mountains.offset[1], mountains.offset[0])
    top = mountains.base - np.maximum(tents.max(axis=0)[None], 0.0) + jag * 0.012
    rough, fine = patch.noise("broad", mountains.offset), patch.noise("leaf", mountains.offset)
    below = patch.y - top
    flank = (patch.x - across[owner, 0][None]) * np.sign(light.side) + below * (0.35 * rough - 0.1) + 0.012 * fine
    sunlit = np.clip(0.5 + flank * 22, 0, 1)
    stone: Array = mountains.color * (1 + 0.12 * (rough + fine))
    if mountains.snow > 0:
        snow_line = mountains.base - highest * mountains.snow + (0.35 * highest) * (0.5 * rough + 0.3 * fine)
        stone = blend(stone, SNOW, np.clip((snow_line - patch.y) * 60, 0, 1) * 0.92)
    shade = light.ambient * 0.85 + light.key * sunlit
    haze = np.clip(light.fog(mountains.distance) + 0.22 * np.clip(below / highest, 0, 1), 0, 0.86)
    patch.paint(below * 0.8, blend(stone * shade, blend(light.horizon, light.zenith, 0.12), haze), SceneLabel.MOUNTAIN)


def paint_hill(canvas: Canvas, hill: Hill, light: Light) -> None:
    """Paint a hill of meadow and the woods, if any, along its edge."""
    patch = patch_below(canvas, hill.base - hill.rise * 1.2 - hill.wood * 1.6 - 0.02)
    edge = hill.base - hill.rise * (0.5 + 0.5 * patch.profile("broad", hill.offset[1], hill.offset[0]))
    tone = light.face("top")
    if hill.wood > 0:
        leaf = patch.noise("leaf", hill.offset)
        stand = np.clip(patch.profile("broad", 0.5 + hill.offset[0] / 2, hill.offset[1]) * 1.4 + 0.75, 0, 1.2)
        bumps = patch.profile("leaf", hill.offset[0], hill.offset[1])
        inside = patch.y - (edge - hill.wood * stand * (1 + 0.35 * bumps)) + 0.006 * leaf
        inside = np.where(stand > 0.15, inside, -1.0)
        relief = leaf - patch.noise("leaf", (hill.offset[0] - 0.02 * light.side, hill.offset[1] - 0.02))
        crowns = hill.wood_color * (0.85 + 0.2 * leaf - 0.25 * relief) * tone
        below = edge + 0.012 - patch.y
        patch.paint(np.minimum(inside, below), light.through_air(crowns, hill.distance), SceneLabel.TREE)
    shade = 1 + 0.10 * patch.noise("streak", hill.offset) + 0.10 * patch.noise("broad", hill.offset)
    grass = hill.color * (shade - 0.5 * np.clip(patch.y - edge, 0, 0.3)) * tone
    patch.paint(patch.y - edge, light.through_air(grass, hill.distance), SceneLabel.GRASS)


def paint_ground(canvas: Canvas, ground: Ground, camera: Camera, light: Light) -> None:
    """Paint the meadow: hazy and smooth in the distance, with tufts and blades nearby."""
    patch = patch_below(canvas, camera.horizon)
    near = np.clip((patch.y - camera.horizon) / (1 - camera.horizon), 0, 1)
    far_noise = patch.noise("streak", ground.offset)
    near_noise = patch.noise("blade", ground.offset)
    patches = patch.noise("broad", (ground.offset[1], ground.offset[0]))
    shade = 1 + 0.10 * far_noise * (1 - near) + 0.22 * near_noise * near + 0.11 * patches
    grass = blend(ground.far_color, ground.color, np.sqrt(near)) * shade * light.face("top")
    fog = 1 - np.exp(-light.haze * 0.12 / (near + 0.05))
    patch.paint(patch.y - camera.horizon, blend(grass, light.horizon, fog), SceneLabel.GRASS)


def paint_lane(canvas: Canvas, lane: Lane, camera: Camera, light: Light) -> None:
    """Paint a road to the horizon, with pavements and a dashed line that shrink with distance."""
    patch = patch_below(canvas, lane.end)
    share = np.clip((patch.y - camera.horizon) / (1 - camera.horizon), 1e-3, 1)
    center = lane.far + (lane.near - lane.far) * share + lane.bend * share * (1 - share)
    away = np.abs(patch.x - center)
    begun = patch.y - lane.end
    fog = 1 - np.exp(-light.haze * 0.10 / (share + 0.03))
    grain = 1 + 0.07 * patch.noise("grain") + 0.05 * patch.noise("streak", (0.3, 0.1))
    tone = light.face("top")
    if lane.pavement > 0:
        side = np.minimum((lane.half + lane.pavement) * share - away, begun)
        patch.paint(side, blend(PAVING * grain * tone, light.horizon, fog), SceneLabel.PAVEMENT)
        patch.paint(
            np.minimum((lane.half + 0.02) * share - away, begun), blend(PAVING * 1.12 * tone, light.horizon, fog)
        )
    inside = np.minimum(lane.half * share - away, begun)
    patch.paint(inside, blend(lane.color * grain * tone, light.horizon, fog), SceneLabel.ROAD)
    if lane.stripes:
        dash = np.clip(np.sin(1.9 / share) * 4 * np.minimum(share * 3, 1) + 0.5, 0, 1)
        dashes = line_coverage(patch, away, 0.028 * lane.half * 2 * share) * dash * (begun > 0)
        patch.tint(dashes * (1 - fog), STRIPE * tone)


def paint_street(canvas: Canvas, street: Street, light: Light) -> None:
    """Paint a road across the picture, with curbs and slabs of pavement on both sides."""
    patch = patch_below(canvas, street.behind)
    tone = light.face("top")
    grain = 1 + 0.06 * patch.noise("grain") + 0.05 * patch.noise("broad", (0.4, 0.2))
    slabs = 1 - 0.12 * np.clip(np.cos((patch.x - 0.5) / (patch.y - street.behind + 0.25) * 40) * 6 - 5, 0, 1)
    patch.paint(patch.y - street.behind, PAVING * (grain * slabs) * tone, SceneLabel.PAVEMENT)
    road = np.minimum(patch.y - street.top, street.bottom - patch.y)
    patch.paint(road + 0.012, PAVING * 1.18 * tone)
    patch.paint(road + 0 * patch.x, street.color * grain * tone, SceneLabel.ROAD)
    if street.stripes:
        middle = 0.46 * street.top + 0.54 * min(street.bottom, 1.06)
        dash = np.clip(np.sin(patch.x * 36) * 6 + 1, 0, 1)
        patch.tint(patch.slab_coverage(middle - 0.007, middle + 0.007, patch.y) * dash, STRIPE * tone)
    if street.front < 1:
        shade = 1 + 0.2 * patch.noise("blade", (0.2, 0.7))
        patch.paint(patch.y - street.front + 0 * patch.x, street.verge * shade * tone, SceneLabel.GRASS)


def paint_footpath(canvas: Canvas, path: Footpath, light: Light) -> None:
    """Paint a paved path that widens from a door toward the viewer."""
    corners = [
        (path.x - path.half, path.foot),
        (path.x + path.half, path.foot),
        (path.end_x + path.end_half, path.end),
        (path.end_x - path.end_half, path.end),
    ]
    patch = canvas.patch(min(x for x, _ in corners), path.foot, max(x for x, _ in corners), path.end)
    if patch is not None:
        color = PAVING * (1 + 0.10 * patch.noise("stone")) * light.face("top")
        patch.paint(polygon_distance(patch, corners), color, SceneLabel.PAVEMENT)


def paint_water(canvas: Canvas, water: Water, light: Light) -> None:
    """Paint water that mirrors the scene behind it, rippled and darker toward the viewer."""
    patch = patch_below(canvas, water.foot - water.swing - 0.03)
    wave = patch.profile("broad", water.offset[0], water.offset[1])
    shore = water.foot + (0.0 if water.sea else water.swing * 0.5) * wave
    beach = water.bottom + 1.6 * water.swing * patch.profile("broad", water.offset[1], water.offset[0])
    inside = np.minimum(patch.y - shore, beach - patch.y)
    sand = np.minimum(patch.y - shore + (0.0 if water.sea else 0.014), beach + (0.04 if water.sea else 0.014) - patch.y)
    patch.paint(sand, EARTH * light.face("top"))
    size = canvas.size
    depth = np.maximum(patch.y - shore, 0)
    ripple = patch.noise("ripple", water.offset)
    col = np.arange(size)[None]
    mirror: Array = np.zeros((3, 1, 1), np.float32)
    for spread in (0.045, 0.13):
        rows = 2 * shore - patch.y + ripple * (0.006 + depth * spread)
        row = np.clip(rows * size, 0, size - 1).astype(np.intp)
        mirror = mirror + 0.5 * canvas.image.reshape(3, -1)[:, (row * size + col)]
    clear = np.clip(0.62 - 0.5 * depth / (1 - water.foot), 0.2, 1)
    body = water.color * (light.ambient + 0.4 * light.key) * (1 + 0.14 * ripple)
    color = blend(body, mirror, clear)
    glint = np.clip(patch.noise("ripple", (water.offset[1], water.offset[0])) * 3 - 2.2, 0, 1)
    color = blend(color, blend(light.sun, light.horizon, 0.4), glint * 0.5)
    patch.paint(inside, color, SceneLabel.WATER)
