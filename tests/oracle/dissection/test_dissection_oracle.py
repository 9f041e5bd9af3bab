"""The dissection against the paper's definition, and against cases with a known result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from naive_dissection import bilinear, dissect_unit, rank_is_right
from torch import nn

from gandissect import Concept, Dissection, LayerInfo, dissect

CONCEPTS = tuple(Concept(i, name, (i, i, i)) for i, name in enumerate(["sky", "tree", "door", "absent"]))


class Drawn:
    """A generator that is not a module: its layers are functions of ``z``, and its image shows the last layer."""

    name, fingerprint, z_dim, device = "drawn", "0" * 64, 6, torch.device("cpu")

    def __init__(self, shapes: dict[str, tuple[int, int, int]], size: tuple[int, int], exact: bool) -> None:
        self.layers = {name: LayerInfo(*shape) for name, shape in shapes.items()}
        self.image_size, self.exact = size, exact

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        rows = [torch.Generator().manual_seed(1000 * seed + start + i) for i in range(num_samples)]
        return torch.stack([torch.randn(self.z_dim, generator=row) for row in rows])

    def _draw(self, z: torch.Tensor, shape: tuple[int, ...], salt: int) -> torch.Tensor:
        weight = torch.randn(self.z_dim, int(np.prod(shape)), generator=torch.Generator().manual_seed(salt))
        return torch.stack([row @ weight for row in z]).reshape(-1, *shape)

    def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        info = self.layers[layer]
        drawn = self._draw(z, (info.units, info.height, info.width), list(self.layers).index(layer))
        if self.exact:  # multiples of 1/8: bilinear weights of powers of two are exact
            drawn = (drawn * 8).round() / 8
        drawn[:, 0] = 0.3  # a dead unit
        drawn[:, 1].relu_()
        return drawn

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self._draw(z, (3, *self.image_size), 99).tanh()

    def tail(self, activation: torch.Tensor, layer: str, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Striped:
    """Labels by brightness: three concepts, unlabeled in between, and one concept that is never present."""

    name, fingerprint, concepts = "striped", "1" * 64, CONCEPTS

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return ((images[:, 0] + 1) * 2).floor().clamp(0, 3).long() - 1


class Stretched(Striped):
    """The same labels at a different size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return super().__call__(nn.functional.interpolate(images, self.size, mode="bilinear"))


class Twofold(Striped):
    """Two concepts per pixel: stripes by brightness of red and of green, which may coincide or be absent."""

    concepts = tuple(replace(each, category=kind) for each, kind in zip(CONCEPTS, ("object", "part") * 2, strict=True))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([super(Twofold, self).__call__(images[:, channel:]) for channel in (0, 1)], 1)


def _naive(generator: Drawn, segmenter: Striped, dissection: Dissection) -> dict[str, list[dict]]:
    """Compare the units at the thresholds found; neighbors exchange label maps, except for an odd last sample."""
    num_samples = dissection.provenance.num_samples
    z = generator.sample_z(num_samples, 0, 0)
    labels = segmenter(generator(z)).numpy()
    partner = [other if (other := i + 1 - 2 * (i % 2)) < num_samples else i for i in range(num_samples)]
    found = {}
    for layer in dissection:
        maps, level = generator.head(z, layer.name).numpy(), layer.thresholds.tolist()
        found[layer.name] = [
            dissect_unit(maps[:, u], labels, labels[partner], len(CONCEPTS), level[u]) for u in range(layer.info.units)
        ]
    return found


@pytest.mark.parametrize("num_samples", [10, 7])
@pytest.mark.parametrize("label_size", [None, (5, 9), (16, 32)])
def test_counts_equal_those_of_the_definition(num_samples: int, label_size: tuple[int, int] | None) -> None:
    exact = label_size != (5, 9)
    generator = Drawn({"a": (4, 1, 1), "b": (3, 2, 4), "c": (3, 8, 8), "d": (2, 16, 16)}, (8, 16), exact)
    segmenter = Striped() if label_size is None else Stretched(label_size)
    dissection = dissect(generator, segmenter, num_samples=num_samples, quantile=0.2, batch_size=3, progress=False)
    size = label_size or (8, 16)
    assert dissection.provenance.label_size == size
    assert [layer.name for layer in dissection] == ["a", "b", "c", "d"]
    for layer, expected in zip(dissection, _naive(generator, segmenter, dissection).values(), strict=True):
        assert layer.num_pixels == num_samples * size[0] * size[1]
        for unit, naive in enumerate(expected):
            if not exact and naive["num_near"] > 5:  # rounding decides on a constant unit in double precision
                continue
            slack = 0 if exact else naive["num_near"]
            assert rank_is_right(naive["values"], layer.thresholds[unit].item(), "0.2", 0 if exact else 1e-5)
            assert abs(int(layer.unit_area[unit]) - naive["unit_area"]) <= slack
            counts = layer.groups
            for found, wanted in ((counts.intersection, "intersection"), (counts.exchanged, "exchanged")):
                assert np.abs(found[:, :, unit].sum(0).numpy() - naive[wanted]).max() <= slack
            assert layer.concept_area.tolist() == naive["concept_area"]
            best = naive["concept"]
            if exact:
                assert layer.iou[:, unit].tolist() == naive["iou"]
                assert layer.matches[unit].concept == (None if best is None else CONCEPTS[best].name)
            if exact and label_size is None:
                for rank, sample in enumerate(layer.top.samples[unit].tolist()):
                    assert np.array_equal(layer.top.mask(unit, rank).numpy(), naive["masks"][sample])
    assert dissection["a"].matches[0].concept is None  # the dead unit
    assert sum(match.concept is not None for layer in dissection for match in layer.matches) >= 8


def test_the_samples_are_cut_into_groups_of_pairs() -> None:
    generator = Drawn({"a": (3, 4, 4)}, (8, 8), exact=True)
    whole = dissect(generator, Striped(), num_samples=9, quantile=0.2, progress=False)
    layer = whole["a"]
    labels = Striped()(generator(generator.sample_z(9))).numpy()
    maps = generator.head(generator.sample_z(9), "a").numpy()
    on = np.stack([bilinear(each, 8, 8) for sample in maps for each in sample]).reshape(9, 3, 8, 8)
    on = on > layer.thresholds.numpy()[:, None, None]
    for group, samples in enumerate([[0, 1], [2, 3], [4, 5], [6, 7], [8]]):
        assert layer.groups.unit_area[group].tolist() == on[samples].sum((0, 2, 3)).tolist()
        for concept in range(len(CONCEPTS)):
            there = labels[samples] == concept
            assert int(layer.groups.concept_area[group, concept]) == there.sum()
            inter = (on[samples] & there[:, None]).sum((0, 2, 3))
            assert layer.groups.intersection[group, concept].tolist() == inter.tolist()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_pixel_may_belong_to_two_concepts(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr("gandissect.dissection.counting.layer_counts.count_bins", lambda *_: False)
    generator, segmenter, num_samples = Drawn({"a": (5, 4, 4), "b": (4, 1, 2)}, (8, 8), exact=True), Twofold(), 10
    found = dissect(generator, segmenter, num_samples=num_samples, quantile=0.2, progress=False)
    z = generator.sample_z(num_samples)
    labels = segmenter(generator(z)).numpy()
    both = (labels[:, 0] == labels[:, 1]) & (labels[:, 0] >= 0)
    assert both.any()
    exchanged = labels[[i ^ 1 for i in range(num_samples)]]
    for layer in found:
        assert layer.num_pixels == num_samples * 64
        stretched = np.stack(
            [[bilinear(each, 8, 8) for each in maps] for maps in generator.head(z, layer.name).numpy()]
        )
        on = stretched > layer.thresholds.numpy()[:, None, None]
        for unit in range(layer.info.units):
            assert rank_is_right(stretched[:, unit].ravel().tolist(), layer.thresholds[unit].item(), "0.2")
        assert layer.unit_area.tolist() == on.sum((0, 2, 3)).tolist()
        for concept in range(len(CONCEPTS)):
            there, instead = ((each == concept).any(1) for each in (labels, exchanged))
            assert int(layer.concept_area[concept]) == there.sum()
            assert layer.intersection[concept].tolist() == (on & there[:, None]).sum((0, 2, 3)).tolist()
            assert layer.groups.exchanged[:, concept].sum(0).tolist() == (on & instead[:, None]).sum((0, 2, 3)).tolist()
            union = (on | there[:, None]).sum((0, 2, 3))
            assert layer.iou[concept].tolist() == (layer.intersection[concept].numpy() / np.maximum(union, 1)).tolist()


def test_the_naive_bilinear_knows_its_half_pixels() -> None:
    stretched = bilinear(np.array([[0.0, 4.0]]), 1, 4)
    assert stretched.tolist() == [[0.0, 1.0, 3.0, 4.0]]


class Planted(nn.Module):
    """Units that are concepts' masks at the labels' resolution, half a mask, a dead unit, and one that is on everywhere."""

    name, fingerprint, z_dim, device, image_size = "planted", "2" * 64, 2, torch.device("cpu"), (8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.output = nn.Identity(), nn.Conv2d(6, 3, 1)
        self.layers = {"layer1": LayerInfo(6, 8, 8)}

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        return torch.stack([torch.tensor([float(i % 4), float(i % 3)]) for i in range(start, start + num_samples)])

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        masks = torch.zeros(len(z), 6, 8, 8)
        for row, (x, y) in enumerate(z.long().tolist()):
            masks[row, 0, 0, x] = 1.5  # sky: one pixel in row 0
            masks[row, 1, 1 + y, :2] = 2.0  # tree: two pixels in rows 1 to 3
            masks[row, 2, 1 + y, :1] = 2.0  # half of the tree
            masks[row, 4] = 1.0  # everywhere
            masks[row, 5, 0, x] = masks[row, 5, 7, 7] = 1.0  # the sky and an unlabeled pixel
        masks = self.layer1(masks)
        labels = torch.full((len(z), 8, 8), -1.0)
        labels[masks[:, 0] > 0], labels[masks[:, 1] > 0] = 0.0, 1.0
        return labels[:, None].expand(-1, 3, -1, -1)

    def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        raise NotImplementedError

    def tail(self, activation: torch.Tensor, layer: str, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class ByValue:
    name, fingerprint, concepts = "by value", "3" * 64, CONCEPTS

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0].long()


def _planted(num_samples: int = 24) -> Dissection:
    return dissect(Planted(), ByValue(), num_samples=num_samples, quantile=0.05, batch_size=5, progress=False)


def test_planted_units_have_the_iou_they_were_given() -> None:
    layer = _planted()["layer1"]
    best = [(match.concept, match.iou) for match in layer.matches]
    assert best == [("sky", 1.0), ("tree", 1.0), ("tree", 0.5), (None, 0.0), (None, 0.0), ("sky", 0.5)]
    assert layer.unit_area.tolist() == [24, 48, 24, 0, 0, 48]
    assert layer.concept_area.tolist() == [24, 48, 0, 0]
    assert layer.iou[2:].abs().max().item() == 0.0  # concepts that are never present
    assert layer.units_for("tree").units == (1, 2)
    assert layer.units_for("tree", min_iou=0.6).units == (1,)
    assert layer.units_for("sky", top=1).units == (0,)
    assert layer.units_for("absent", min_iou=0.0).units == ()
