"""Artifacts that are planted are found, chosen, and repaired; where there are none, nothing is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gandissect import UnitSet, choose_num_units, generate, measure_repair, rank_artifact_units, repair
from gandissect.artifacts.rank import rank_correlation
from gandissect.artifacts.ranking import ArtifactRanking
from gandissect.artifacts.results import FIGURES, Repair, RepairCurve
from gandissect.core.sampling import derive_seed, make_rng
from gandissect.fidelity.neighbors import realism
from gandissect.fidelity.yardstick import Yardstick
from gandissect.interventions.edits import Ablation
from generators import PlantedGenerator
from segmenters.palette import PaletteSegmenter

GENERATOR = PlantedGenerator(size=16, cells=8)
RED, BLUE, COPY, DEAD = 0, 2, 4, 5
"""Units: red's, blue's, the one that is always as red's and that nothing reads, and the one that is never on."""
NO_BLUE = [Ablation(UnitSet("layer1", (BLUE,)))]


def _views(images: Tensor) -> Tensor:
    """The colors of a picture through four filters, blue seen best."""
    filters = 1 + 0.5 * torch.randn(4, 16, 16, generator=make_rng(0, "filters"))
    return torch.einsum("bchw,khw,c->bkc", images, filters, torch.tensor([0.1, 0.1, 0.3])).flatten(1)


def _pictures(seed: int, count: int, edits: list[Ablation]) -> Tensor:
    return ((generate(GENERATOR, GENERATOR.sample_z(count, seed), edits) + 1) * 127.5).round().to(torch.uint8)


def _yardstick(edits: list[Ablation]) -> Yardstick:
    return Yardstick("views", _views, _pictures(1, 300, edits), _pictures(2, 80, edits), num_dims=None)


WITHOUT_BLUE, WITH_BLUE = _yardstick(NO_BLUE), _yardstick([])
"""Real pictures in which nothing is blue, so that blue is an artifact, and in which it is none."""


def _ranking(yardstick: Yardstick = WITHOUT_BLUE, **options) -> ArtifactRanking:
    settings = {"num_samples": 300, "top_share": 0.2, "progress": False} | options
    return rank_artifact_units(GENERATOR, "layer1", yardstick, **settings)


def _naive_distance(x: np.ndarray, y: np.ndarray) -> float:
    sx, sy = np.cov(x.T), np.cov(y.T)
    trace = np.trace(sx) + np.trace(sy) - 2 * np.sqrt(np.linalg.eigvals(sx @ sy).astype(complex)).sum().real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + trace)


@pytest.mark.parametrize("method", ["distance", "realism", "effect"])
def test_the_planted_artifact_is_found(method: str) -> None:
    found = _ranking(method=method, num_effect=64)
    first, *_, last = found.top(6).units
    assert first == BLUE
    assert last == DEAD and not found.varies[DEAD]
    assert found.excess[BLUE] > 3 * found.random.std
    assert found.realism[BLUE] < -0.3


def test_association_cannot_tell_a_cause_from_what_goes_with_it() -> None:
    found = _ranking(method="effect", num_effect=64)
    assert found.excess[RED] == found.excess[COPY] and found.realism[RED] == found.realism[COPY]
    assert found.effect[COPY] == 0 == found.effect_stderr[COPY], "nothing reads it"
    assert float(found.effect[BLUE]) > 2.5 * float(found.effect_stderr[BLUE]) > 0 > float(found.effect[RED])


def test_a_ranking_is_what_its_formula_says() -> None:
    found = _ranking(method="effect", num_effect=64)
    z = GENERATOR.sample_z(300, found.sample_seed)
    peaks = GENERATOR.head(z, "layer1").amax(dim=(2, 3)).numpy()
    features, real = WITHOUT_BLUE.extract_features(GENERATOR(z)).numpy(), WITHOUT_BLUE.train.numpy()
    for unit in range(5):
        top = sorted(range(300), key=lambda index: (-peaks[index, unit], index))[:60]
        assert float(found.distance[unit]) == pytest.approx(_naive_distance(features[top], real), rel=1e-4)
        assert found.top_samples[unit].tolist() == top[:16]
    scores = realism(WITHOUT_BLUE.train, torch.from_numpy(features))
    assert found.realism[:5].tolist() == pytest.approx([_spearman(peaks[:, unit], scores.numpy()) for unit in range(5)])
    assert found.distance[DEAD] == found.random.mean and found.realism[DEAD] == 0
    assert found.random.mean == pytest.approx(_naive_distance(features, real), abs=4 * found.random.std)
    assert found.floor.mean < 0.5 * found.random.mean
    assert (found.num_top, found.num_real, found.num_dims) == (60, 300, 12)


def test_effects_are_what_single_ablations_take_off_the_distance() -> None:
    found = _ranking(method="effect", num_effect=64)
    z, real = GENERATOR.sample_z(64, derive_seed(0, "artifact effects")), WITHOUT_BLUE.train.numpy()
    images = [generate(GENERATOR, z, [Ablation(UnitSet("layer1", (unit,)))]) for unit in range(4)]
    plain, *without = (WITHOUT_BLUE.extract_features(each).numpy() for each in (GENERATOR(z), *images))

    def gain(unit: int, kept: list[int]) -> float:
        return _naive_distance(plain[kept], real) - _naive_distance(without[unit][kept], real)

    for unit in range(4):
        assert float(found.effect[unit]) == pytest.approx(gain(unit, list(range(64))), rel=1e-3, abs=1e-4)
        others = [gain(unit, [index for index in range(64) if index % 8 != group]) for group in range(8)]
        stderr = math.sqrt(7 / 8 * sum((each - sum(others) / 8) ** 2 for each in others))
        assert float(found.effect_stderr[unit]) == pytest.approx(stderr, rel=1e-2, abs=1e-4)


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of ranks, each the number of smaller values and half of the equal ones."""
    ranks = [[sum(v < u for v in values) + sum(v == u for v in values) / 2 for u in values] for values in (x, y)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_ranks_are_correlated_with_ties_and_infinities() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, 40).astype(float)
    values[values == 5] = np.inf
    table = np.stack([rng.normal(size=40), rng.integers(0, 3, 40), values, -values, np.zeros(40)], axis=1)
    found = rank_correlation(torch.from_numpy(table), torch.from_numpy(values))
    assert found[:4].tolist() == pytest.approx([_spearman(table[:, column], values) for column in range(4)])
    assert found[2:].tolist() == pytest.approx([1, -1, 0])


class _Blind(Yardstick):
    """A yardstick whose held-out pictures must not be looked at."""

    def __init__(self, yardstick: Yardstick) -> None:
        self.network, self.train = yardstick.network, yardstick.train
        self.extract_features = yardstick.extract_features


def test_held_out_pictures_are_not_looked_at_before_the_end() -> None:
    blind = _Blind(WITHOUT_BLUE)
    assert torch.equal(_ranking(blind).distance, _ranking().distance)
    units = UnitSet("layer1", (BLUE, 1))
    curves = [
        choose_num_units(GENERATOR, units, each, num_images=40, num_sets=2, progress=False)
        for each in (blind, WITHOUT_BLUE)
    ]
    assert torch.equal(curves[0].distance, curves[1].distance)
    with pytest.raises(AttributeError, match="held_out"):
        measure_repair(GENERATOR, units, blind, progress=False)


def test_no_two_steps_look_at_the_same_images() -> None:
    seeds = set()
    for seed in range(3):
        units = UnitSet("layer1", (BLUE,))
        curve = choose_num_units(GENERATOR, units, WITHOUT_BLUE, seed=seed, num_images=20, num_sets=2, progress=False)
        report = measure_repair(GENERATOR, units, WITHOUT_BLUE, seed=seed, num_sets=2, progress=False)
        seeds |= {_ranking(seed=seed).sample_seed, curve.sample_seed, report.sample_seed, seed}
    assert len(seeds) == 12


def test_the_number_of_units_that_helps_is_chosen() -> None:
    units = UnitSet("layer1", (BLUE, 0, 1, 3))
    curve = choose_num_units(GENERATOR, units, WITHOUT_BLUE, range(5), num_images=80, progress=False)
    assert curve.counts == (0, 1, 2, 3, 4)
    assert curve.units == UnitSet("layer1", (BLUE,)), "without red and green it is worse again"
    assert curve.change(1).high < 0 < curve.change(4).mean - curve.change(1).mean
    assert float(curve.distance[1].mean()) == pytest.approx(curve.floor.mean, abs=4 * curve.floor.std)
    z = GENERATOR.sample_z(80, curve.sample_seed, 80)
    for index, each in enumerate(([], [Ablation(units.top(1))], [Ablation(units.top(2))])):
        features = WITHOUT_BLUE.extract_features(generate(GENERATOR, z, each)).numpy()
        wanted = _naive_distance(features, WITHOUT_BLUE.train.numpy())
        assert float(curve.distance[index, 1]) == pytest.approx(wanted, rel=1e-4)
    assert "1 unit of layer1 chosen" in str(curve)
    assert torch.equal(curve.control[:, 0], curve.distance[:1].expand(3, -1))


def test_no_unit_is_chosen_where_none_helps() -> None:
    curve = choose_num_units(GENERATOR, _ranking(WITH_BLUE).top(6), WITH_BLUE, range(7), num_images=80, progress=False)
    assert curve.num_units == 0 and curve.units == UnitSet("layer1", ())
    assert str(curve).startswith("no number of units up to 6 reliably lowers the distance")


def _curve(distance: list[list[float]], control: float = 20.0) -> RepairCurve:
    table = torch.tensor(distance, dtype=torch.float64)
    found = choose_num_units(
        GENERATOR, UnitSet("layer1", (0, 1, 2)), WITH_BLUE, range(4), num_images=20, progress=False
    )
    return replace(found, distance=table, control=torch.full((3, *table.shape), control, dtype=torch.float64))


def test_the_least_number_within_a_standard_error_of_the_best_is_chosen() -> None:
    ten = [10.0, 10.0, 10.0, 10.0]
    spread = [1.0, 1.4, 0.6, 1.0]  # standard error 0.16
    best = [10 - 5 + each for each in spread]
    assert _curve([ten, [each + 0.2 for each in best], [each + 0.1 for each in best], best]).num_units == 2
    assert _curve([ten, [each + 0.2 for each in best], [each + 0.3 for each in best], best]).num_units == 3
    assert _curve([ten, best, best, best]).num_units == 1
    unsure = [[2.0, 18.0, 5.0, 11.0]] * 3
    assert _curve([ten, *unsure]).num_units == 0, "its interval reaches above 0"
    assert _curve([ten, best, best, best], control=5.9).num_units == 0, "random units do as well"


def test_a_repair_is_measured_on_images_and_pictures_of_its_own() -> None:
    units = UnitSet("layer1", (BLUE,))
    before = GENERATOR.fingerprint
    found = measure_repair(GENERATOR, units, WITHOUT_BLUE, seed=4, num_sets=3, num_controls=2, progress=False)
    assert found.helps and "helps: distance" in str(found)
    assert found.num_images == len(WITHOUT_BLUE.held_out) == 80
    for index in range(3):
        z = GENERATOR.sample_z(80, found.sample_seed, 80 * index)
        for table, every, maker in (
            (found.before, found.realism_before, GENERATOR),
            (found.after, found.realism_after, repair(GENERATOR, units)),
        ):
            features = WITHOUT_BLUE.extract_features(maker(z))
            scores, each = WITHOUT_BLUE.compare(features), realism(WITHOUT_BLUE.held_out, features)
            for column, name in enumerate(FIGURES[:6]):
                assert float(table[index, column]) == pytest.approx(getattr(scores, name), rel=1e-6), name
            assert float(table[index, -1]) == sorted(each.tolist())[3]
            assert torch.equal(every[80 * index : 80 * (index + 1)], each)
    change = [float(after[0] - first[0]) for after, first in zip(found.after, found.before, strict=True)]
    t = 0.95 / math.sqrt(2 * 0.975 * 0.025)  # Student's, of 2 degrees of freedom, in closed form
    mean, reach = np.mean(change), t * np.std(change, ddof=1) / math.sqrt(3)
    assert (found.change("distance").mean, found.change("distance").high) == pytest.approx((mean, mean + reach))
    after, real = found.after[:, 0], found.real[:, 0]
    assert abs(float(after.mean() - real.mean())) < 4 * float(after.std() + real.std())
    assert found.change("coverage").mean > 0
    assert found.control.shape == (2, 3, len(FIGURES)) and min(found.control_changes("distance")) > mean
    assert GENERATOR.fingerprint == before
    assert found.records()[0]["change"] == found.change("distance").mean


def test_what_becomes_of_concepts_is_measured_on_the_same_images() -> None:
    units, palette = UnitSet("layer1", (BLUE,)), PaletteSegmenter(PlantedGenerator.concepts)
    found = measure_repair(
        GENERATOR, units, WITHOUT_BLUE, num_sets=2, num_controls=2, segmenter=palette, progress=False
    ).concepts
    assert found is not None and found.num_images == 160
    z = GENERATOR.sample_z(160, derive_seed(0, "repair"))
    shares = {
        name: torch.stack([(labels == concept.index).double().mean() for concept in palette.concepts])
        for name, labels in (
            ("before", palette(GENERATOR(z))),
            ("after", palette(generate(GENERATOR, z, [Ablation(units)]))),
        )
    }
    assert torch.allclose(found.before.mean, shares["before"], atol=1e-12, rtol=0)
    assert torch.allclose(found.change.mean, shares["after"] - shares["before"], atol=1e-12, rtol=0)
    blue = next(record for record in found.records() if record["concept"] == "blue")
    assert blue["change"] == pytest.approx(-blue["before"]) and blue["before"] > 0.005
    assert blue["change_low"] < blue["change"] < blue["change_high"] < 0
    assert blue["control_change_min"] == 0, "no other unit takes blue away"
    assert len(found.control) == 2


def test_a_repair_that_does_not_help_is_not_said_to() -> None:
    harmful = measure_repair(GENERATOR, UnitSet("layer1", (1,)), WITH_BLUE, num_sets=5, progress=False)
    assert harmful.verdict == "harms" and "moves the images away from real pictures: distance" in str(harmful)
    idle = measure_repair(GENERATOR, UnitSet("layer1", (COPY,)), WITH_BLUE, num_sets=5, progress=False)
    assert idle.verdict == "inconclusive" and "makes no difference that 5 sets of images can show" in str(idle)


def _repair_with(changes: list[float], control: float = 0.0) -> Repair:
    """A repair that changes the distance by these amounts, one for each set, and random units by ``control``."""
    before = torch.full((len(changes), len(FIGURES)), 10.0, dtype=torch.float64)
    tables = {
        "after": before + torch.tensor(changes, dtype=torch.float64)[:, None],
        "control": (before + control)[None],
    }
    realism = dict.fromkeys(("realism_before", "realism_after"), torch.ones(len(changes) * 80, dtype=torch.float64))
    return replace(_measured(), before=before, real=before, **tables, **realism)


def test_the_verdict_follows_the_interval() -> None:
    t = {2: math.tan(0.475 * math.pi), 5: 2.7764451}  # Student's, of 1 degree of freedom in closed form, of 4 by table
    for num_sets, shape in ((2, [1.0, -1.0]), (5, [2.0, -1.0, -1.0, 1.0, -1.0])):
        reach = t[num_sets] * float(np.std(shape, ddof=1)) / math.sqrt(num_sets)
        for mean, verdict in (
            (-1.01 * reach, "helps"),
            (-0.99 * reach, "inconclusive"),
            (0.99 * reach, "inconclusive"),
            (1.01 * reach, "harms"),
        ):
            measured = _repair_with([mean + value for value in shape])
            assert measured.verdict == verdict and measured.helps == (verdict == "helps")
            few = str(measured).startswith("2 sets of images are too few to tell whether")
            assert few == (num_sets == 2 and verdict == "inconclusive")
        assert _repair_with([value - 1.01 * reach for value in shape], control=-2 * reach).verdict == "as_random"


def test_results_are_saved_and_loaded(tmp_path) -> None:
    units = UnitSet("layer1", (BLUE, 1))
    for found in (
        _ranking(),
        _ranking(method="effect", num_effect=16),
        choose_num_units(GENERATOR, units, WITHOUT_BLUE, num_images=20, num_sets=2, force_to="mean", progress=False),
        measure_repair(GENERATOR, units, WITHOUT_BLUE, num_sets=2, progress=False),
    ):
        path = found.save(tmp_path, overwrite=True)
        again = type(found).load(tmp_path)
        for name in found.__slots__:
            one, other = getattr(found, name), getattr(again, name)
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, name
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ValueError, match=path.name):
            type(found).load(tmp_path)


def test_the_same_seed_gives_the_same_answer() -> None:
    one, two, other = _ranking(), _ranking(), _ranking(seed=1)
    assert torch.equal(one.distance, two.distance) and not torch.equal(one.distance, other.distance)
    report = [
        measure_repair(GENERATOR, UnitSet("layer1", (0,)), WITH_BLUE, 3, num_sets=2, progress=False) for _ in "ab"
    ]
    assert torch.equal(report[0].control, report[1].control)


def test_mistakes_are_named() -> None:
    one, none, wrong = UnitSet("layer1", (0,)), UnitSet("layer1", ()), UnitSet("layer1", (9,))
    quiet = {"progress": False}
    for make, error, message in (
        (lambda: _ranking(method="realsm"), KeyError, "did you mean 'realism'"),
        (lambda: rank_artifact_units(GENERATOR, "layer9", WITH_BLUE), KeyError, "did you mean"),
        (lambda: _ranking(top_share=1.0), ValueError, r"top_share must be in \(0, 1\); got 1.0"),
        (
            lambda: _ranking(num_samples=50),
            ValueError,
            "need 24 top images; got 10, the top 0.2 of 50; use at least 120",
        ),
        (lambda: _ranking(method="effect", num_effect=15), ValueError, "at least 16; got 15"),
        (lambda: replace(_ranking(), method="effect"), ValueError, "a ranking by effect must have both"),
        (lambda: choose_num_units(GENERATOR, wrong, WITH_BLUE, (1,)), ValueError, "got 9"),
        (lambda: choose_num_units(GENERATOR, one, WITH_BLUE, (-1, 1)), ValueError, "at least 0"),
        (lambda: choose_num_units(GENERATOR, one, WITH_BLUE, num_sets=1), ValueError, "2 sets"),
        (lambda: measure_repair(GENERATOR, none, WITH_BLUE), ValueError, "at least one unit; got none"),
        (lambda: measure_repair(GENERATOR, wrong, WITH_BLUE), ValueError, "got 9"),
        (lambda: measure_repair(GENERATOR, one, WITH_BLUE, force_to="men", **quiet), KeyError, "did you mean 'mean'"),
        (lambda: measure_repair(GENERATOR, one, WITH_BLUE, num_controls=0), ValueError, "1 control"),
        (lambda: _measured().change("distanc"), KeyError, "did you mean 'distance'"),
    ):
        with pytest.raises(error, match=message):
            make()


def _measured() -> Repair:
    return measure_repair(GENERATOR, UnitSet("layer1", (0,)), WITH_BLUE, num_sets=2, progress=False)
