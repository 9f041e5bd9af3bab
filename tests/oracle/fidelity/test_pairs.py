"""Overlap of pairs: planted pairs agree as far as they were made to, others by chance, and IoU is counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gandissect.fidelity import PairOverlap, measure_pairs, overlap
from generators import DCGAN, ConditionalDCGAN


class Planted(ConditionalDCGAN):
    """The sign of each noise entry lights or darkens one of 16 columns; in the domain "moved", `moved` of them differ."""

    moved = 0

    def forward(self, z: Tensor) -> Tensor:
        columns = z[:, :16].sign()
        columns[:, : self.moved] *= torch.where(z[:, self.noise_dim :].argmax(1) == 1, -1.0, 1.0)[:, None]
        return columns[:, None, None].expand(-1, 3, 16, 16)


def _make(moved: int) -> Planted:
    generator = Planted(size=16, width=4, noise_dim=16, classes=("still", "moved")).eval()
    generator.moved = moved
    return generator


def _lit(images: Tensor) -> Tensor:
    return images[:, :1] > 0


def _both_ways(images: Tensor) -> Tensor:
    return torch.cat([images[:, :1] > 0, images[:, :1] < 0], 1)


def _iou(first: Tensor, second: Tensor) -> float:
    """IoU of one pair, pixel by pixel, averaged over the concepts that are there."""
    shares = []
    for a, b in zip(first.flatten(1).tolist(), second.flatten(1).tolist(), strict=True):
        either = sum(x or y for x, y in zip(a, b, strict=True))
        if either:
            shares.append(sum(x and y for x, y in zip(a, b, strict=True)) / either)
    return sum(shares) / len(shares) if shares else 1.0


def test_iou_is_counted_per_pair_and_averaged_over_the_concepts_that_are_there() -> None:
    rng = torch.Generator().manual_seed(0)
    first, second = (torch.rand(20, 3, 4, 5, generator=rng) < 0.4 for _ in range(2))
    first[3], second[3] = False, False
    first[4, 1], second[4, 1] = False, False
    first[5, 2], second[5, 2] = False, True
    found = overlap(first, second)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([_iou(a, b) for a, b in zip(first, second, strict=True)])
    assert found[3] == 1


def test_images_of_the_same_noise_that_agree_have_iou_1_and_others_that_of_chance() -> None:
    measured = measure_pairs(_make(0), ("still", "moved"), (_lit, _lit), 400, seed=1, progress=False)
    assert measured.pairs.tolist() == [1.0] * 400
    assert measured.interval == (1.0, 1.0)
    assert measured.chance == pytest.approx(1 / 3, abs=0.03)  # both of 16 columns lit by half: 1/4 over 3/4


def test_images_that_agree_in_part_have_that_iou() -> None:
    """Of 16 columns, 8 are lit in one image or the other but not in both; the rest agree."""
    G = _make(8)
    measured = measure_pairs(G, ("still", "moved"), (_both_ways, _both_ways), 200, progress=False)
    z = G.sample_z(200, classes="still")
    lit = (z[:, 8:16] > 0).sum(1).double()
    expected = (lit / (8 + lit) + (8 - lit) / (16 - lit)) / 2
    assert torch.allclose(measured.pairs, expected)


def test_pairs_with_nothing_in_common_are_below_chance() -> None:
    measured = measure_pairs(_make(16), ("still", "moved"), (_lit, _lit), 400, progress=False)
    assert measured.mean == 0.0 < measured.chance


def test_the_domains_may_be_named_in_either_order_and_each_has_its_masks() -> None:
    seen: list[str] = []

    def note(name: str, images: Tensor) -> Tensor:
        seen.append(name)
        return _lit(images)

    masks = (lambda images: note("moved", images), lambda images: note("still", images))
    measured = measure_pairs(_make(16), ("moved", "still"), masks, 4, progress=False)
    assert measured.mean == 0.0
    assert seen == ["moved", "still", "still"]


def test_it_does_not_depend_on_the_size_of_batches() -> None:
    one, other = (
        measure_pairs(_make(5), ("still", "moved"), (_lit, _lit), 50, seed=3, batch_size=size, progress=False)
        for size in (1, 64)
    )
    assert torch.equal(one.pairs, other.pairs) and torch.equal(one.others, other.others)


def test_the_interval_is_students() -> None:
    measured = PairOverlap(torch.tensor([0.2, 0.4, 0.9]).double(), torch.tensor([0.1, 0.1, 0.4]).double())
    assert measured.mean == pytest.approx(0.5)
    assert measured.chance == pytest.approx(0.2)
    reach = 4.302653 * (0.13 / 3) ** 0.5  # t of 2 degrees; the variance is 0.13
    assert measured.interval == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-5)
    assert repr(measured).startswith("PairOverlap(IoU 0.5000 (-0.3957 to 1.3957), chance 0.2000, n=3")


def test_what_cannot_be_measured_says_why() -> None:
    G = _make(0)
    with pytest.raises(ValueError, match="has no classes, so it has no domains"):
        measure_pairs(DCGAN(16, 4, 6).eval(), ("a", "b"), (_lit, _lit), 4, progress=False)
    with pytest.raises(KeyError, match="did you mean 'moved'"):
        measure_pairs(G, ("still", "moves"), (_lit, _lit), 4, progress=False)
    with pytest.raises(ValueError, match="there must be two domains, each with its masks; got 1 domains and 2 masks"):
        measure_pairs(G, ("still",), (_lit, _lit), 4, progress=False)
    with pytest.raises(ValueError, match=r"bool and of the same shape \[.*\]; got torch\.float32"):
        measure_pairs(G, ("still", "moved"), (lambda x: x, _lit), 4, progress=False)
    with pytest.raises(ValueError, match=r"\[batch, concept, H, W\]; got torch\.bool \[4, 16, 16\]"):
        measure_pairs(G, ("still", "moved"), [lambda x: _lit(x)[:, 0]] * 2, 4, progress=False)
    with pytest.raises(TypeError, match="domains must be of type list or tuple; got str"):
        measure_pairs(G, "st", (_lit, _lit), 4, progress=False)
