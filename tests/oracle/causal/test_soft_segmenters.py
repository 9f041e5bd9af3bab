"""Scores of soft segmenters, with and without a background, are assigned to the right concepts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gandissect import Concept, find_causal_units, measure_unit_effects, optimize_units
from gandissect.causal.optimize import concept_probabilities
from generators.architectures.planted import PlantedGenerator
from segmenters.palette import PaletteSegmenter
from segmenters.torchvision import TorchvisionSegmenter

GENERATOR = PlantedGenerator(size=16, cells=8)
COLORS = torch.tensor([concept.color for concept in GENERATOR.concepts], dtype=torch.float32)
GROUND, THINGS = GENERATOR.concepts[0], GENERATOR.concepts[1:]
VALUES = [1.0] * GENERATOR.layers["layer1"].units


def scores_of(images: Tensor, colors: Tensor) -> Tensor:
    """Squared distances from colors, as logits."""
    rgb = (images + 1) * 127.5
    return -(rgb[:, None] - colors[:, :, None, None]).square().sum(2) / (2 * 60.0**2)


class SoftPalette(PaletteSegmenter):
    """All five planted concepts, one channel each."""

    def logits(self, images: Tensor) -> Tensor:
        return scores_of(images, COLORS)


class WithBackground:
    """The same scores, with a background as the first channel."""

    name, fingerprint = "with a background", "0" * 64
    concepts = tuple(Concept(index, concept.name, concept.color) for index, concept in enumerate(THINGS))

    def logits(self, images: Tensor) -> Tensor:
        return scores_of(images, COLORS)

    def __call__(self, images: Tensor) -> Tensor:
        return scores_of(images, COLORS).argmax(1) - 1


class BackgroundLast(WithBackground):
    def logits(self, images: Tensor) -> Tensor:
        return super().logits(images).roll(-1, 1)


class Backwards(SoftPalette):
    def logits(self, images: Tensor) -> Tensor:
        return super().logits(images).flip(1)


PLAIN = SoftPalette(GENERATOR.concepts)


def test_probabilities_are_the_same_whether_the_first_class_is_a_concept_or_the_background() -> None:
    images = GENERATOR(GENERATOR.sample_z(8, seed=1))
    plain, without = concept_probabilities(PLAIN, images), concept_probabilities(WithBackground(), images)
    assert plain.shape[1] == 5 and torch.equal(plain[:, 1:], without)
    assert torch.allclose(plain.sum(1), torch.ones(()))


@pytest.mark.parametrize("concept", [concept.name for concept in THINGS])
def test_units_are_optimized_for_the_concept_that_was_named(concept: str) -> None:
    rankings = [
        optimize_units(GENERATOR, segmenter, "layer1", concept, 64, values=VALUES, progress=False)
        for segmenter in (PLAIN, WithBackground())
    ]
    assert torch.equal(rankings[0].scores, rankings[1].scores)
    units = [
        find_causal_units(GENERATOR, segmenter, "layer1", concept, 1, num_samples=64, progress=False)
        for segmenter in (PLAIN, WithBackground())
    ]
    assert units[0] == units[1]
    unit = units[0].units[0]
    off = GENERATOR.head(GENERATOR.sample_z(64, seed=5), "layer1").clone()
    z, index = GENERATOR.sample_z(64, seed=5), [thing.name for thing in THINGS].index(concept)
    assert bool((WithBackground()(GENERATOR(z)) == index).any())
    off[:, unit] = 0
    assert not bool((WithBackground()(GENERATOR.tail(off, "layer1", z)) == index).any())


class Colors(nn.Module):
    """The output of torchvision's networks on images in [0, 1]: the scores of background, bus and sea."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": 10 * torch.stack([1 - images.amax(1), images[:, 0], images[:, 2]], 1)}


def test_a_bus_of_torchvisions_is_a_bus() -> None:
    segmenter = TorchvisionSegmenter(Colors(), lambda x: x, ["__background__", "bus", "sea"], "fake", "cpu")
    black, red, blue = (
        torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 4, 4) * 2.0 - 1 for color in ((0, 0, 0), (1, 0, 0), (0, 0, 1))
    )
    probabilities = concept_probabilities(segmenter, torch.cat([black, red, blue]))
    likely = float(torch.tensor([0.0, 10, 0]).softmax(0)[1])
    rest = (1 - likely) / 2
    expected = torch.tensor([[rest, rest], [likely, rest], [rest, likely]])
    assert torch.allclose(probabilities.mean((2, 3)), expected, atol=1e-6)


@pytest.mark.parametrize("segmenter", [BackgroundLast(), Backwards(GENERATOR.concepts)], ids=["last", "backwards"])
def test_scores_in_another_order_than_the_concepts_are_refused(segmenter: WithBackground | SoftPalette) -> None:
    with pytest.raises(ValueError, match=r"logits\(images\) must have one channel per concept, in the order of its"):
        optimize_units(GENERATOR, segmenter, "layer1", "red", 8, values=VALUES, progress=False)


@pytest.mark.wrong_shape
@pytest.mark.parametrize("channels", [0, 3, 6, 7])
def test_scores_of_another_number_of_concepts_are_refused(channels: int) -> None:
    class Odd(WithBackground):
        def logits(self, images: Tensor) -> Tensor:
            return images.new_zeros(len(images), channels, *images.shape[2:])

    with pytest.raises(
        ValueError,
        match=r"must be \[8, 4, 16, 16\], or have one more channel, first, for the background; got torch.float32",
    ):
        optimize_units(GENERATOR, Odd(), "layer1", "red", 8, values=VALUES, progress=False)


@pytest.mark.wrong_shape
@pytest.mark.parametrize("label", [255.0, 1.0, 255])
def test_label_maps_of_something_else_than_concepts_are_refused(label: float) -> None:
    class Wrong(SoftPalette):
        def __call__(self, images: Tensor) -> Tensor:
            return torch.full((len(images), *images.shape[2:]), label)

    segmenter, quiet = Wrong(GENERATOR.concepts), {"progress": False}
    for call in (
        lambda: optimize_units(GENERATOR, segmenter, "layer1", "red", 8, values=VALUES, **quiet),
        lambda: find_causal_units(GENERATOR, segmenter, "layer1", "red", 1, num_samples=8, **quiet),
        lambda: find_causal_units(GENERATOR, segmenter, "layer1", "red", 1, method="effect", num_samples=8, **quiet),
        lambda: measure_unit_effects(GENERATOR, segmenter, "layer1", 8, **quiet),
    ):
        with pytest.raises(
            ValueError, match=r"the segmenter(.s .* concepts must be .*; got 255| must return int64 labels)"
        ):
            call()


def test_several_labels_a_pixel_are_looked_through() -> None:
    class Layered(SoftPalette):
        def __call__(self, images: Tensor) -> Tensor:
            labels = super().__call__(images)
            return torch.stack([torch.full_like(labels, -1), labels], 1)

    rankings = [
        optimize_units(GENERATOR, kind(GENERATOR.concepts), "layer1", "red", 16, values=VALUES, progress=False)
        for kind in (SoftPalette, Layered)
    ]
    assert torch.equal(rankings[0].scores, rankings[1].scores)
