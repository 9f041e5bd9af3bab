"""The single call for effects of concepts against the public calls that it combines."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from gandissect import (
    CausalEffect,
    EffectCurves,
    UnitSet,
    average_causal_effect,
    dissect,
    find_causal_units,
    measure_concept_effects,
    measure_effect_curves,
    measure_unit_effects,
    optimize_units,
    rank_units_by_iou,
    select_units_by_ablation,
)
from generators.architectures.planted import PlantedGenerator
from segmenters.palette import PaletteSegmenter


class SoftPalette(PaletteSegmenter):
    """A differentiable palette segmenter."""

    def logits(self, images: Tensor) -> Tensor:
        rgb = (images + 1) * 127.5
        colors = rgb.new_tensor([concept.color for concept in self.concepts])
        return -(rgb[:, None] - colors[:, :, None, None]).square().sum(2) / (2 * 60.0**2)


GENERATOR = PlantedGenerator(size=16, cells=8)
SEGMENTER = PaletteSegmenter(PlantedGenerator.concepts)
SOFT_SEGMENTER = SoftPalette(PlantedGenerator.concepts)
SEED, CHOICE_SEED, NUM_SAMPLES = 3, 1_000_006, 20


FIRST = UnitSet("layer1", (0,))


def _check_effects(effects: Sequence[CausalEffect], units: dict[str, UnitSet]) -> None:
    """Check that effects are those of these units, bit for bit."""
    assert [effect.concept for effect in effects] == list(units)
    for effect, concept in zip(effects, units, strict=True):
        wanted = average_causal_effect(GENERATOR, SEGMENTER, units[concept], concept, NUM_SAMPLES, SEED, progress=False)
        assert effect.effect.units == wanted.effect.units
        assert effect.records() == wanted.records()
        assert torch.equal(effect.by_place.mean.nan_to_num(), wanted.by_place.mean.nan_to_num())


def _check_curves(curves: EffectCurves, wanted: EffectCurves) -> None:
    assert (curves.layer, curves.concept, curves.share, curves.counts) == (
        wanted.layer,
        wanted.concept,
        wanted.share,
        wanted.counts,
    )
    assert list(curves.taken) == list(wanted.taken)
    for name, table in wanted.taken.items():
        assert torch.equal(curves.taken[name].mean, table.mean)
        assert torch.equal(curves.taken[name].stderr, table.stderr)


def test_units_are_those_of_highest_iou_in_the_layer_of_most_effect() -> None:
    result = measure_concept_effects(
        GENERATOR, SEGMENTER, ("red", "blue", "red"), num_units=1, num_samples=NUM_SAMPLES, seed=SEED, progress=False
    )
    dissection = dissect(GENERATOR, SEGMENTER, None, 500, CHOICE_SEED, top_images=0, progress=False)
    units = {
        concept: select_units_by_ablation(
            GENERATOR, SEGMENTER, dissection, concept, 1, seed=CHOICE_SEED, progress=False
        )
        for concept in ("red", "blue")
    }
    _check_effects(result.effects, units)
    assert result.curves == ()
    assert str(result) == "\n".join(map(str, result.effects))


def test_units_of_a_named_layer_come_from_the_dissection_that_is_given() -> None:
    dissection = dissect(GENERATOR, SEGMENTER, "layer2", 300, 9, progress=False)
    result = measure_concept_effects(
        GENERATOR,
        SEGMENTER,
        "green",
        layer="layer2",
        num_units=2,
        dissection=dissection,
        num_samples=NUM_SAMPLES,
        seed=SEED,
        progress=False,
    )
    _check_effects(result.effects, {"green": dissection["layer2"].units_for("green", 0.0, 2)})


def test_units_can_be_given_or_found_by_gradient_descent() -> None:
    by_hand = measure_concept_effects(
        GENERATOR,
        SEGMENTER,
        ["red"],
        layer="layer1",
        units=UnitSet("layer1", (1, 4)),
        num_samples=NUM_SAMPLES,
        seed=SEED,
        progress=False,
    )
    _check_effects(by_hand.effects, {"red": UnitSet("layer1", (1, 4))})
    optimized = measure_concept_effects(
        GENERATOR,
        SOFT_SEGMENTER,
        ["red"],
        layer="layer2",
        optimize=True,
        num_samples=NUM_SAMPLES,
        seed=SEED,
        progress=False,
    )
    units = find_causal_units(
        GENERATOR, SOFT_SEGMENTER, "layer2", "red", 20, CHOICE_SEED, method="optimization", progress=False
    )
    assert units.units
    _check_effects(optimized.effects, {"red": units})


@pytest.mark.parametrize("segmenter", [SEGMENTER, SOFT_SEGMENTER], ids=["hard", "soft"])
def test_curves_rank_units_on_other_samples_than_they_are_measured_on(segmenter: PaletteSegmenter) -> None:
    result = measure_concept_effects(
        GENERATOR,
        segmenter,
        "red",
        units=UnitSet("layer2", (0,)),
        num_samples=NUM_SAMPLES,
        seed=SEED,
        curves=True,
        progress=False,
    )
    dissection = dissect(GENERATOR, segmenter, "layer2", 500, CHOICE_SEED, top_images=0, progress=False)
    single = measure_unit_effects(GENERATOR, segmenter, "layer2", seed=CHOICE_SEED, progress=False)
    rankings = {
        "by IoU": rank_units_by_iou(dissection, "layer2", "red"),
        "by effect alone": single.ranking("red"),
    }
    if segmenter is SOFT_SEGMENTER:
        rankings["by optimization"] = optimize_units(
            GENERATOR, SOFT_SEGMENTER, "layer2", "red", seed=CHOICE_SEED, progress=False
        )
    (curves,) = result.curves
    _check_curves(curves, measure_effect_curves(GENERATOR, segmenter, rankings, seed=SEED, progress=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"units": FIRST, "layer": "layer2"},
            "layer must be that of the units, 'layer1'; got 'layer2'; omit layer",
        ),
        ({"optimize": True}, "name the layer"),
        ({"units": FIRST, "optimize": True}, "omit one of them"),
        ({"units": FIRST, "with_dissection": 9}, "omit one or the other"),
        ({"with_dissection": 3}, "used seed 3 too; measure"),
        ({"num_samples": 1}, "num_samples must be at least 2 and num_units at least 1; got 1 and 20"),
        ({"num_units": 0}, "got 1000 and 0"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    seed = options.pop("with_dissection", None)
    dissection = None if seed is None else dissect(GENERATOR, SEGMENTER, "layer1", 4, seed, progress=False)
    with pytest.raises(ValueError, match=message):
        measure_concept_effects(
            GENERATOR, SEGMENTER, "red", seed=SEED, dissection=dissection, progress=False, **options
        )


def test_a_dissection_of_another_generator_is_refused() -> None:
    other = PlantedGenerator(size=8, cells=8)
    dissection = dissect(other, SEGMENTER, "layer1", 4, 9, progress=False)
    with pytest.raises(ValueError, match="the dissection belongs to"):
        measure_concept_effects(GENERATOR, SEGMENTER, "red", dissection=dissection, progress=False)
    with pytest.raises(KeyError, match="did you mean 'red'"):
        measure_concept_effects(GENERATOR, SEGMENTER, "rad", progress=False)
