"""The units that are planted as causes of a concept are found, and no others."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gandissect import (
    EffectCurves,
    UnitSet,
    dissect,
    find_causal_units,
    measure_effect_curves,
    measure_unit_effects,
    optimize_units,
    rank_units_by_iou,
)
from gandissect.causal.effect import Patches
from gandissect.causal.units import UnitRanking
from gandissect.core.sampling import derive_seed
from gandissect.core.types import LayerInfo
from generators import DCGAN, LayeredGenerator
from generators.architectures.planted import PLANTED, PlantedGenerator
from segmenters.palette import PaletteSegmenter

# With this many cells, two concepts rarely share one; where they do, ablating one causes the other.
CELLS, UNITS = 16, 64
PAINTED_BY = {0: (3, 17, 40), 1: (5, 60), 2: (11,), 3: (22, 23)}
"""Units of ``layer2`` that paint each planted concept, in equal parts of its color; all others are noise."""


class Spread(nn.Module):
    """From the 6 units of the planted generator to 64: copies where a concept is painted, noise elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("mixing", torch.rand(UNITS, 4, generator=generator))
        for concept, units in PAINTED_BY.items():
            for unit in units:
                self.mixing[unit] = torch.eye(4)[concept]

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("uk,bkhw->buhw", self.mixing, x[:, :4])


class ManyUnits(LayeredGenerator):
    """A planted generator with 64 units, 8 of which reach the output."""

    architecture = "many-units"

    def __init__(self) -> None:
        planted = PlantedGenerator(size=32, cells=CELLS)
        super().__init__(planted.z_dim, {})
        self.layer1, self.layer2, self.output = planted.layer1, Spread(), self._paint(planted)
        self.eval().requires_grad_(False)

    @staticmethod
    def _paint(planted: PlantedGenerator) -> nn.Module:
        paint = nn.Conv2d(UNITS, 3, 1)
        with torch.no_grad():
            paint.weight.zero_()
            paint.bias.copy_(planted.output.bias)
            for concept, units in PAINTED_BY.items():
                for unit in units:
                    paint.weight[:, unit] = planted.output.weight[:, concept] / len(units)
        return nn.Sequential(paint, nn.Upsample(scale_factor=2))


class SoftPalette(PaletteSegmenter):
    def logits(self, images: Tensor) -> Tensor:
        rgb = (images + 1) * 127.5
        colors = rgb.new_tensor([concept.color for concept in self.concepts])
        return -(rgb[:, None] - colors[:, :, None, None]).square().sum(2) / (2 * 60.0**2)


GENERATOR = ManyUnits()
SEGMENTER = SoftPalette(PlantedGenerator.concepts)


@pytest.mark.parametrize("concept", range(4))
def test_the_optimization_finds_exactly_the_planted_units_among_64(concept: int) -> None:
    found = find_causal_units(
        GENERATOR, SEGMENTER, "layer2", PLANTED[concept].name, 20, seed=1, num_samples=1_600, progress=False
    )
    assert sorted(found.units) == sorted(PAINTED_BY[concept])


def test_single_effects_are_those_of_one_ablation_after_the_other() -> None:
    found = measure_unit_effects(GENERATOR, SEGMENTER, "layer2", 20, seed=2, batch_size=8, progress=False)
    z = GENERATOR.sample_z(20, seed=2)
    base = SEGMENTER(GENERATOR(z))
    for unit in range(UNITS):
        r = GENERATOR.head(z, "layer2").clone()
        r[:, unit] = 0
        labels = SEGMENTER(GENERATOR.tail(r, "layer2", z))
        taken = torch.stack([((base == c).double() - (labels == c).double()).mean((1, 2)) for c in range(5)], 1)
        assert torch.allclose(found.mean[unit], taken.mean(0), atol=1e-12)
        assert torch.allclose(found.stderr[unit], taken.std(0) / 20**0.5, atol=1e-12)
    assert found.ranking("blue").top(1).units == PAINTED_BY[2]
    assert (
        found.mean[[unit for unit in range(UNITS) if not any(unit in each for each in PAINTED_BY.values())]].any() == 0
    )
    assert (
        find_causal_units(
            GENERATOR,
            PaletteSegmenter(PlantedGenerator.concepts),
            "layer2",
            "blue",
            1,
            2,
            num_samples=20,
            progress=False,
        ).units
        == PAINTED_BY[2]
    )


def test_the_optimization_goes_down_its_formula() -> None:
    """The first step of Adam follows the sign of the gradient, here a difference quotient in double precision."""
    torch.manual_seed(0)
    generator = DCGAN(size=16, width=4, z_dim=5).double().eval().requires_grad_(False)
    values, z = [1.0 + unit for unit in range(8)], generator.sample_z(8, seed=0)
    single = copy.deepcopy(generator).float()
    found = optimize_units(single, SEGMENTER, "layer1", "ground", 8, 0, weight=0.001, values=values, progress=False)
    r, on = single.head(z, "layer1").double(), torch.tensor(values).double()[:, None, None]
    places, _ = Patches.of(LayerInfo(8, 4, 4), None, derive_seed(0, "optimisation")).draw(range(8))
    enlarged = places.repeat_interleave(4, 1).repeat_interleave(4, 2) > 0

    def probability(activation: Tensor) -> Tensor:
        for child in list(generator.children())[1:]:
            activation = child(activation)
        return SEGMENTER.logits(activation).softmax(1)

    present = probability(r).argmax(1) == 0
    assert present.any()

    def loss(alpha: Tensor) -> float:
        off = probability(r * (1 - alpha))[:, 0][present].mean()
        mixed = r * (1 - alpha) + on * alpha
        mask = places.double()[:, None]
        return float(
            off - probability(mixed * mask + r * (1 - mask))[:, 0][enlarged].mean() + 0.001 * alpha.square().sum()
        )

    half = torch.full((8, 1, 1), 0.5, dtype=torch.float64)
    for unit in range(8):
        step = torch.zeros_like(half)
        step[unit] = 1e-5
        slope = (loss(half + step) - loss(half - step)) / 2e-5
        assert abs(slope) > 1e-6
        assert found.scores[unit] == pytest.approx(0.48 if slope > 0 else 0.52, abs=1e-3), unit


def test_curves_are_of_other_samples_than_the_rankings(tmp_path: Path) -> None:
    dissection = dissect(GENERATOR, SEGMENTER, ["layer2"], 64, 5, quantile=0.02, progress=False)
    rankings = {
        "IoU": rank_units_by_iou(dissection, "layer2", "red"),
        "single effects": measure_unit_effects(GENERATOR, SEGMENTER, "layer2", 50, seed=2, progress=False).ranking(
            "red"
        ),
        "optimization": optimize_units(GENERATOR, SEGMENTER, "layer2", "red", 800, seed=3, progress=False),
    }
    curves = measure_effect_curves(GENERATOR, SEGMENTER, rankings, (1, 3, 10, 100), 50, seed=9, progress=False)
    assert list(curves.taken) == ["IoU", "single effects", "optimization"]
    assert curves.counts == (1, 3, 10)
    z = GENERATOR.sample_z(50, seed=9)
    r = GENERATOR.head(z, "layer2")
    whole = (SEGMENTER(GENERATOR(z)) == 1).double().mean()
    assert curves.share == pytest.approx(float(whole))
    for name, ranking in rankings.items():
        for place, count in enumerate(curves.counts):
            off = r.clone()
            off[:, list(ranking.top(count).units)] = 0
            taken = whole - (SEGMENTER(GENERATOR.tail(off, "layer2", z)) == 1).double().mean()
            assert float(curves.taken[name].mean[place]) == pytest.approx(float(taken), abs=1e-12)
    assert float(curves.taken["optimization"].mean[1]) == pytest.approx(float(whole))  # all three units of red
    assert len(curves.control) == 3
    assert all(float(each.mean[0]) <= float(whole) for each in curves.control)
    records = curves.records()
    assert [(each["ranking"], each["num_units"]) for each in records[:4]] == [
        ("IoU", 1),
        ("IoU", 3),
        ("IoU", 10),
        ("single effects", 1),
    ]
    assert records[7]["taken"] == float(curves.taken["optimization"].mean[1])
    assert records[7]["control_max"] == max(float(each.mean[1]) for each in curves.control)
    assert EffectCurves.load(curves.save(tmp_path)).records() == records
    with pytest.raises(ValueError, match="seed must differ from the seeds of the rankings; got 3"):
        measure_effect_curves(GENERATOR, SEGMENTER, rankings, seed=3)
    for change, message in (
        ({"rankings": {}}, "one layer and one concept"),
        ({"counts": (65,)}, r"counts in \[1, 64\]; got 50, 3 and "),
        ({"counts": (0, 1)}, r"counts in \[1, 64\]"),
        ({"num_controls": 0}, "num_controls at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            measure_effect_curves(
                GENERATOR, SEGMENTER, **{"rankings": rankings, "num_samples": 50, "seed": 9, **change}
            )


def test_mistakes_are_named() -> None:
    hard = PaletteSegmenter(PlantedGenerator.concepts)
    find = {"generator": GENERATOR, "segmenter": SEGMENTER, "layer": "layer2", "concept": "red", "progress": False}
    for change, error, message in (
        ({"layer": "layer9"}, KeyError, "unknown layer"),
        ({"concept": "rod"}, KeyError, "did you mean 'red'"),
        ({"method": "optimizaton"}, KeyError, "did you mean 'optimization'"),
        ({"num_units": 0}, ValueError, "num_units must be at least 1; got 0"),
        ({"segmenter": hard, "method": "optimization"}, TypeError, "no logits"),
        ({"num_samples": 4}, ValueError, "num_samples must be at least 8"),
        ({"num_samples": 1, "method": "effect"}, ValueError, "num_samples must be at least 2"),
        ({"num_samples": 0, "method": "effect"}, ValueError, "num_samples must be at least 2"),
    ):
        with pytest.raises(error, match=message):
            find_causal_units(**{**find, **change})
    with pytest.raises(ValueError, match="one value per unit, 64; got 2"):
        optimize_units(GENERATOR, SEGMENTER, "layer2", "red", values=[1.0, 2.0])
    assert UnitRanking("l", "c", "effect", torch.tensor([1.0, 3.0, 3.0, 2.0]).double(), 2, 0).top(3) == UnitSet(
        "l", (1, 2, 3)
    )
