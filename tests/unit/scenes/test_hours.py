"""Hours of the day: light that changes continuously and in order over scenes that stay the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from gandissect.core.sampling import derive_seed
from segmenters.datasets import Scenes, open_pictures, open_source
from segmenters.scenes.layout import Setting, lay_out
from segmenters.scenes.light import MOODS
from segmenters.scenes.rendering import render

COUNT = 40
ORDER = ("morning", "noon", "golden", "sunset", "dusk")


@pytest.mark.parametrize(("place", "mood"), list(enumerate(ORDER)))
def test_the_moods_of_the_day_are_hours(place: int, mood: str) -> None:
    for index in range(8):
        image, labels = render(3, index, 64, Setting(hour=place / 4))
        same_image, same_labels = render(3, index, 64, Setting(mood=mood))
        assert np.array_equal(image, same_image) and np.array_equal(labels, same_labels)


def test_halfway_between_two_moods_the_light_is_their_mean() -> None:
    for place in range(4):
        halfway = lay_out(1, Setting(hour=(place + 0.5) / 4)).light
        earlier, later = (lay_out(1, Setting(mood=ORDER[place + step])).light for step in (0, 1))
        for name in ("key", "ambient", "haze", "shadow", "lamps", "height"):
            mean = (np.asarray(getattr(earlier, name)) + np.asarray(getattr(later, name))) / 2
            assert np.allclose(getattr(halfway, name), mean, atol=1e-6)
        assert halfway.side == earlier.side


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_an_hour_changes_colors_only_and_little_in_a_short_time(index: int, hour: float, other: float) -> None:
    _, plain_labels = render(0, index, 32)
    image, labels = render(0, index, 32, Setting(hour=hour))
    other_image, other_labels = render(0, index, 32, Setting(hour=other))
    assert np.array_equal(labels, plain_labels) and np.array_equal(other_labels, plain_labels)
    change = np.abs(image.astype(float) - other_image).mean()
    # A color changes by at most 210 of 255 between two moods, so by 4 * 210 in a day; 2 for rounding and headlights.
    assert change <= 4 * 210 * abs(hour - other) + 2


def test_from_noon_to_dusk_it_gets_darker_and_lamps_are_lit() -> None:
    hours = np.linspace(0.25, 1, 7)
    brightness = torch.stack(
        [Scenes(32, COUNT, hour=hour).batch(range(COUNT)).images.double().mean((1, 2, 3)) for hour in hours.tolist()]
    )
    falls = brightness[1:] < brightness[:-1]
    assert falls.double().mean() > 0.9
    assert (brightness[-1] < brightness[0]).all() and brightness[-1].mean() < 0.75 * brightness[0].mean()
    lamps = [lay_out(5, Setting(hour=hour)).light.lamps for hour in hours.tolist()]
    assert lamps == sorted(lamps) and lamps[0] == 0 and lamps[-1] > 0.5


def test_drawn_hours_are_uniform_and_change_nothing_else() -> None:
    scenes = Scenes(16, 2000, seed=4, hour="drawn")
    hours = np.sort(scenes.hours.numpy())
    assert np.abs(hours - (np.arange(2000) + 0.5) / 2000).max() < 1.63 / 2000**0.5  # Kolmogorov-Smirnov, 1%
    picture = scenes.batch([7]).images
    assert torch.equal(picture, Scenes(16, 8, seed=4, hour=float(scenes.hours[7])).batch([7]).images)
    drawn, plain = (lay_out(derive_seed(4, "scenes", 7), setting) for setting in (Setting(hour="drawn"), Setting()))
    assert drawn.hour == scenes.hours[7] and plain.hour is None
    assert (drawn.place, drawn.season, drawn.sun) == (plain.place, plain.season, plain.sun)


def test_the_five_groups_of_hours_are_classes() -> None:
    scenes = Scenes(16, 500, hour="drawn")
    assert scenes.classes == ORDER
    for index, hour in zip(scenes.class_indices.tolist(), scenes.hours.tolist(), strict=True):
        assert index / 5 <= hour <= (index + 1) / 5
    assert {lay_out(1, Setting(hour=hour)).light.mood for hour in (0.41, 0.5, 0.59)} == {"golden"}
    assert Scenes(16, 4, hour=0.5).classes == Scenes(16, 4).classes
    with pytest.raises(ValueError, match=r"the scenes must have hours \(hour=\"drawn\", or scenes@hours\); got scenes"):
        _ = Scenes(16, 4).hours


def test_a_specification_states_an_hour_or_draws_hours() -> None:
    assert repr(open_source("scenes:9@0.5@winter", 16)) == "Scenes(16, num_images=9, seed=0, season='winter', hour=0.5)"
    train, held_out = open_pictures(["scenes:9@hours"], 16)
    assert held_out is not None
    assert train.name == held_out.name == "scenes@hours"
    assert torch.equal(held_out.batch([3]).images, Scenes(16, 9, seed=2, hour="drawn").batch([3]).images)
    assert {mood for mood in MOODS if mood in ORDER} == set(ORDER)


def test_hours_beyond_the_day_and_beside_a_mood_are_refused() -> None:
    for spec in ("scenes@1.5", "scenes@nan", "scenes@-0.1"):
        with pytest.raises(ValueError, match=r"hour must be .*; got"):
            open_source(spec, 16)
    with pytest.raises(ValueError, match=r"scenes must have a mood or an hour, not both; got dusk and 0.2"):
        open_source("scenes@dusk@0.2", 16)
    with pytest.raises(ValueError, match=r"scenes must have one hour; got 0.1 and 0.2"):
        open_source("scenes@0.1@0.2", 16)
