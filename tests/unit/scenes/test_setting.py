"""Moods, seasons and places of one's choice: what they change, what they leave, and places as classes."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import pytest
import torch

from gandissect.core.protocols import as_classed
from gandissect.core.sampling import derive_seed
from segmenters.datasets import LabeledPictures, Scenes, open_pictures, open_source, pick_classes
from segmenters.datasets.combining import Subset, UnlabeledSource, concat
from segmenters.scenes.layout import MOODS, NAMES, PLACES, SEASONS, Setting, lay_out
from segmenters.scenes.objects import SceneLabel
from segmenters.scenes.rendering import render

COUNT = 60


@cache
def _draw(seed: int, **names: str) -> LabeledPictures:
    """Return scenes; several tests compare with the same ones."""
    return Scenes(64, COUNT, seed, **names).batch(range(COUNT))


def test_scenes_without_names_are_those_of_before() -> None:
    pixels = hashlib.sha256()
    for seed in (0, 3):
        for index in range(COUNT):
            image, labels = render(seed, index, 64)
            pixels.update(image.tobytes())
            pixels.update(labels.tobytes())
    assert pixels.hexdigest() == "8a87bd19511f0bd37f0256dff8014f4e21a282ad0c8046da36a91ed35aa79c59"


@pytest.mark.parametrize(
    "names", [{"mood": "dusk"}, {"mood": "mist"}, {"season": "autumn"}, {"season": "winter", "mood": "overcast"}]
)
def test_another_mood_or_season_changes_colors_only(names: dict[str, str]) -> None:
    plain, changed = (_draw(5, **given) for given in ({}, names))
    assert torch.equal(plain.labels, changed.labels)
    assert (plain.images != changed.images).flatten(1).any(1).float().mean() > 0.5


def test_noon_and_dusk_are_pairs_and_dusk_is_darker() -> None:
    noon, dusk = (_draw(0, mood=mood) for mood in ("noon", "dusk"))
    assert torch.equal(noon.labels, dusk.labels)
    brightness = [batch.images.float().mean((1, 2, 3)) for batch in (noon, dusk)]
    assert (brightness[1] < brightness[0]).all()


def test_winter_whitens_the_ground_and_is_never_drawn() -> None:
    summer, winter = (
        Scenes(64, COUNT, season=season, mood="noon").batch(range(COUNT)) for season in ("summer", "winter")
    )
    assert torch.equal(summer.labels, winter.labels)
    lawn = summer.labels == SceneLabel.GRASS

    def grass(batch: LabeledPictures) -> torch.Tensor:
        return batch.images.float().permute(0, 2, 3, 1)[lawn].mean(0)  # red, green, blue

    assert grass(summer)[1] > 1.5 * grass(summer)[2]  # green
    assert grass(winter).max() < 1.15 * grass(winter).min()  # white or gray,
    assert grass(winter).mean() > 1.5 * grass(summer).mean()  # and lighter
    seasons = {lay_out(derive_seed(9, "scenes", index)).season for index in range(500)}
    assert seasons == {"summer", "spring", "autumn"}


@pytest.mark.parametrize("kind", ["mood", "season", "place"])
def test_the_drawn_name_changes_nothing(kind: str) -> None:
    for index in range(12):
        seed = derive_seed(0, "scenes", index)
        scene = lay_out(seed)
        drawn = {"mood": scene.light.mood, "season": scene.season, "place": scene.place}[kind]
        image, labels = render(0, index, 32)
        same_image, same_labels = render(0, index, 32, Setting(**{kind: drawn}))
        assert np.array_equal(image, same_image) and np.array_equal(labels, same_labels)


def test_every_name_is_that_of_the_scene() -> None:
    for mood in MOODS:
        assert lay_out(1, Setting(mood=mood)).light.mood == mood
    for season in SEASONS:
        assert lay_out(1, Setting(season=season)).season == season
    for place in PLACES:
        assert lay_out(1, Setting(place=place)).place == place
    several = lay_out(1, Setting("dusk", "autumn", "lake"))
    assert (several.light.mood, several.season, several.place) == ("dusk", "autumn", "lake")


def test_a_name_is_of_one_kind() -> None:
    names = [name for kind in NAMES.values() for name in kind]
    assert len(set(names)) == len(names) == 18


def test_the_classes_of_scenes_are_their_places() -> None:
    scenes = Scenes(32, 300, seed=4)
    assert scenes.classes == ("street", "lane", "country", "lake", "coast", "city", "wild")
    places = [lay_out(derive_seed(4, "scenes", index)).place for index in range(300)]
    assert [scenes.classes[index] for index in scenes.class_indices.tolist()] == places
    assert scenes.class_indices.dtype == torch.int64
    assert Scenes(16, 4, place="coast").class_indices.tolist() == [4] * 4
    assert torch.equal(Scenes(16, 300, seed=4, mood="mist", season="spring").class_indices, scenes.class_indices)


def test_places_are_as_frequent_as_their_probabilities() -> None:
    share = torch.bincount(Scenes(16, 3000).class_indices, minlength=7) / 3000
    expected = torch.tensor([probability for probability, _ in PLACES.values()])
    assert (share - expected).abs().max() < 4 * (0.25 * 0.75 / 3000) ** 0.5


def test_parts_of_scenes_keep_their_classes() -> None:
    scenes = Scenes(16, 50)
    assert torch.equal(UnlabeledSource(scenes).class_indices, scenes.class_indices)
    part = Subset(scenes, [3, 40, 7], "chosen")
    assert part.class_indices.tolist() == scenes.class_indices[[3, 40, 7]].tolist()
    both = concat([scenes, Scenes(16, 20, seed=1)])
    assert both.classes == scenes.classes and len(both.class_indices) == 70
    lanes = pick_classes(scenes, ["lane"])
    assert len(lanes) == int((scenes.class_indices == 1).sum())


def test_a_specification_names_a_mood_a_season_or_a_place() -> None:
    dusk = open_source("scenes:20@dusk", 32)
    assert (dusk.name, len(dusk)) == ("scenes@dusk", 20)
    assert repr(dusk) == "Scenes(32, num_images=20, seed=0, mood='dusk')"
    assert torch.equal(dusk.batch([3]).images, Scenes(32, 20, mood="dusk").batch([3]).images)
    assert repr(open_source("scenes@autumn", 32)) == "Scenes(32, num_images=50000, seed=0, season='autumn')"
    train, held_out = open_pictures(["scenes:20@winter@lake"], 32)
    assert held_out is not None
    for source in (train, held_out):
        assert source.name == "scenes@winter@lake"
        classed = as_classed(source)
        assert classed is not None and set(classed.class_indices.tolist()) == {3}


@pytest.mark.parametrize("spec", ["scenes:20@dusc", "scenes@dusc"])
def test_unknown_names_are_refused(spec: str) -> None:
    with pytest.raises(KeyError, match="unknown mood, season or place of scenes 'dusc'; did you mean 'dusk'"):
        open_source(spec, 32)


def test_two_names_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="scenes must have one mood; got noon and dusk: 'scenes@noon@lake@dusk'"):
        open_source("scenes@noon@lake@dusk", 32)


def test_scenes_of_an_unknown_name_are_refused() -> None:
    with pytest.raises(KeyError, match="unknown place of scenes 'dusk'; known: street"):
        Scenes(32, 4, place="dusk")
