"""The engine against the paper's definition, and against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from naive_dissection import bilinear, dissect_unit
from torch import nn

from gandissect import Concept, Dissection, LayerInfo, dissect

CONCEPTS = tuple(Concept(i, name, (i, i, i)) for i, name in enumerate(["sky", "tree", "door", "absent"]))


class Drawn:
    """A generator that is no module: its layers are given functions of ``z``, its image shows the last one."""

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
        if self.exact:  # multiples of 1/8, so that bilinear weights of powers of two leave nothing to round
            drawn = (drawn * 8).round() / 8
        drawn[:, 0] = 0.3  # a dead unit
        drawn[:, 1].relu_()
        return drawn

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self._draw(z, (3, *self.image_size), 99).tanh()

    def tail(self, activation: torch.Tensor, layer: str, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Striped:
    """Labels by brightness: three concepts, unlabelled in between, one concept that is never there."""

    name, fingerprint, concepts = "striped", "1" * 64, CONCEPTS

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return ((images[:, 0] + 1) * 2).floor().clamp(0, 3).long() - 1


def _naive(generator: Drawn, num_samples: int, quantile: str) -> tuple[dict[str, list[dict]], np.ndarray]:
    z = generator.sample_z(num_samples, 0, 0)
    labels = Striped()(generator(z)).numpy()
    found = {}
    for name, info in generator.layers.items():
        maps = generator.head(z, name).numpy()
        found[name] = [dissect_unit(maps[:, u], labels, len(CONCEPTS), quantile) for u in range(info.units)]
    return found, labels


def test_counts_equal_those_of_the_definition() -> None:
    generator = Drawn({"a": (4, 1, 1), "b": (3, 2, 4), "c": (3, 8, 8), "d": (2, 16, 16)}, (8, 16), exact=True)
    expected, labels = _naive(generator, 10, "0.2")
    dissection = dissect(generator, Striped(), num_samples=10, quantile=0.2, batch_size=3, progress=False)
    assert [layer.name for layer in dissection] == ["a", "b", "c", "d"]
    for layer in dissection:
        assert layer.num_pixels == labels.size
        for unit, naive in enumerate(expected[layer.name]):
            assert layer.thresholds[unit].item() == np.float32(naive["threshold"])
            assert int(layer.unit_area[unit]) == naive["unit_area"]
            assert layer.intersection[:, unit].tolist() == naive["intersection"]
            assert layer.concept_area.tolist() == naive["concept_area"]
            assert layer.iou[:, unit].tolist() == naive["iou"]
            best = naive["concept"]
            assert layer.matches[unit].concept == (None if best is None else CONCEPTS[best].name)
            for rank, sample in enumerate(layer.top.samples[unit].tolist()):
                assert np.array_equal(layer.top.mask(unit, rank).numpy(), naive["masks"][sample])
    assert dissection["a"].matches[0].concept is None  # the dead unit
    assert sum(match.concept is not None for layer in dissection for match in layer.matches) >= 8


@pytest.mark.parametrize("size", [(7, 11), (5, 4)])
def test_odd_sizes_agree_but_for_pixels_at_the_threshold(size: tuple[int, int]) -> None:
    generator = Drawn({"a": (3, 3, 5), "b": (3, 6, 2), "c": (2, 9, 9)}, size, exact=False)
    expected, _ = _naive(generator, 5, "0.1")
    dissection = dissect(generator, Striped(), num_samples=5, quantile=0.1, batch_size=4, progress=False)
    for layer in dissection:
        for unit, naive in enumerate(expected[layer.name]):
            assert layer.thresholds[unit].item() == pytest.approx(naive["threshold"], rel=1e-5, abs=1e-5)
            if naive["num_near"] > 5:  # a constant unit in double precision is a matter of rounding: checked above
                continue
            assert abs(int(layer.unit_area[unit]) - naive["unit_area"]) <= naive["num_near"]
            for concept, count in enumerate(naive["intersection"]):
                assert abs(int(layer.intersection[concept, unit]) - count) <= naive["num_near"]
        sure = [unit for unit, naive in enumerate(expected[layer.name]) if naive["num_near"] <= 5]
        assert len(sure) >= layer.info.units - 2


def test_the_naive_bilinear_knows_its_half_pixels() -> None:
    stretched = bilinear(np.array([[0.0, 4.0]]), 1, 4)
    assert stretched.tolist() == [[0.0, 1.0, 3.0, 4.0]]


class Planted(nn.Module):
    """Units that are concepts' masks at the labels' resolution, half of one, a dead one, and one that is everywhere."""

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
            masks[row, 5, 0, x] = masks[row, 5, 7, 7] = 1.0  # the sky and a pixel that nobody labels
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
    assert layer.iou[2:].abs().max().item() == 0.0  # concepts that are never there
    assert layer.units_for("tree").units == (1, 2)
    assert layer.units_for("tree", min_iou=0.6).units == (1,)
    assert layer.units_for("sky", top=1).units == (0,)
    assert layer.units_for("absent", min_iou=0.0).units == ()
