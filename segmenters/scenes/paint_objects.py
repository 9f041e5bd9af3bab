"""Paint trees, cars, people, fences and flowers, with their shadows."""

from __future__ import annotations

import numpy as np

from .canvas import (
    Canvas,
    Patch,
    Point,
    box_distance,
    ellipse_distance,
    paint_box,
    paint_convex,
    paint_ellipse,
    polygon_distance,
)
from .light import Light, rgb
from .noise import Array
from .objects import Car, Fence, Flowers, Person, SceneLabel, Tree
from .shade import GLASS, LAMP, cast_shadow, illuminate, line_coverage

TIRE = rgb((30, 30, 34))
HUB = rgb((176, 178, 184))
HIP, NECK = 0.46, 0.80
"""Heights of hip and neck as shares of a person's height."""


def paint_tree(canvas: Canvas, tree: Tree, light: Light) -> None:
    """Paint a tree: the trunk, then a leafy crown lit from the sun's side."""
    if tree.bed is not None:
        turf = tree.bed * light.face("top")
        paint_ellipse(canvas, (tree.x, tree.foot + 0.006), (max(0.05, 0.5 * tree.crown), 0.022), turf, SceneLabel.GRASS)
    cast_shadow(canvas, light, (tree.x, tree.foot), tree.crown, tree.height)
    half = max(0.012, tree.height * 0.045)
    middle = tree.foot - tree.height * 0.45
    patch = canvas.patch(tree.x - half * 1.6, middle, tree.x + half * 1.6, tree.foot)
    if patch is not None:
        flare = half * (0.75 + 0.5 * np.clip((patch.y - tree.foot) / (0.2 * tree.height) + 1, 0, 1))
        trunk = np.minimum(flare - np.abs(patch.x - tree.x), np.minimum(tree.foot - patch.y, patch.y - middle))
        shade = 0.85 + 0.35 * light.side * (patch.x - tree.x) / half + 0.15 * patch.noise("boards", tree.offset)
        patch.paint(trunk, illuminate(tree.bark, shade, light.face("front"), light, tree.distance), SceneLabel.TREE)
    (_paint_fir if tree.kind == "fir" else _paint_crown)(canvas, tree, light)


def _paint_crown(canvas: Canvas, tree: Tree, light: Light) -> None:
    """Paint a crown of puffs, each shaded as a ball and brighter toward the sun."""
    left, right = min(x - r for x, _, r in tree.puffs), max(x + r for x, _, r in tree.puffs)
    top, bottom = min(y - r for _, y, r in tree.puffs), max(y + r for _, y, r in tree.puffs)
    stretch = 1.9 if tree.kind == "poplar" else 1.0
    if stretch > 1:
        middle = (top + bottom) / 2
        top, bottom = middle - (middle - top) * stretch, middle + (bottom - middle) * stretch
    patch = canvas.patch(left - 0.015, top - 0.015, right + 0.015, bottom + 0.015)
    if patch is None:
        return
    inside = np.full((patch.y.shape[0], patch.x.shape[1]), -1, np.float32)
    shade = np.zeros_like(inside)
    for x, y, radius in tree.puffs:
        across, down = patch.x - x, (patch.y - y) / stretch
        puff = radius - np.sqrt(across * across + down * down)
        toward = (across * (0.75 * light.side) - down * (0.45 + 0.4 * light.height)) / radius
        shade = np.where(puff > inside, toward, shade)
        inside = np.maximum(inside, puff)
    _paint_leaves(patch, tree, light, inside, shade)


def _paint_fir(canvas: Canvas, tree: Tree, light: Light) -> None:
    """Paint a fir: tiers of boughs that widen downward."""
    top, bottom = tree.foot - tree.height, tree.foot - 0.13 * tree.height
    patch = canvas.patch(tree.x - tree.crown - 0.01, top, tree.x + tree.crown + 0.01, bottom + 0.015)
    if patch is None:
        return
    down = np.clip((patch.y - top) / (bottom - top), -0.05, 1.06)
    tier = np.mod(down * 4, 1)
    half = tree.crown * (0.86 * down + 0.22 * tier * np.minimum(down * 3, 1))
    across = patch.x - tree.x
    inside = np.minimum((half - np.abs(across)) * 0.85, bottom - patch.y)
    shade = across / tree.crown * 0.9 * light.side + 0.35 * (0.6 - tier) + 0.1
    _paint_leaves(patch, tree, light, inside, shade)


def _paint_leaves(patch: Patch, tree: Tree, light: Light, inside: Array, shade: Array) -> None:
    """Paint the leaves of a crown, given its outline and shading."""
    leaf = patch.noise("leaf", tree.offset)
    relief = leaf - patch.noise("leaf", (tree.offset[0] - 0.016 * np.sign(light.side), tree.offset[1] - 0.016))
    bright = np.clip(0.46 + 0.42 * shade + 0.16 * leaf - 0.26 * relief, 0, 1)
    tone = light.ambient * (0.55 + 0.5 * bright) + light.key * (1.15 * bright)
    fog = np.float32(light.fog(tree.distance))
    color = tree.color * tone
    if tree.fruit is not None:
        dots = np.clip(patch.noise("blossoms", tree.offset) * 3 - 0.6, 0, 1) * (leaf > -0.1)
        color = color + (tree.fruit * tone * 1.1 - color) * dots
    patch.paint(inside + 0.011 * leaf, color * (1 - fog) + light.horizon * fog, SceneLabel.TREE)


def paint_car(canvas: Canvas, car: Car, light: Light) -> None:
    """Paint a car, seen from the side or from one end, and its shadow."""
    cast_shadow(canvas, light, (car.x, car.foot), car.length * 0.56, car.height * 0.5)
    (_paint_car_side if car.facing else _paint_car_end)(canvas, car, light)


def _paint_body(patch: Patch, car: Car, light: Light, inside: Array, label: SceneLabel | None = SceneLabel.CAR) -> None:
    shade = 1.12 - 0.42 * np.clip((patch.y - car.foot + car.height) / car.height, 0, 1)
    patch.paint(
        inside, illuminate(car.color, shade + 0 * patch.x, light.face("front") * 1.05, light, car.distance), label
    )


def _paint_car_side(canvas: Canvas, car: Car, light: Light) -> None:
    length, height, face = car.length, car.height, car.facing
    left, right = car.x - length / 2, car.x + length / 2
    front = light.face("front")
    waist = car.foot - height * 0.56
    back, nose = (0.44, 0.18) if car.kind == "saloon" else (0.49, 0.30)
    roof = [
        (car.x - face * length * back, waist + 0.01),
        (car.x - face * length * (back - 0.10), car.foot - height),
        (car.x + face * length * (nose - 0.10), car.foot - height),
        (car.x + face * length * (nose + 0.06), waist + 0.01),
    ]
    roof = roof if face > 0 else roof[::-1]
    patch = canvas.patch(left, car.foot - height, right, car.foot)
    if patch is None:
        return
    _paint_body(patch, car, light, polygon_distance(patch, roof))
    hull = box_distance(patch, left, waist, right, car.foot - height * 0.13)
    round_ends = ellipse_distance(patch, car.x, car.foot - height * 0.30, length * 0.515, height * 0.46)
    _paint_body(patch, car, light, np.minimum(hull, round_ends))
    middle = sum(x for x, _ in roof) / 4
    glass = [(middle + (x - middle) * 0.84, waist + (y - waist) * 0.80 - 0.001) for x, y in roof]
    patch.paint(
        polygon_distance(patch, glass), light.middle * 0.35 + illuminate(GLASS, 0.62, front, light, car.distance)
    )
    post = patch.slab_coverage(middle - 0.006, middle + 0.006, patch.x) * (patch.y < waist)
    patch.tint(post * (patch.y > car.foot - height), illuminate(car.color, 0.9, front, light, car.distance))
    wheel = height * 0.24
    for place in (-0.29, 0.29):
        center = (car.x + place * length, car.foot - wheel)
        paint_ellipse(canvas, center, (wheel, wheel), TIRE, SceneLabel.CAR)
        paint_ellipse(canvas, center, (wheel * 0.5, wheel * 0.5), illuminate(HUB, 1, front, light, car.distance))
    lamp = car.x + face * length * 0.46
    paint_ellipse(canvas, (lamp, waist + height * 0.12), (0.014, 0.011), LAMP if light.lamps > 0.2 else HUB * 1.3)
    tail = car.x - face * length * 0.47
    paint_ellipse(canvas, (tail, waist + height * 0.12), (0.009, 0.012), rgb((220, 30, 30)))


def _paint_car_end(canvas: Canvas, car: Car, light: Light) -> None:
    half, height = car.length / 2, car.height
    front = light.face("front")
    patch = canvas.patch(car.x - half, car.foot - height, car.x + half, car.foot)
    if patch is None:
        return
    for place in (-0.66, 0.66):
        middle, tire = car.x + half * place, half * 0.2
        paint_box(canvas, (middle - tire, car.foot - height * 0.22), (middle + tire, car.foot), TIRE, SceneLabel.CAR)
    top, waist = car.foot - height, car.foot - height * 0.52
    cabin = [
        (car.x - half * 0.92, waist + 0.01),
        (car.x - half * 0.68, top),
        (car.x + half * 0.68, top),
        (car.x + half * 0.92, waist + 0.01),
    ]
    _paint_body(patch, car, light, polygon_distance(patch, cabin))
    hull = np.minimum(
        box_distance(patch, car.x - half, waist, car.x + half, car.foot - height * 0.1),
        ellipse_distance(patch, car.x, car.foot - height * 0.34, half * 1.16, height * 0.52),
    )
    _paint_body(patch, car, light, hull)
    glass = [(car.x + (x - car.x) * 0.84, waist + (y - waist) * 0.82 - 0.004) for x, y in cabin]
    patch.paint(
        polygon_distance(patch, glass), light.middle * 0.35 + illuminate(GLASS, 0.62, front, light, car.distance)
    )
    lamp = (LAMP if light.lamps > 0.2 else rgb((250, 246, 226))) if car.ahead else rgb((214, 24, 24))
    for place in (-0.72, 0.72):
        paint_ellipse(canvas, (car.x + half * place, waist + height * 0.13), (half * 0.18, height * 0.075), lamp)
    plate = (car.x - half * 0.3, car.foot - height * 0.28), (car.x + half * 0.3, car.foot - height * 0.17)
    paint_box(canvas, *plate, HUB * 1.2 * front)


def paint_person(canvas: Canvas, person: Person, light: Light) -> None:
    """Paint a person: legs and shoes, arms, torso, skirt, head and hair."""
    tall, x, foot = person.height, person.x, person.foot
    cast_shadow(canvas, light, (x, foot), tall * 0.17, tall * 0.7)
    front = light.face("front")

    def part(corners: list[Point], color: Array, shade: float = 1.0) -> None:
        points = [(x + across * tall, foot - up * tall) for across, up in corners]
        paint_convex(canvas, points, illuminate(color, shade, front, light, person.distance), SceneLabel.PERSON)

    for side in (-1, 1):
        step, turn = side * (0.075 + 0.05 * person.stride), side * light.side
        leg = [(side * 0.085 - 0.075, HIP), (side * 0.085 + 0.075, HIP), (step + 0.07, 0.0), (step - 0.07, 0.0)]
        part(leg, person.skin if person.skirt else person.trousers, 0.95 + 0.1 * turn)
        part([(step - 0.075, 0.05), (step + 0.075, 0.05), (step + 0.075, 0.0), (step - 0.075, 0.0)], TIRE, 1.2)
    for side in (-1, 1):
        arm = [(0.12, NECK), (0.19, NECK - 0.01), (0.265, HIP - 0.02), (0.185, HIP - 0.02)]
        arm = arm if side > 0 else [(-across, up) for across, up in arm[::-1]]
        part(arm, person.shirt, 0.86 + 0.14 * side * light.side)
    low, flare = (0.24, 0.24) if person.skirt else (HIP - 0.03, 0.17)
    part([(-0.16, NECK), (0.16, NECK), (flare, low), (-flare, low)], person.shirt)
    if person.skirt:
        part([(-0.15, HIP + 0.06), (0.15, HIP + 0.06), (flare, low), (-flare, low)], person.trousers)
    hair, skin = (illuminate(color, 1.0, front, light, person.distance) for color in (person.hair, person.skin))
    paint_ellipse(canvas, (x, foot - 0.903 * tall), (0.118 * tall, 0.125 * tall), hair, SceneLabel.PERSON)
    paint_ellipse(canvas, (x + 0.01 * tall, foot - 0.863 * tall), (0.092 * tall, 0.092 * tall), skin, SceneLabel.PERSON)


def paint_fence(canvas: Canvas, fence: Fence, light: Light) -> None:
    """Paint a board fence with flat or pointed boards."""
    patch = canvas.patch(fence.left, fence.foot - fence.height, fence.right, fence.foot)
    if patch is None:
        return
    along = np.abs(np.mod((patch.x - fence.left) / fence.board, 1) - 0.5)
    top = fence.foot - fence.height + (fence.board * 0.8 * along if fence.pointed else 0.0)
    across = np.minimum(patch.x - fence.left, fence.right - patch.x)
    inside = np.minimum(across, np.minimum(fence.foot - patch.y, patch.y - top))
    gap = line_coverage(patch, (0.5 - along) * fence.board, 0.005)
    rail = np.clip(0.010 - np.abs(patch.y - fence.foot + fence.height * 0.55), 0, 0.006) * 30
    shade = 1.0 - 0.5 * gap + rail + 0.08 * patch.noise("boards")
    patch.paint(inside, illuminate(fence.color, shade, light.face("front"), light, fence.distance), SceneLabel.FENCE)


def paint_flowers(canvas: Canvas, flowers: Flowers, light: Light) -> None:
    """Paint a low bush covered with blossoms."""
    cast_shadow(canvas, light, (flowers.x, flowers.foot), flowers.half, flowers.height * 0.5)
    wide, high = flowers.half + 0.012, flowers.height + 0.012
    patch = canvas.patch(flowers.x - wide, flowers.foot - high, flowers.x + wide, flowers.foot + 0.006)
    if patch is None:
        return
    leaf = patch.noise("leaf", flowers.offset)
    bush = ellipse_distance(patch, flowers.x, flowers.foot, flowers.half, flowers.height) + 0.009 * leaf
    bush = np.minimum(bush, flowers.foot - patch.y + 0.004 * leaf)
    up, across = (flowers.foot - patch.y) / flowers.height, (patch.x - flowers.x) / flowers.half
    shade = np.clip(0.6 + 0.55 * up + 0.3 * across * light.side, 0.3, 1.2)
    dots = np.clip(patch.noise("blossoms", flowers.offset) * 2.4, 0, 1)
    color = flowers.leaf + (flowers.blossom - flowers.leaf) * (0.25 + 0.75 * dots)
    patch.paint(
        bush,
        illuminate(color, shade * (1 + 0.12 * leaf), light.face("top"), light, flowers.distance),
        SceneLabel.FLOWER,
    )
