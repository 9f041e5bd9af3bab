"""Real pictures are read evenly, and a part of them is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch

from gandissect import Yardstick
from gandissect.core.pictures import PictureSubset, check_pixels, load_pictures, pick_evenly, split_off
from gandissect.core.protocols import PictureSource


class _Source:
    """Pictures of one color each, which notes its batches."""

    name, size = "numbers", 4

    def __init__(self, count: int) -> None:
        self.images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
        self.batches: list[tuple[list[int], torch.Generator | None]] = []

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        self.batches.append((list(indices), rng))
        return SimpleNamespace(images=self.images[list(indices)])


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 19, 20, 21, 101])
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_as_many_pictures_as_fit_are_picked_at_equal_distances(count: int, limit: int) -> None:
    picked = list(pick_evenly(range(count), limit))
    assert len(picked) <= limit and picked[:1] == [0][:count]
    if count <= limit:
        assert picked == list(range(count))
    else:
        step = next(step for step in range(1, count + 1) if len(range(0, count, step)) <= limit)
        assert picked == list(range(0, count, step)), "a smaller step would pick too many"


def test_a_source_and_its_tensor_give_the_same_pictures() -> None:
    source = _Source(200)
    for limit in (200, 150, 7, 1000):
        assert torch.equal(load_pictures(source, limit), source.images[list(pick_evenly(source, limit))])
        assert torch.equal(load_pictures(source.images, limit), load_pictures(source, limit))
    assert all(rng is None for _, rng in source.batches), "a picture depends on its index alone"
    assert max(len(indices) for indices, _ in source.batches) <= 64


def test_the_first_of_every_so_many_is_split_off() -> None:
    source = _Source(45)
    rest, apart = split_off(source, 20)
    assert load_pictures(apart, 100)[:, 0, 0, 0].tolist() == [0, 20, 40]
    assert load_pictures(rest, 100)[:, 0, 0, 0].tolist() == [index for index in range(45) if index not in {0, 20, 40}]
    rest_images, apart_images = split_off(source.images, 20)
    assert torch.equal(load_pictures(rest, 100), load_pictures(rest_images, 100))
    assert torch.equal(load_pictures(apart, 100), load_pictures(apart_images, 100))


def test_a_subset_is_a_source_of_its_pictures() -> None:
    source, rng = _Source(10), torch.Generator()
    subset = PictureSubset(source, (7, 2, 5))
    assert isinstance(subset, PictureSource)
    assert (subset.name, subset.size, len(subset)) == ("numbers", 4, 3)
    assert subset.batch([2, 0], rng).images[:, 0, 0, 0].tolist() == [5, 7]
    assert source.batches == [([5, 7], rng)], "chance is handed on"
    assert PictureSubset(subset, (1,)).batch([0]).images[:, 0, 0, 0].tolist() == [2]


@pytest.mark.wrong_shape
def test_pictures_in_other_units_are_refused_with_the_remedy() -> None:
    images = torch.zeros(9, 3, 4, 4)
    with pytest.raises(
        TypeError, match=r"must be uint8, 0 to 255; got torch.float32; convert .* gandissect.core.to_uint8"
    ):
        check_pixels(images)
    with pytest.raises(ValueError, match=r"uint8 \[n, 3, H, W\]; got \[9, 4, 4, 3\]"):
        check_pixels(images.to(torch.uint8).permute(0, 2, 3, 1))
    for wrong in (images, images.double()):
        with pytest.raises(TypeError, match="must be uint8"):
            Yardstick("means", lambda x: x.mean((2, 3)), wrong, images.to(torch.uint8))
