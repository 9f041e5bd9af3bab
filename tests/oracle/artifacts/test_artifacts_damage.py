"""A bundled generator that is damaged on purpose is found out and repaired: minutes, most of them for the effects."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

import generators
import segmenters
from gandissect import UnitSet, choose_num_units, measure_repair, rank_artifact_units, repair
from gandissect.core.sampling import make_rng
from gandissect.fidelity.yardstick import Yardstick
from gandissect.stats.intervals import Change
from generators import LayeredGenerator
from segmenters.datasets import open_source

LAYER, NEXT, NUM_DAMAGED, NOISE = "layer1", "layer2", 8, 24.0


def _least_used(generator: LayeredGenerator, count: int) -> list[int]:
    """The units that add least to the next layer, so that the generator without them is as good as with them."""
    activation = generator.head(generator.sample_z(200, seed=5), LAYER)
    weight = getattr(generator, NEXT)[0].weight
    return (activation.mean(dim=(0, 2, 3)) * weight.abs().sum(dim=(1, 2, 3))).argsort()[:count].tolist()


def _damaged(generator: LayeredGenerator, units: list[int]) -> LayeredGenerator:
    """The generator with noise in the place of what these units give to the next layer."""
    copy = deepcopy(generator)
    weight = getattr(copy, NEXT)[0].weight
    noise = torch.randn(weight[units].shape, generator=make_rng(0, "damage"))
    weight[units] = NOISE * weight.std() * noise
    return copy


def _distances(generator: LayeredGenerator, measure: Yardstick, seed: int) -> Tensor:
    """Distances of 5 sets of images from held-out pictures."""
    count = len(measure.held_out)
    sets = [generator(generator.sample_z(count, seed, index * count)) for index in range(5)]
    distances = [measure.compare(measure.extract_features(each)).distance for each in sets]
    return torch.tensor(distances, dtype=torch.float64)


@pytest.mark.slow
def test_damaged_units_are_on_top_and_without_them_the_generator_is_as_before() -> None:
    generator = generators.load("dcgan-scenes64", device="cpu")
    segmenter = segmenters.load("unet-scenes", device="cpu")
    measure = Yardstick.of(segmenter, open_source("scenes:400", 64), open_source("scenes:256", 64, held_out=True))
    planted = _least_used(generator, NUM_DAMAGED)
    damaged = _damaged(generator, planted)
    settings = {"num_samples": 640, "top_share": 0.2, "num_effect": 16, "progress": False}
    ranking = rank_artifact_units(damaged, LAYER, measure, method="effect", **settings)
    places = sorted(ranking.top(384).units.index(unit) for unit in planted)
    assert places == list(range(NUM_DAMAGED))
    counts = (NUM_DAMAGED // 2, NUM_DAMAGED, 2 * NUM_DAMAGED)
    small = {"num_controls": 1, "progress": False}
    curve = choose_num_units(damaged, ranking.top(16), measure, counts, num_images=128, num_sets=3, **small)
    assert curve.units == ranking.top(NUM_DAMAGED)
    found = measure_repair(damaged, ranking.top(NUM_DAMAGED), measure, num_sets=5, **small)
    assert found.helps
    whole = _distances(generator, measure, seed=1)
    mended = _distances(repair(damaged, UnitSet(LAYER, tuple(planted))), measure, seed=1)
    broken = _distances(damaged, measure, seed=1)
    interval = Change.of(whole)
    assert interval.low < float(mended.mean()) < interval.high < float(broken.min())
