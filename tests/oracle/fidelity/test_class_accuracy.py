"""Class accuracy: a judge that reads the planted class is always right, and counts are those made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gandissect.fidelity import ClassAccuracy, count_classes, measure_class_accuracy
from generators import DCGAN, ConditionalDCGAN

NAMES = ("cat", "dog", "owl")


class Planted(ConditionalDCGAN):
    """Images whose brightness is their class: -1, 0 or 1."""

    def forward(self, z: Tensor) -> Tensor:
        return (z[:, self.noise_dim :].argmax(1) - 1.0)[:, None, None, None].expand(-1, 3, 16, 16)


@pytest.fixture
def G() -> Planted:
    return Planted(size=16, width=4, noise_dim=5, classes=NAMES).eval()


def _reads(images: Tensor) -> Tensor:
    return -(images.mean((1, 2, 3))[:, None] - torch.tensor([-1.0, 0.0, 1.0])).abs()


def test_a_judge_that_reads_the_class_is_always_right(G: Planted) -> None:
    measured = measure_class_accuracy(G, _reads, 90, batch_size=40, progress=False)
    expected = torch.bincount(G.sample_z(90)[:, 5:].argmax(1), minlength=3)
    assert torch.equal(measured.confusion, expected.diag())
    assert (measured.accuracy, measured.num_images) == (1.0, 90)
    assert measured.chance == float(expected.max()) / 90
    assert [record["mistaken_for"] for record in measured.records()] == [None] * 3


def test_a_judge_that_takes_dogs_for_owls_is_right_on_the_others(G: Planted) -> None:
    measured = measure_class_accuracy(
        G.of_classes("cat", "dog"), lambda x: _reads(x.ceil() + (x == 0)), 80, progress=False
    )
    cats = int((G.sample_z(80, classes=["cat", "dog"])[:, 5:].argmax(1) == 0).sum())
    assert measured.confusion.tolist() == [[cats, 0, 0], [0, 0, 80 - cats], [0, 0, 0]]
    assert measured.accuracy == cats / 80
    records = measured.records()
    assert (records[1]["accuracy"], records[1]["mistaken_for"]) == (0.0, "owl")
    assert (records[2]["images"], records[2]["accuracy"]) == (0, None)


def test_the_interval_is_wilsons() -> None:
    """Its ends solve (share - p)^2 = z^2 p (1 - p) / n."""
    measured = ClassAccuracy(("a", "b"), torch.tensor([[40, 3], [7, 50]]))
    assert measured.accuracy == 0.9
    for end in measured.interval:
        assert (0.9 - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / 100, rel=1e-5)
    assert "0.9000 (0.8256 to 0.9448), chance 0.570, n=100" in repr(measured)


def test_what_a_judge_must_not_return_is_refused(G: Planted) -> None:
    for judge, message in (
        (lambda x: x.mean((2, 3))[:, :2], r"\[64, 3\]; got \[64, 2\]"),
        (lambda x: x.mean((2, 3)) * math.nan, "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            measure_class_accuracy(G, judge, 100, progress=False)
    with pytest.raises(ValueError, match="dcgan has no classes"):
        measure_class_accuracy(DCGAN(size=16, width=4, z_dim=5).eval(), _reads, 10, progress=False)
    assert int(count_classes(_reads, torch.zeros(4, 3, 2, 2), torch.ones(4, dtype=torch.int64), 3)[1, 1]) == 4
