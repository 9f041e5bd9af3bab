"""Attributes of scenes: true of the label map, of things painted alone, and of planted scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segmenters.datasets import Scenes
from segmenters.scenes import Attributes
from segmenters.scenes.attributes import describe_scene
from segmenters.scenes.objects import Car, House, Scene, SceneLabel, SceneObject, Tree
from segmenters.scenes.rendering import lay_out_picture, paint_owners, paint_scene

COUNT = 80
LEAST = 8.192  # 0.2% of 64 x 64 pixels
WALLS = (SceneLabel.BUILDING, SceneLabel.ROOF, SceneLabel.WINDOW, SceneLabel.DOOR)


def _mask_alone(scene: Scene, thing: SceneObject) -> np.ndarray:
    """Return where a thing changes the label map of an empty meadow."""
    empty = replace(scene, sun=None, clouds=(), backdrop=(), ways=(), standing=())
    before, after = (paint_scene(replace(empty, standing=things), 64).labels for things in ((), (thing,)))
    return before != after


def _count_visible(scene: Scene) -> list[int]:
    """Return the number of pixels that each thing keeps after those in front of it are painted."""
    masks = [_mask_alone(scene, thing) for thing in scene.standing]
    return [int((mask & ~np.logical_or.reduce([mask & False, *masks[k + 1 :]])).sum()) for k, mask in enumerate(masks)]


def test_things_are_counted_by_the_pixels_that_others_leave() -> None:
    checked = 0
    for index in range(COUNT):
        scene = lay_out_picture(6, index)
        counts = _count_visible(scene)
        near = [count for count in counts if abs(count - LEAST) <= 4]  # beds of turf move a few pixels
        if near:
            continue
        shown = [thing for thing, count in zip(scene.standing, counts, strict=True) if count >= LEAST]
        attributes = describe_scene(scene)
        buildings = [thing for thing in shown if isinstance(thing, House) and thing.roof != "spire"]
        assert attributes.num_buildings == min(len(buildings), 2)
        assert set(attributes.trees) == {thing.kind for thing in shown if isinstance(thing, Tree)}
        assert {attributes.car_color} - {None} == {thing.color_name for thing in shown if isinstance(thing, Car)}
        checked += 1
    assert checked > COUNT / 2


def test_concepts_are_present_from_a_share_of_the_label_map_on() -> None:
    scenes = Scenes(64, COUNT, seed=6)
    batch = scenes.batch(range(COUNT))
    assert batch.labels is not None
    for index, labels in enumerate(batch.labels):
        attributes = scenes.attributes(index)
        present = tuple(c.name for c in scenes.concepts if int((labels == c.index).sum()) >= LEAST)
        assert attributes.present == present
        assert ("car" in present) == (attributes.car_color is not None)
        if attributes.num_buildings == 0:
            assert not any((labels == wall).sum() > 3 * LEAST for wall in WALLS)


def test_owners_repaint_the_label_map() -> None:
    for index in range(20):
        scene = lay_out_picture(6, index)
        labels, owners = paint_owners(scene, 64)
        assert np.array_equal(labels, paint_scene(scene, 64).labels)
        for number, thing in enumerate(scene.standing):
            seen = set(labels[owners == number].tolist())
            if isinstance(thing, House):
                assert seen <= set(WALLS)
            if isinstance(thing, Car):
                assert seen <= {SceneLabel.CAR}


def test_names_are_those_of_the_scene_at_every_size_and_light() -> None:
    plain, large = Scenes(32, 20, seed=2), Scenes(128, 20, seed=2)
    winter = Scenes(32, 20, seed=2, season="winter", hour=0.95)
    for index in range(20):
        scene, attributes = lay_out_picture(2, index), plain.attributes(index)
        assert (attributes.mood, attributes.season, attributes.place) == (scene.light.mood, scene.season, scene.place)
        assert attributes == large.attributes(index) and attributes.hour is None
        expected = replace(attributes, mood="dusk", season="winter", hour=0.95)
        assert winter.attributes(index) == expected


def _standing(kind: type) -> tuple[Scene, SceneObject]:
    for index in range(300):
        scene = lay_out_picture(1, index)
        for number, thing in enumerate(scene.standing):
            if isinstance(thing, kind) and (paint_owners(scene, 64)[1] == number).sum() > 100:
                return scene, thing
    raise AssertionError(kind)


def test_what_is_taken_away_or_hidden_is_not_an_attribute() -> None:
    scene, car = _standing(Car)
    assert isinstance(car, Car)
    assert describe_scene(scene).car_color == car.color_name
    assert describe_scene(replace(scene, standing=())).car_color is None
    _, house = _standing(House)
    assert isinstance(house, House)
    wall = replace(
        house, left=-1.0, right=2.0, foot=1.5, eaves=-1.0, ridge=-1.1, visible_side=0, roof="flat", door=None
    )
    hidden = describe_scene(replace(scene, standing=(car, wall)))
    assert (hidden.car_color, hidden.num_buildings, hidden.roof) == (None, 1, None)


@pytest.mark.parametrize("index", range(5))
def test_a_record_is_flat_and_complete(index: int) -> None:
    attributes = Scenes(32, 5, seed=8).attributes(index)
    record = attributes.record()
    assert len(record) == 7 + 17 + 3
    assert all(isinstance(value, str | float | int | None) for value in record.values())
    shown = {name.removeprefix("has_") for name, value in record.items() if name.startswith("has_") and value}
    assert shown == {*attributes.present, *attributes.trees}
    for name in ("mood", "season", "place", "hour", "num_buildings", "roof", "car_color"):
        assert record[name] == getattr(attributes, name)
    assert isinstance(attributes, Attributes)


def test_attributes_of_pictures_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="indices must be 0 to 4; got 5"):
        Scenes(32, 5).attributes(5)
