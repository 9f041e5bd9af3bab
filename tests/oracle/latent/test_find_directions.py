"""The one call for directions, against the single public calls that it stands for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

import generators
from gandissect.latent import (
    Direction,
    FoundDirection,
    closed_form_directions,
    component_directions,
    find_boundaries,
    find_directions,
    keep_unchanged,
    label_direction,
    with_labels,
)
from generators import LayeredGenerator, PlantedGenerator
from segmenters.palette import PaletteSegmenter

PLANTED = PlantedGenerator(size=8, cells=4)
SEGMENTER = PaletteSegmenter(PlantedGenerator.concepts)
STEPS, SEED = (-1.0, 1.0), 7


def _check(results: Sequence[FoundDirection], generator: LayeredGenerator, directions: Sequence[Direction]) -> None:
    """Check that the results are the directions with their labels and effects, bit for bit."""
    assert len(results) == len(directions)
    for result, direction in zip(results, directions, strict=True):
        effect = label_direction(generator, SEGMENTER, direction, STEPS, 12, SEED, progress=False)
        assert result.direction.facts() == with_labels(direction, effect).facts()
        assert torch.equal(result.direction.vector, direction.vector)
        assert result.effect.records() == effect.records()
        assert str(result) == str(result.direction)


def test_sefa_gives_the_closed_form_directions_with_labels() -> None:
    torch.manual_seed(0)
    generator = generators.StyleGAN(size=8, width=2, max_width=4, z_dim=4, w_dim=4, mapping_depth=1)
    results = find_directions(
        generator,
        SEGMENTER,
        "sefa",
        num_directions=2,
        ws=[0, 1],
        steps=STEPS,
        num_samples=12,
        seed=SEED,
        progress=False,
    )
    _check(results, generator, closed_form_directions(generator, 2, [0, 1], SEED))
    assert all(result.boundary is None and result.kept == () for result in results)


def test_components_are_those_of_a_layer_mapped_back_to_z() -> None:
    results = find_directions(
        PLANTED,
        SEGMENTER,
        "components",
        num_directions=2,
        layer="layer1",
        in_z=True,
        find_samples=50,
        steps=STEPS,
        num_samples=12,
        seed=SEED,
        progress=False,
    )
    _check(results, PLANTED, component_directions(PLANTED, 2, "layer1", 50, SEED, in_z=True, progress=False))


@pytest.mark.parametrize("keep", [(), ("ground",)])
def test_boundaries_leave_alone_what_is_kept(keep: tuple[str, ...]) -> None:
    results = find_directions(
        PLANTED,
        SEGMENTER,
        "boundary",
        concepts=("red", "blue"),
        keep=keep,
        find_samples=200,
        steps=STEPS,
        num_samples=12,
        seed=SEED,
        progress=False,
    )
    boundaries = find_boundaries(PLANTED, SEGMENTER, ("red", "blue", *keep), 200, SEED, progress=False)
    directions = [boundaries[concept].direction for concept in ("red", "blue")]
    if keep:
        others = [boundaries["ground"].direction]
        directions = [keep_unchanged(PLANTED, direction, others) for direction in directions]
    _check(results, PLANTED, directions)
    assert [str(result.boundary) for result in results] == [str(boundaries[name]) for name in ("red", "blue")]
    assert all([boundary.concept for boundary in result.kept] == list(keep) for result in results)


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        ("sefi", {}, KeyError, "did you mean 'sefa'"),
        ("sefa", {"concepts": ["red"]}, ValueError, "concepts is not an option of the method sefa"),
        ("components", {"ws": [0]}, ValueError, "ws is not an option of the method components"),
        ("sefa", {"find_samples": 0}, ValueError, "find_samples is not an option of the method sefa"),
        ("boundary", {}, ValueError, "concepts must name at least one concept"),
        ("boundary", {"concepts": ["red"], "keep": ["red"]}, ValueError, "must not overlap; got 'red' in both"),
        ("boundary", {"concepts": ["red"], "steps": [0]}, ValueError, "steps must include one that is not 0"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    method: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_directions(PLANTED, SEGMENTER, method, progress=False, **options)
