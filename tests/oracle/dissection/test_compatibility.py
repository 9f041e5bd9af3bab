"""``padding="zeros"`` against the conventions of davidbau/dissect, reimplemented from notes on its computation.

There a map of ``h`` rows is sampled at ``(y + 1/2) h / H - 1/2``, bilinearly, with zeros outside; a unit is on strictly
above its level; p(a), p(c) and p(a, c) are shares of all pixels of all images, unlabeled ones too, and
IoU = p(a, c) / (p(a) + p(c) - p(a, c)), all in double precision here. Its levels come from a sketch that is random from
run to run, so ours are given.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_dissection_oracle import CONCEPTS, Drawn, Striped

from gandissect import dissect


def _sampled(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sample one map by explicit taps; taps outside the map are zero."""
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            row, column = (y + 0.5) * grid.shape[0] / height - 0.5, (x + 0.5) * grid.shape[1] / width - 0.5
            top, left = int(np.floor(row)), int(np.floor(column))
            for tap_row in (top, top + 1):
                for tap_column in (left, left + 1):
                    if 0 <= tap_row < grid.shape[0] and 0 <= tap_column < grid.shape[1]:
                        weight = (1 - abs(row - tap_row)) * (1 - abs(column - tap_column))
                        out[y, x] += weight * float(grid[tap_row, tap_column])
    return out


@pytest.mark.parametrize("size", [(16, 16), (8, 32)])
def test_zeros_beyond_the_border_agree_with_the_other_tool(size: tuple[int, int]) -> None:
    generator = Drawn(
        {"a": (6, 4, 4), "b": (6, 2, 8), "c": (4, 8, 8), "d": (3, 1, 1)}, size, exact=True
    )  # exact in floating point
    num_samples = 8
    dissection = dissect(generator, Striped(), num_samples=num_samples, quantile=0.1, padding="zeros", progress=False)
    assert dissection.provenance.padding == "zeros"
    z = generator.sample_z(num_samples)
    labels = Striped()(generator(z)).numpy()
    for layer in dissection:
        maps = generator.head(z, layer.name).numpy()
        for unit in range(1, layer.info.units):  # the first is 0.3 everywhere, which does not halve exactly
            on = np.stack([_sampled(each[unit], *size) for each in maps]) > layer.thresholds[unit].item()
            for row in range(len(CONCEPTS)):
                both, there = (on & (labels == row)).mean(), (labels == row).mean()
                union = on.mean() + there - both
                wanted = both / union if union else 0.0
                assert layer.iou[row, unit].item() == pytest.approx(wanted, abs=1e-4)


def test_a_map_of_ones_loses_its_border() -> None:
    """The values of the other tool's grid for 8 x 8 to 64 x 64: .316 in the corners, .562 at the edges."""
    from gandissect.inference.upsampling import upsample

    stretched = upsample(torch.ones(1, 1, 8, 8), (64, 64), padding="zeros")[0, 0]
    assert stretched[0, 0].item() == pytest.approx(0.316, abs=5e-4)
    assert stretched[0, 32].item() == pytest.approx(0.5625, abs=5e-4)
    assert (stretched[4:60, 4:60] == 1).all()
