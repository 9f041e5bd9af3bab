"""Each setting of a training is checked by itself: what is wrong is named with what is allowed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest

from generators.training import RECIPES, GANSettings
from generators.training.settings import USED_BY

LIMITS = {  # least and greatest value, and the nearest that are out of range
    "width": (1, 8192, 0, 8193),
    "max_width": (64, 8192, 0, 8193),
    "z_dim": (1, 65536, 0, 65537),
    "mapping_depth": (1, 64, 0, 65),
    "batch_size": (1, 10**9, 0, 0.5),
    "images": (1, 10**15, 0, -1),
    "learning_rate": (1e-12, 1, 0, math.nextafter(1, 2)),
    "beta1": (0, 0.999, -1e-9, 1),
    "beta2": (0, 0.9999, -1e-9, 1),
    "r1_gamma": (0, 1e9, -1e-9, math.inf),
    "r1_every": (1, 10**6, 0, 1.5),
    "mixing": (0, 1, -1e-9, 1.001),
    "hold_images": (0, 10**9, -1, 0.5),
    "fade_images": (0, 10**9, -1, 0.5),
    "clip_gradient": (0, 1e9, -1e-9, math.inf),
    "ema_half_life": (1e-9, 1e12, 0, math.inf),
    "decay_from": (0, 1, -1e-9, 1.001),
    "clip_weights": (1e-9, 10, 0, math.inf),
    "penalty_weight": (0, 1e9, -1e-9, math.inf),
    "drift_weight": (0, 1e9, -1e-9, math.inf),
    "own_layers": (0, 2, -1, 0.5),
    "embedding_dim": (1, 65536, 0, 1.5),
    "orthogonal_weight": (0, 1e9, -1e-9, math.inf),
    "minibatch_kernels": (0, 1024, -1, 0.5),
    "label_smoothing": (0, 0.5, -1e-9, 0.51),
    "historical_averaging": (0, 1e9, -1e-9, math.inf),
    "discriminator_turns": (1, 10**6, 0, 1.5),
    "seed": (-(10**20), 10**20, 1.5, "7"),
}


def _refusal(name: str, value: object, start: GANSettings) -> str:
    with pytest.raises(ValueError) as refusal:
        replace(start, **{name: value})
    return str(refusal.value)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_out_of_range_is_named_alone(name: str) -> None:
    least, greatest, *wrong = LIMITS[name]
    start = replace(RECIPES[USED_BY.get(name, ("dcgan",))[0]], width=1)
    for value in (least, greatest):
        replace(start, **{name: value})
    for value in (*wrong, math.nan, None, True, "1"):
        message = _refusal(name, value, start)
        assert message.startswith(f"{name} (--{name.replace('_', '-')}) must be a")
        assert message.endswith(f"; got {value!r}")
        assert sum(other in message for other in LIMITS if other not in name) == 0, "no other setting is printed"


def test_every_number_has_a_test() -> None:
    numbers = {field.name for field in dataclasses.fields(GANSettings) if type(field.default) in (int, float)}
    assert numbers - {"resolution"} == LIMITS.keys()


@pytest.mark.parametrize(
    ("recipe", "name", "value", "words"),
    [
        ("dcgan", "resolution", 48, "one of 16, 32, 64, 128, 256 for dcgan"),
        ("dcgan", "resolution", 64.0, "an integer"),
        ("progan", "resolution", 2048, "one of 8, 16, 32, 64, 128, 256, 512, 1024 for progan"),
        ("progan", "start_resolution", 12, "a power of two from 8 to 64"),
        ("progan", "start_resolution", 8.0, "a power of two from 8 to 64"),
        ("progan", "start_resolution", 128, "a power of two from 8 to 64"),
        ("progan", "hold_images", 0, "an integer of at least 1"),
        ("progan", "width", 129, "at most max_width"),
        ("progan", "images", 36_000, "more than 36000"),
        ("dcgan", "resident", "no", "True or False"),
        ("dcgan", "bf16", 1, "True or False"),
        ("dcgan", "augmentation", "color", "a tuple of color, translation, cutout"),
    ],
)
def test_other_settings_are_named_with_what_is_allowed(recipe: str, name: str, value: object, words: str) -> None:
    message = _refusal(name, value, RECIPES[recipe])
    assert message.startswith(f"{name} (--{name.replace('_', '-')}) must be {words}")
