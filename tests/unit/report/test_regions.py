"""The outlines in the report's pictures, against loops over pixels."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, strategies as st

from gandissect.dissection.counting.top_images import Thumbnails, TopImages, pack_masks
from gandissect.report.regions import YELLOW, border, highlight, unit_strip


def _naive_border(mask: np.ndarray, width: int) -> np.ndarray:
    height, breadth = mask.shape
    result = np.zeros_like(mask)
    for y in range(height):
        for x in range(breadth):
            near = mask[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            result[y, x] = not mask[y, x] and near.any()
    return result


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.data())
def test_a_border_is_the_pixels_around_a_region(height: int, breadth: int, width: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=height * breadth, max_size=height * breadth))
    mask = np.array(bits).reshape(height, breadth)
    assert np.array_equal(border(torch.from_numpy(mask), width).numpy(), _naive_border(mask, width))


def test_highlighting_outlines_the_region_and_darkens_the_rest() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 200, (3, 12, 10), dtype=np.uint8)
    mask = np.zeros((12, 10), bool)
    mask[2:5, 3:6] = mask[8:, 7:] = mask[0, 0] = True
    found = highlight(torch.from_numpy(image)[None], torch.from_numpy(mask)[None])[0].numpy()
    edge = _naive_border(mask, 1)
    assert np.array_equal((found == np.array(YELLOW)[:, None, None]).all(0), edge)
    assert np.array_equal(found[:, mask], image[:, mask])
    outside = ~mask & ~edge
    assert abs(found[:, outside] - image[:, outside] / 2).max() <= 0.5


def test_a_picture_of_absurd_proportions_takes_little_room() -> None:
    """At its own proportions a strip of this picture of 60 kB would have 328 million pixels."""
    thumbnails = Thumbnails(torch.tensor([3]), torch.zeros(1, 3, 1, 20_000, dtype=torch.uint8))
    masks = pack_masks(torch.ones(1, 1, 1, 20_000, dtype=torch.bool))
    top = TopImages(torch.tensor([[3]]), torch.ones(1, 1), (1, 20_000), masks)
    assert unit_strip(thumbnails, top, unit=0, count=5, height=128).shape == (4, 128, 16 * 128)
