"""Rendered scenes: pure functions of (seed, index), one scene at every size, and rules that the labels keep."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from segmenters.datasets import Scenes
from segmenters.scenes.canvas import Canvas, paint_convex, paint_ellipse
from segmenters.scenes.light import rgb
from segmenters.scenes.noise import texture
from segmenters.scenes.objects import CONCEPTS, SceneLabel
from segmenters.scenes.rendering import render

SIZE = 64
OCCLUDERS = {SceneLabel.TREE, SceneLabel.FENCE, SceneLabel.FLOWER, SceneLabel.CAR, SceneLabel.PERSON}
LYING = {SceneLabel.GRASS, SceneLabel.ROAD, SceneLabel.PAVEMENT, SceneLabel.WATER}
WALLS = {SceneLabel.BUILDING, SceneLabel.ROOF, SceneLabel.WINDOW, SceneLabel.DOOR}


@cache
def label_maps(count: int = 400, seed: int = 5) -> np.ndarray:
    return np.stack([render(seed, index, SIZE)[1] for index in range(count)])


def neighbors(maps: np.ndarray, concept: SceneLabel, direction: str) -> dict[SceneLabel, int]:
    """Count what borders on a concept's pixels above, below, left or right of them."""
    here, there = {
        "below": (maps[:, :-1], maps[:, 1:]),
        "above": (maps[:, 1:], maps[:, :-1]),
        "right": (maps[:, :, :-1], maps[:, :, 1:]),
        "left": (maps[:, :, 1:], maps[:, :, :-1]),
    }[direction]
    counts = np.bincount(there[(here == concept) & (there != concept)], minlength=len(SceneLabel))
    return {SceneLabel(k): int(n) for k, n in enumerate(counts) if n}


def components(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return the 4-connected parts of a mask as lists of (row, column), by flood fill."""
    left, parts = set(zip(*map(list, np.nonzero(mask)), strict=True)), []
    while left:
        todo, part = [left.pop()], []
        while todo:
            row, col = todo.pop()
            part.append((row, col))
            for near in ((row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)):
                if near in left:
                    left.remove(near)
                    todo.append(near)
        parts.append(part)
    return parts


def feet(maps: np.ndarray, concept: SceneLabel) -> list[SceneLabel]:
    """Return what lies under the lowest pixel of each part of a concept that ends above the picture's lower edge."""
    out = []
    for labels in maps:
        for part in components(labels == concept):
            row, col = max(part)
            if row + 1 < SIZE:
                out.append(SceneLabel(labels[row + 1, col]))
    return out


def test_a_picture_depends_on_seed_and_index_only() -> None:
    source = Scenes(SIZE, 50, seed=3)
    backwards = source.batch([49, 7, 0, 7])
    for row, index in enumerate([49, 7, 0, 7]):
        image, labels = render(3, index, SIZE)
        assert np.array_equal(backwards.images[row].permute(1, 2, 0).numpy(), image)
        assert np.array_equal(backwards.labels[row].numpy(), labels)
    alone = Scenes(SIZE, 8, seed=3).batch([7])
    assert torch.equal(alone.images[0], backwards.images[1])


def test_memory_limit_changes_nothing_but_memory() -> None:
    none, some, every = (Scenes(32, 12, resident_bytes=limit) for limit in (0, 5 * 4 * 32 * 32, 1 << 30))
    first = every.batch(range(12))
    for source in (none, some, every):
        assert torch.equal(source.batch(range(12)).images, first.images)
        assert torch.equal(source.batch(range(12)).labels, first.labels)


def test_seeds_and_indices_give_different_pictures() -> None:
    pictures = {render(seed, index, 32)[0].tobytes() for seed in (0, 1, -4) for index in range(40)}
    assert len(pictures) == 120


def test_a_batch_is_a_copy() -> None:
    source = Scenes(32, 4)
    kept = source.batch([0, 1])
    source.batch([0, 1]).images.zero_()
    assert torch.equal(source.batch([0, 1]).images, kept.images)


def test_training_view_mirrors_pictures_with_their_labels() -> None:
    source = Scenes(32, 40, seed=1)
    plain = source.batch(range(40))
    drawn = source.batch(range(40), torch.Generator().manual_seed(4))
    mirrored = [not torch.equal(a, b) for a, b in zip(plain.images, drawn.images, strict=True)]
    assert 8 <= sum(mirrored) <= 32
    for row, flipped in enumerate(mirrored):
        axes = [-1] if flipped else []
        assert torch.equal(drawn.images[row], plain.images[row].flip(axes))
        assert torch.equal(drawn.labels[row], plain.labels[row].flip(axes))
    again = source.batch(range(40), torch.Generator().manual_seed(4))
    assert torch.equal(again.images, drawn.images)


@pytest.mark.parametrize("large", [128, 256])
def test_the_same_scene_at_every_size(large: int) -> None:
    times = large // SIZE
    for index in range(12):
        small_image, small = render(8, index, SIZE)
        big_image, big = render(8, index, large)
        votes = np.stack([(big == k).reshape(SIZE, times, SIZE, times).sum((1, 3)) for k in range(len(SceneLabel))])
        assert (votes.argmax(0) == small).mean() > 0.93
        shrunk = big_image.reshape(SIZE, times, SIZE, times, 3).mean((1, 3))
        assert np.abs(shrunk - small_image).mean() < 6


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.integers(16, 90))
def test_every_picture_is_valid(seed: int, index: int, size: int) -> None:
    image, labels = render(seed, index, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert labels.shape == (size, size) and labels.dtype == np.uint8
    assert labels.max() < len(CONCEPTS)
    assert image.std() > 5


def test_batch_shapes_and_types() -> None:
    source = Scenes(48, 10)
    batch = source.batch([2, 9])
    assert batch.images.shape == (2, 3, 48, 48) and batch.images.dtype == torch.uint8
    assert batch.labels.shape == (2, 48, 48) and batch.labels.dtype == torch.int64
    assert (source.name, source.size, len(source)) == ("scenes", 48, 10)
    assert [concept.index for concept in source.concepts] == list(range(17))
    assert len({concept.color for concept in source.concepts}) == 17


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((15, 4), "16 to 1024"),
        ((2000, 4), "16 to 1024"),
        ((64, 0), "num_images must be at least 1"),
        ((64, 4, 0, -1), "resident_bytes must be at least 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[int, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Scenes(*arguments)


def test_bad_indices_are_refused() -> None:
    source = Scenes(16, 4)
    with pytest.raises(ValueError, match="0 to 3"):
        source.batch([4])
    with pytest.raises(ValueError, match="0 to 3"):
        source.batch([0, -1])
    with pytest.raises(ValueError, match="at least one"):
        source.batch([])
    with pytest.raises(TypeError):
        source.batch([1.5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="index must be at least 0"):
        render(0, -1, 16)


def test_concepts_are_common_enough_to_learn() -> None:
    maps = label_maps()
    present = {k: (maps == k).reshape(len(maps), -1).sum(1) >= 6 for k in SceneLabel}
    assert min(part.mean() for part in present.values()) >= 0.10
    for concept in (
        SceneLabel.SKY,
        SceneLabel.GRASS,
        SceneLabel.BUILDING,
        SceneLabel.TREE,
        SceneLabel.WINDOW,
        SceneLabel.DOOR,
        SceneLabel.CLOUD,
    ):
        assert present[concept].mean() >= 0.70, concept.name
    assert present[SceneLabel.ROAD].mean() >= 0.45


def test_concepts_are_large_enough_to_segment() -> None:
    """The middle one of what is visible of a thing, hidden parts left out, is no smaller than the least agreed on."""
    least = {
        SceneLabel.PERSON: 24,
        SceneLabel.DOOR: 24,
        SceneLabel.WINDOW: 9,
        SceneLabel.CAR: 45,
        SceneLabel.SUN: 20,
        SceneLabel.FLOWER: 25,
    }
    for concept, pixels in least.items():
        sizes = [len(part) for labels in label_maps()[:150] for part in components(labels == concept)]
        assert np.median(sizes) >= pixels, concept.name


def test_doors_stand_on_the_ground() -> None:
    allowed = {SceneLabel.GRASS, SceneLabel.PAVEMENT, SceneLabel.ROAD} | OCCLUDERS
    assert set(neighbors(label_maps(), SceneLabel.DOOR, "below")) <= allowed


def test_windows_lie_in_walls() -> None:
    for direction in ("above", "below", "left", "right"):
        around = neighbors(label_maps(), SceneLabel.WINDOW, direction)
        outside = sum(n for k, n in around.items() if k not in WALLS | OCCLUDERS)
        assert outside <= 0.01 * sum(around.values()), (direction, around)


def test_doors_and_roofs_belong_to_buildings() -> None:
    for labels in label_maps()[:200]:
        for concept in (SceneLabel.DOOR, SceneLabel.ROOF):
            for part in components(labels == concept):
                if len(part) < 6:
                    continue
                padded = np.pad(labels, 1, mode="edge")
                around = {
                    int(padded[row + down, col + right])
                    for row, col in part
                    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2))
                }
                assert around & ({SceneLabel.BUILDING, SceneLabel.WINDOW} | OCCLUDERS), (concept.name, around)


def test_clouds_and_sun_are_in_the_sky() -> None:
    for concept in (SceneLabel.CLOUD, SceneLabel.SUN):
        above = neighbors(label_maps(), concept, "above")
        assert not set(above) & (LYING | {SceneLabel.MOUNTAIN, SceneLabel.DOOR, SceneLabel.CAR, SceneLabel.FENCE}), (
            above
        )
        below = neighbors(label_maps(), concept, "below")
        assert not set(below) & {SceneLabel.ROAD, SceneLabel.PAVEMENT, SceneLabel.DOOR, SceneLabel.CAR}, below
        rows = np.nonzero(label_maps() == concept)[1]
        assert rows.max() < 0.66 * SIZE


def test_nothing_lying_is_above_a_mountain() -> None:
    assert not set(neighbors(label_maps(), SceneLabel.MOUNTAIN, "above")) & LYING


def test_water_lies_low() -> None:
    rows = np.nonzero(label_maps() == SceneLabel.WATER)[1]
    assert rows.min() >= 0.35 * SIZE
    assert not set(neighbors(label_maps(), SceneLabel.WATER, "below")) & {
        SceneLabel.SKY,
        SceneLabel.CLOUD,
        SceneLabel.SUN,
    }


def test_cars_stand_on_roads() -> None:
    under = neighbors(label_maps(), SceneLabel.CAR, "below")
    on_ground = {k: n for k, n in under.items() if k not in OCCLUDERS}
    assert on_ground[SceneLabel.ROAD] >= 0.95 * sum(on_ground.values()), under


def test_people_stand_beside_the_road() -> None:
    """Someone's feet have grass or pavement under or next to them, or are hidden; at a kerb the road begins below."""
    beside = total = 0
    for labels in label_maps():
        for part in components(labels == SceneLabel.PERSON):
            row = max(part)[0]
            cols = [col for at, col in part if at == row]
            spots = [(row, min(cols) - 1), (row, max(cols) + 1), (row + 1, min(cols)), (row + 1, max(cols))]
            under = {SceneLabel(labels[r, c]) for r, c in spots if r < SIZE and 0 <= c < SIZE}
            beside += bool(under & (OCCLUDERS | {SceneLabel.GRASS, SceneLabel.PAVEMENT}) or row + 1 == SIZE)
            total += 1
    assert total > 100
    assert beside >= 0.95 * total


def test_trees_are_rooted_in_grass() -> None:
    """A tree's lowest pixel stands on grass or is hidden by what stands in front of it."""
    under = feet(label_maps()[:200], SceneLabel.TREE)
    in_front = OCCLUDERS | WALLS
    good = sum(k is SceneLabel.GRASS or k in in_front for k in under)
    assert good >= 0.93 * len(under), {k.name: under.count(k) for k in set(under)}


def test_polygons_and_ellipses_cover_their_area() -> None:
    """Coverage sums to the area of the closed form, and labels are exact at pixel centers."""
    canvas = Canvas.blank(64)
    corners = [(0.2, 0.15), (0.8, 0.3), (0.7, 0.85), (0.25, 0.6)]
    paint_convex(canvas, corners, rgb((255, 255, 255)), concept=3)
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    area = 0.5 * sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)
    assert canvas.image[0].mean() == pytest.approx(area, rel=0.01)
    assert (canvas.labels == 3).mean() == pytest.approx(area, rel=0.02)
    canvas = Canvas.blank(64)
    paint_ellipse(canvas, (0.5, 0.45), (0.3, 0.2), rgb((255, 255, 255)), concept=4)
    centers = (np.arange(64) + 0.5) / 64
    exact = ((centers[None] - 0.5) / 0.3) ** 2 + ((centers[:, None] - 0.45) / 0.2) ** 2 < 1
    assert np.array_equal(canvas.labels == 4, exact)
    assert canvas.image[0].mean() == pytest.approx(np.pi * 0.3 * 0.2, rel=0.02)


@pytest.mark.parametrize("name", ["leaf", "blade", "brick", "shingles", "blossoms"])
def test_a_coarse_texture_is_the_mean_of_a_fine_one(name: str) -> None:
    fine = texture(name, 256)[:256, :256].reshape(64, 4, 64, 4).mean((1, 3))
    assert np.allclose(texture(name, 64)[:64, :64], fine, atol=1e-5)


def test_textures_repeat() -> None:
    tile = texture("leaf", 64)
    assert np.array_equal(tile[:64, :64], tile[64:, 64:])
    seam = np.abs(tile[63] - tile[64]).mean()
    inner = np.abs(np.diff(tile[:64], axis=0)).mean()
    assert seam < 2 * inner
