"""One law for every statistic: however the data are cut, ordered and merged, the result is the same bit for bit."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

import gandissect
from gandissect.dissection.counting.binned_counts import BinnedCounts, LabelCounts, LevelCounts
from gandissect.dissection.counting.top_images import TopSamples
from gandissect.stats.quantiles import guess_brackets
from gandissect.stats.streaming import AreaMoments, Statistic, TensorState

UNITS, SAMPLES = 3, 12


@dataclass
class Case:
    """A statistic and how to feed it samples ``start .. stop - 1``."""

    make: Callable[[], Statistic]
    feed: Callable[[Any, int, int], None]


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(11)


ACTIVATION = torch.randint(-3, 4, (SAMPLES, UNITS, 2, 2), generator=_rng()).float() / 2  # many ties
LABELS = torch.randint(-1, 4, (SAMPLES, 2, 2), generator=_rng())


def _pixels(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit, value and label of every pixel of some samples."""
    value = ACTIVATION[start:stop]
    unit = torch.arange(UNITS)[None, :, None, None].expand_as(value)
    label = LABELS[start:stop, None].expand_as(value)
    return unit.flatten(), value.flatten(), label.flatten()


def _feed_labels(counts: LabelCounts, start: int, stop: int) -> None:
    counts.update(torch.arange(start, stop) // 4, torch.stack([LABELS[start:stop], 2 - LABELS[start:stop]], 1))


def _feed_binned(counts: BinnedCounts, start: int, stop: int) -> None:
    unit, value, label = _pixels(start, stop)
    sample = torch.arange(start, stop)[:, None, None, None].expand(-1, UNITS, 2, 2).flatten()
    above = value > counts.level[unit]
    if stop > start:
        counts.update_extent(ACTIVATION[start:stop].amin((2, 3)), ACTIVATION[start:stop].amax((2, 3)))
    for channel in (label, 2 - label):
        counts.update(*(each[above] for each in (sample // 4, unit, value, channel, 2 - channel)))


def _feed_areas(moments: AreaMoments, start: int, stop: int) -> None:
    labels = LABELS[start:stop].flatten(1)
    moments.update(torch.stack([(labels == concept).sum(1) for concept in range(4)], 1))


def _feed_top(top: TopSamples, start: int, stop: int) -> None:
    top.update(range(start, stop), ACTIVATION[start:stop], ACTIVATION[start:stop].amax((2, 3)))


FALLING = ACTIVATION.transpose(0, 1).flatten(1).sort(dim=1, descending=True).values
BRACKETS = guess_brackets(FALLING, torch.full((UNITS,), 30), torch.full((UNITS,), 3))


def _feed_levels(counts: LevelCounts, start: int, stop: int) -> None:
    values = ACTIVATION[start:stop].transpose(0, 1).flatten(1)
    labels = LABELS[start:stop].flatten()
    half = torch.arange(start, stop).repeat_interleave(4) % 2
    counts.update(half, values, torch.stack([labels, 2 - labels]), torch.stack([2 - labels, labels]))


LEVELS = FALLING[:, [30, 20, 20, 3]].contiguous()
CASES = {
    "AreaMoments": Case(lambda: AreaMoments(4, 4), _feed_areas),
    "LabelCounts": Case(lambda: LabelCounts(3, 4, 2), _feed_labels),
    "BinnedCounts": Case(lambda: BinnedCounts(BRACKETS, 8, 3, 4, 2, torch.int32), _feed_binned),
    "LevelCounts": Case(lambda: LevelCounts(LEVELS, 4, 2), _feed_levels),
    "TopSamples": Case(lambda: TopSamples(UNITS, (2, 2), 4), _feed_top),
}
every_statistic = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def _fed(case: Case, start: int, stop: int) -> Statistic:
    statistic = case.make()
    case.feed(statistic, start, stop)
    return statistic


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    return torch.equal(one, two)


def _agree(one: Statistic, two: Statistic) -> bool:
    return _same(one.compute(), two.compute()) and _same(one.state(), two.state())


def test_every_statistic_has_a_case() -> None:
    for module in pkgutil.walk_packages(gandissect.__path__, "gandissect."):
        importlib.import_module(module.name)
    assert {kind.__name__ for kind in TensorState.__subclasses__()} == set(CASES)


@every_statistic
@given(cuts=st.lists(st.integers(0, SAMPLES), max_size=5), order=st.randoms(use_true_random=False))
def test_any_split_gives_the_same(case: Case, cuts: list[int], order: Any) -> None:
    whole = _fed(case, 0, SAMPLES)
    edges = [0, *sorted(cuts), SAMPLES]
    parts = [_fed(case, start, stop) for start, stop in pairwise(edges)]
    order.shuffle(parts)
    merged = case.make()
    while parts:  # merge in pairs, in any order, as machines would
        part = parts.pop()
        if parts and order.random() < 0.5:
            parts[0].merge(part)
        else:
            merged.merge(part)
    assert _agree(merged, whole)


@every_statistic
@given(cut=st.integers(0, SAMPLES))
def test_kept_and_taken_up_again_gives_the_same(case: Case, cut: int) -> None:
    resumed = case.make()
    resumed.load_state(_fed(case, 0, cut).state())
    case.feed(resumed, cut, SAMPLES)
    assert _agree(resumed, _fed(case, 0, SAMPLES))


@every_statistic
def test_the_data_make_a_difference(case: Case) -> None:
    assert not _agree(_fed(case, 0, SAMPLES), _fed(case, 0, SAMPLES // 2))


@every_statistic
def test_a_state_is_a_copy(case: Case) -> None:
    statistic = _fed(case, 0, SAMPLES)
    for tensor in statistic.state().values():
        tensor.zero_()
    assert _agree(statistic, _fed(case, 0, SAMPLES))
