"""Curves over thresholds and the information quality ratio, against loops over pixels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from naive_dissection import _at, bilinear
from test_dissection_oracle import CONCEPTS, Drawn, Striped, Twofold

from gandissect import DissectSettings, dissect
from gandissect.dissection.curves import UnitCurves
from gandissect.dissection.dissect import make_plan, make_sampler
from gandissect.dissection.iou import information_quality_ratio
from gandissect.inference.upsampling import choose_step, sample_pixels, upsample


def _ratio(on: list[bool], there: list[bool]) -> float:
    """Mutual information by joint entropy, pixel by pixel."""

    def entropy(values: list[object]) -> float:
        return -sum(n / len(values) * math.log(n / len(values)) for n in Counter(values).values())

    joint = entropy(list(zip(on, there, strict=True)))
    return (entropy(list(on)) + entropy(list(there)) - joint) / joint if joint else 0.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_ratio_is_that_of_the_entropies(pixels: list[tuple[bool, bool]]) -> None:
    on, there = [pixel[0] for pixel in pixels], [pixel[1] for pixel in pixels]
    counts = [sum(map(all, pixels)), sum(on), sum(there), len(pixels)]
    found = information_quality_ratio(*(torch.tensor([count]) for count in counts))
    assert found.item() == pytest.approx(_ratio(on, there), abs=1e-12)


class Eighths(Drawn):
    """Its dead unit has a value that bilinear weights of powers of two keep exact."""

    def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        drawn = super().head(z, layer)
        drawn[:, 0] = 0.25
        return drawn


def _stretched(grid: np.ndarray, padding: str) -> np.ndarray:
    """A map at 8 x 8 pixels; with zero padding, it is a crop of a larger one."""
    if padding == "edge":
        return bilinear(grid, 8, 8)
    rows, columns = ([(i + 0.5) * length / 8 + 0.5 for i in range(8)] for length in grid.shape)
    ringed = np.pad(grid, 1)
    return np.array([[_at(ringed, y, x) for x in columns] for y in rows])


@pytest.mark.parametrize("padding", ["edge", "zeros"])
@pytest.mark.parametrize("segmenter", [Striped(), Twofold()])
def test_curves_equal_counts_pixel_by_pixel(segmenter: Striped, padding: str) -> None:
    generator, num_samples = Eighths({"a": (4, 4, 4), "b": (3, 1, 2)}, (8, 8), exact=True), 10
    assert choose_step((8, 8), 128) == 1  # every pixel is used
    wanted = {"quantile": 0.2, "curves": True, "padding": padding, "progress": False}
    found = dissect(generator, segmenter, num_samples=num_samples, **wanted)
    z = generator.sample_z(num_samples)
    labels = segmenter(generator(z)).reshape(num_samples, -1, 8, 8).numpy()
    exchanged = labels[[i ^ 1 for i in range(num_samples)]]
    half = np.array([i // 2 % 2 for i in range(num_samples)])  # five groups, one of each pair
    for layer in found:
        curves = layer.curves
        assert curves is not None
        maps = generator.head(z, layer.name).numpy()
        stretched = np.stack([[_stretched(each, padding) for each in sample] for sample in maps])
        falling = -np.sort(-stretched.transpose(1, 0, 2, 3).reshape(layer.info.units, -1))
        ranks = [int(0.5 * (1 - math.tanh((0.3 * k - 2.2) / 2)) * num_samples * 64) for k in range(33)]  # logistic
        assert curves.levels.tolist() == falling[:, ranks].tolist()
        on = stretched[:, :, None] > curves.levels.numpy()[None, :, :, None, None]
        assert curves.num_pixels.tolist() == [64 * (half == 0).sum(), 64 * (half == 1).sum()]
        share = on.mean((0, 3, 4))
        assert np.allclose(curves.share, share, rtol=1e-12)
        for concept in range(len(CONCEPTS)):
            there, instead = ((each == concept).any(1) for each in (labels, exchanged))
            for part in (0, 1):
                rows = half == part
                assert int(curves.concept_area[part, concept]) == there[rows].sum()
                assert int(curves.exchanged_area[part, concept]) == instead[rows].sum()
                wanted = (on[rows] & there[rows, None, None]).sum((0, 3, 4))
                assert curves.intersection[part, concept].tolist() == wanted.tolist()
                wanted = (on[rows] & instead[rows, None, None]).sum((0, 3, 4))
                assert curves.exchanged[part, concept].tolist() == wanted.tolist()
            union = (on | there[:, None, None]).sum((0, 3, 4))
            overlap = (on & there[:, None, None]).sum((0, 3, 4))
            assert np.allclose(curves.iou[concept], overlap / np.maximum(union, 1), rtol=1e-12)


def test_the_levels_span_the_unit_from_common_to_rare() -> None:
    generator = Drawn({"a": (6, 8, 8)}, (16, 16), exact=False)
    layer = dissect(generator, Striped(), num_samples=200, curves=True, progress=False)["a"]
    assert layer.curves is not None
    share = layer.curves.share[2:]  # without the dead unit and the one that is often 0
    assert (share[:, :-1] >= share[:, 1:]).all()
    assert (share[:, 0] > 0.8).all()
    assert (share[:, -1] < 0.005).all()


@pytest.mark.parametrize("batch", [1, 18, 32])
def test_few_pixels_are_those_of_the_whole_map_and_favor_no_place(batch: int) -> None:
    activation = torch.randn(batch, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    size, seen = (12, 17), torch.zeros(12 * 17, dtype=torch.int64)
    whole = upsample(activation, size, padding="zeros").transpose(0, 1).flatten(1)
    for first in range(0, 288, batch):  # twice 16 x 3 x 3
        values, place = sample_pixels(activation, first, size, step=3, padding="zeros")
        assert torch.equal(values, whole[:, place])
        assert len(set(place.tolist())) == len(place)
        seen += torch.bincount(place % (12 * 17), minlength=12 * 17)
    assert 28 <= seen.min() <= seen.max() <= 36  # of 288 samples a ninth, 32


def _curves(intersection: torch.Tensor, unit_area: torch.Tensor) -> UnitCurves:
    """One concept at 30 of 100 pixels of each half; one unit, three levels."""
    return UnitCurves(
        levels=torch.tensor([[0.0, 1.0, 2.0]]),
        intersection=intersection[:, None, None],
        exchanged=intersection[:, None, None] // 2,
        unit_area=unit_area[:, None],
        concept_area=torch.tensor([[30], [30]]),
        exchanged_area=torch.tensor([[30], [20]]),
        num_pixels=torch.tensor([100, 100]),
    )


def test_the_level_is_chosen_on_one_half_and_scored_on_the_other() -> None:
    curves = _curves(torch.tensor([[30, 30, 5], [30, 12, 5]]), torch.tensor([[60, 30, 10], [60, 40, 10]]))
    (match,) = curves.matches("a", ("sky",))
    assert (match.concept, match.threshold, match.share) == ("sky", 1.0, 0.4)
    assert curves.iqr[0, 0, 0, 1] == pytest.approx(1)
    assert match.iou == 12 / (40 + 30 - 12)
    assert match.null_iou == 6 / (40 + 20 - 6)
    assert match.iqr == pytest.approx(0.0, abs=1e-12)  # on the other half, the unit is independent of the sky


def test_the_concept_is_chosen_on_the_same_half_as_the_level() -> None:
    """In the first half the unit matches the sky, in the second the sea."""
    curves = UnitCurves(
        levels=torch.tensor([[0.0]]),
        intersection=torch.tensor([[10, 1], [2, 10]]).reshape(2, 2, 1, 1),
        exchanged=torch.tensor([[3, 4], [5, 6]]).reshape(2, 2, 1, 1),
        unit_area=torch.full((2, 1, 1), 10),
        concept_area=torch.full((2, 2), 10),
        exchanged_area=torch.full((2, 2), 10),
        num_pixels=torch.tensor([100, 100]),
    )
    (match,) = curves.matches("a", ("sky", "sea"))
    assert (match.concept, match.iou, match.null_iou) == ("sky", 2 / 18, 5 / 15)
    assert match.iqr == pytest.approx(
        _ratio([True] * 10 + [False] * 90, [True] * 2 + [False] * 8 + [True] * 8 + [False] * 82)
    )


def test_a_unit_that_avoids_a_concept_does_not_match_it() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.int64)
    (match,) = _curves(nothing, torch.tensor([[70, 50, 10], [70, 50, 10]])).matches("a", ("sky",))
    assert match.concept is None


def test_one_sample_has_no_other_half() -> None:
    empty = torch.tensor([[30, 30, 5], [0, 0, 0]])
    curves = replace(
        _curves(empty, torch.tensor([[60, 30, 10], [0, 0, 0]])),
        concept_area=torch.tensor([[30], [0]]),
        exchanged_area=torch.tensor([[30], [0]]),
        num_pixels=torch.tensor([100, 0]),
    )
    assert curves.matches("a", ("sky",))[0].concept is None


def test_counts_are_as_wide_as_they_must_be() -> None:
    generator = Drawn({"a": (2, 4, 4)}, (8, 8), exact=True)
    settings = DissectSettings(num_samples=10, batch_size=2, top_images=0)
    source = make_sampler(generator, Twofold(), None, settings, progress=False)
    most = (2**31 - 1) // (2 * 64 * 64)  # maximum samples of a group with two channels of 64 x 64 pixels
    for num_samples, count_type in ((32 * (most - 4), torch.int32), (32 * (most + 4), torch.int64)):
        plan = make_plan(source, Twofold(), replace(settings, num_samples=num_samples))
        plan = replace(plan, label_size=(64, 64))
        assert plan.count_type == count_type


IMPOSSIBLE = {
    "fewer than none": {"intersection": [-1, 30, 5]},
    "fewer exchanged than none": {"exchanged": [-1, 15, 2]},
    "more than the unit": {"intersection": [30, 30, 11]},
    "more exchanged than the unit": {"exchanged": [15, 15, 11]},
    "more than the concept": {"intersection": [31, 30, 5]},
    "more exchanged than the concept": {"exchanged": [31, 15, 2]},
    "a union of more than all pixels": {"intersection": [9, 30, 5], "num_pixels": [80, 100]},  # 60 + 30 - 9
    "an exchanged union of more": {"exchanged": [9, 15, 2], "num_pixels": [80, 100]},
}


@pytest.mark.parametrize("wrong", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_curves_that_contradict_themselves_are_refused(wrong: dict[str, list[int]]) -> None:
    good = _curves(torch.tensor([[30, 30, 5], [30, 12, 5]]), torch.tensor([[60, 30, 10], [60, 40, 10]]))
    changed = {name: getattr(good, name).clone() for name in wrong}
    for name, values in wrong.items():
        changed[name][() if name == "num_pixels" else (0, 0, 0)] = torch.tensor(values)
    with pytest.raises(ValueError, match="curves contradict each other"):
        replace(good, **changed)


@pytest.mark.parametrize("levels", [[0.0, 2.0, 1.0], [0.0, 1.0, math.inf], [-math.inf, 0.0, 1.0], []])
def test_levels_that_are_none_or_do_not_rise_are_refused(levels: list[float]) -> None:
    counts = torch.zeros(2, len(levels), dtype=torch.int64)
    good = _curves(torch.tensor([[30, 30, 5], [30, 12, 5]]), torch.tensor([[60, 30, 10], [60, 40, 10]]))
    tables = dict.fromkeys(("intersection", "exchanged"), counts[:, None, None])
    with pytest.raises(ValueError, match="levels of curves must be finite and ascending"):
        replace(good, levels=torch.tensor([levels]), unit_area=counts[:, None], **tables)


@pytest.mark.wrong_shape
def test_curves_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="levels of curves must be"):
        _curves(torch.tensor([[30, 30, 5], [30, 12, 5]]), torch.zeros(2, 2))


def test_a_layer_dissected_without_curves_says_so() -> None:
    generator = Drawn({"a": (2, 4, 4)}, (8, 8), exact=True)
    layer = dissect(generator, Striped(), num_samples=4, progress=False)["a"]
    with pytest.raises(ValueError, match="'a' was dissected without curves; dissect it again with curves=True"):
        _ = layer.quality_matches
