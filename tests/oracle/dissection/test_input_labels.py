"""Dissection by the true labels of a translator's inputs, on planted translators whose units are known to copy or not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gandissect import Dissection, compare_labels, dissect, dissect_shard, merge_shards
from gandissect.core.types import Concept
from gandissect.dissection.chance import jackknife_difference
from gandissect.dissection.counting.plan import DissectSettings
from gandissect.dissection.iou import GroupCounts
from generators import DCGAN
from generators.architectures.translator import Translator
from segmenters import PaletteSegmenter

CONCEPTS = tuple(
    Concept(index, name, color)
    for index, (name, color) in enumerate(
        {"ground": (40, 40, 40), "red": (230, 40, 40), "green": (40, 230, 40), "blue": (40, 40, 230)}.items()
    )
)
COUNT, SIZE = 80, 16


class Mirror(nn.Module):
    """Mirror maps from left to right."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps mirrored."""
        return x.flip(-1)


class MirrorTranslator(Translator):
    """Copies the planes of its label maps, mirrors them, and paints each in the color of its concept.

    The units of ``copies`` are on where the concept is in the input, those of ``mirrored`` where it is in the output.
    """

    architecture = "mirror"

    def __init__(self, concepts: tuple[str, ...]) -> None:
        super().__init__(SIZE, 1, 1, 3, concepts, {})
        self.copies = nn.Identity()
        self.mirrored = Mirror()
        self.output = nn.Conv2d(len(concepts), 3, 1, bias=False)
        by_name = {concept.name: concept.color for concept in CONCEPTS}
        colors = torch.tensor([by_name.get(name, (0, 0, 0)) for name in concepts])
        self.output.weight = nn.Parameter(colors.T[:, :, None, None] / 127.5 - 1, requires_grad=False)
        self.eval()


def _label_maps(names: tuple[str, ...]) -> Tensor:
    """Return label maps with a patch of one concept each, in the left half."""
    rng = torch.Generator().manual_seed(5)
    maps = torch.full((COUNT, SIZE, SIZE), names.index("ground"))
    for number in range(COUNT):
        y, x, index = (int(torch.randint(count, (), generator=rng)) for count in (9, 3, len(names)))
        maps[number, y : y + 6, x : x + 5] = index
    return maps


NAMES = tuple(concept.name for concept in CONCEPTS)
MAPS = _label_maps(NAMES)
S = PaletteSegmenter(CONCEPTS)


def _dissect(labels: str, names: tuple[str, ...] = NAMES, maps: Tensor = MAPS) -> Dissection:
    G = MirrorTranslator(names).on(maps)
    return dissect(G, S, num_samples=COUNT, quantile=0.3, labels=labels, progress=False)


@pytest.fixture(scope="module")
def pair() -> tuple[Dissection, Dissection]:
    return _dissect("output"), _dissect("input")


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def test_units_that_copy_agree_with_the_input_and_units_that_do_not_with_the_output(
    pair: tuple[Dissection, Dissection],
) -> None:
    for dissection, layer, other in zip(pair, ("mirrored", "copies"), ("copies", "mirrored"), strict=True):
        for index in (1, 2, 3):
            here = (index == MAPS).numpy()
            assert dissection[layer].iou[index, index] == 1
            assert float(dissection[other].iou[index, index]) == _iou(here, here[..., ::-1]) == 0
            for concept in range(len(CONCEPTS)):
                wanted = _iou(here, (concept == MAPS).numpy())
                assert float(dissection[layer].iou[concept, index]) == pytest.approx(wanted, abs=1e-12)
    assert all(torch.equal(a.thresholds, b.thresholds) for a, b in zip(*pair, strict=True))
    assert [dissection.provenance.labels for dissection in pair] == ["output", "input"]


def test_the_comparison_says_what_each_unit_follows(pair: tuple[Dissection, Dissection]) -> None:
    comparison = compare_labels(*pair)
    for unit in comparison.units:
        if unit.unit in (1, 2, 3):
            kind = {"copies": "input", "mirrored": "output"}[unit.layer]
            assert (unit.concept, unit.follows) == (NAMES[unit.unit], kind)
            assert abs(unit.difference) == 1 and unit.low <= unit.difference <= unit.high
    assert [(row["layer"], row["units"]) for row in comparison.layer_records()] == [("copies", 4), ("mirrored", 4)]
    assert comparison.to_pandas().shape == (8, 9)
    symmetric = MAPS.maximum(MAPS.flip(-1))  # the output has the labels of the input
    same = compare_labels(*(_dissect(labels, maps=symmetric) for labels in ("output", "input")))
    assert {unit.follows for unit in same.units if unit.unit} == {"both"}
    assert all(unit.difference == unit.low == unit.high == 0 for unit in same.units)


def test_concepts_correspond_by_name() -> None:
    order = ("blue", "ground", "green", "red")
    renumbered = torch.tensor([order.index(name) for name in NAMES])[MAPS]
    D = _dissect("input", order, renumbered)
    for unit, name in enumerate(order):
        if name != "ground":
            assert D["copies"].iou[NAMES.index(name), unit] == 1
    with pytest.raises(ValueError, match=r"must have all concepts of the inputs; palette lacks sea$"):
        _dissect("input", ("ground", "sea"), MAPS.clamp(max=1))


def test_the_difference_is_a_jackknife_over_groups(pair: tuple[Dissection, Dissection]) -> None:
    first, second = (dissection["copies"].groups for dissection in pair)
    estimate, at = jackknife_difference(first, second), (0, 1)

    def iou(groups: GroupCounts, keep: list[int]) -> float:
        common = int(groups.intersection[keep][:, 0, 1].sum())
        return common / (int(groups.unit_area[keep][:, 1].sum()) + int(groups.concept_area[keep][:, 0].sum()) - common)

    count = len(first.unit_area)
    whole = list(range(count))
    left = [[other for other in whole if other != group] for group in whole]
    differences = np.array([iou(first, keep) - iou(second, keep) for keep in left])
    stderr = np.sqrt((count - 1) / count * ((differences - differences.mean()) ** 2).sum())
    difference = iou(first, whole) - iou(second, whole)
    assert float(estimate.difference[at]) == pytest.approx(difference, abs=1e-12)
    half = (float(estimate.high[at]) - float(estimate.low[at])) / 2
    assert 1.95 * stderr < half < 4.4 * stderr  # quantiles of t from infinitely many to 3 degrees of freedom
    p = 2 * _t_tail(abs(difference) / stderr, count - 1)
    assert float(estimate.p[at]) == pytest.approx(max(p, 2 * 0.5**count), rel=1e-6)


def _t_tail(t: float, degrees: int) -> float:
    """Integrate the density of Student's t from a value on, with the substitution t = sqrt(degrees) tan(angle)."""
    angles = np.linspace(np.arctan(t / np.sqrt(degrees)), np.pi / 2, 200_001)
    scale = np.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / np.sqrt(np.pi)
    return float(scale * np.trapezoid(np.cos(angles) ** (degrees - 1), angles))


def test_shards_passes_and_files_keep_the_labels(pair: tuple[Dissection, Dissection], tmp_path: Path) -> None:
    G, settings = MirrorTranslator(NAMES).on(MAPS), DissectSettings(COUNT, quantile=0.3, labels="input")
    for number in (1, 2):
        dissect_shard(G, S, tmp_path / str(number), (number, 2), settings=settings, progress=False)
    merged = merge_shards([tmp_path / "1", tmp_path / "2"], (G, S), progress=False)
    assert merged.provenance.labels == "input"
    assert all(torch.equal(a.iou, b.iou) for a, b in zip(merged, pair[1], strict=True))
    output = replace(settings, labels="output")
    with pytest.raises(ValueError, match="labels is 'input', not 'the default'"):
        dissect_shard(G, S, tmp_path / "1", (1, 2), settings=output, progress=False)
    for name, dissection in zip(("output", "input"), pair, strict=True):
        dissection.save(tmp_path / name)
        assert Dissection.load(tmp_path / name).provenance == dissection.provenance


def test_wrong_uses_are_refused(pair: tuple[Dissection, Dissection]) -> None:
    pictures = torch.zeros(4, 3, SIZE, SIZE, dtype=torch.uint8)
    for generator, message in (
        (DCGAN(size=16, width=4, z_dim=6).eval(), "need a translator on pictures"),
        (_PictureTranslator().on(pictures), "have no labels; put it on pictures with labels"),
    ):
        with pytest.raises(ValueError, match=message):
            dissect(generator, S, num_samples=4, labels="input", progress=False)
    with pytest.raises(KeyError, match="labels"):
        _dissect("inputs")
    output, inputs = pair
    with pytest.raises(ValueError, match="one with labels='input'; got 'input' and 'output'"):
        compare_labels(inputs, output)
    other = replace(inputs, provenance=replace(inputs.provenance, seed=1))
    with pytest.raises(ValueError, match="they also differ in seed"):
        compare_labels(output, other)


class _PictureTranslator(Translator):
    architecture = "identity"

    def __init__(self) -> None:
        super().__init__(SIZE, 1, 1, 3, None, {})
        self.output = nn.Identity()
        self.first = nn.Identity()
        self.eval()
