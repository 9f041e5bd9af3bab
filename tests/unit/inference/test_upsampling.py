"""Upsampling against torch's own, and the pixels above a level against a dense mask."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import grid_sample, interpolate

from gandissect.inference import upsampling
from gandissect.inference.upsampling import Padding, find_pixels_above, frame_maps, upsample

SHAPES = [((1, 1), (8, 8)), ((4, 4), (64, 64)), ((3, 5), (17, 8)), ((7, 2), (7, 2)), ((9, 8), (4, 3)), ((2, 2), (1, 5))]


def _maps(shape: tuple[int, int], seed: int = 0, batch: int = 3, units: int = 5) -> torch.Tensor:
    return torch.randn(batch, units, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_upsampling_is_torchs(shape: tuple[int, int], size: tuple[int, int]) -> None:
    maps = _maps(shape)
    expected = interpolate(maps, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(maps, size), expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_beyond_the_border_is_zero_if_asked(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """As a larger map with zeros around it, of which the middle is looked at."""
    maps = _maps(shape)
    found = upsample(maps, size, padding="zeros")
    y, x = (torch.tensor([(i + 0.5) * h / n - 0.5 for i in range(n)]) for h, n in zip(shape, size, strict=True))
    grid = torch.stack(torch.meshgrid(2 * (x + 0.5) / shape[1] - 1, 2 * (y + 0.5) / shape[0] - 1, indexing="xy"), -1)
    grid = grid.expand(len(maps), -1, -1, -1)
    expected = grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_a_map_does_not_depend_on_its_neighbors(shape: tuple[int, int], size: tuple[int, int]) -> None:
    maps = _maps(shape, batch=11, units=7)
    together = upsample(maps, size)
    for row, unit in [(0, 0), (10, 6), (4, 3)]:
        assert torch.equal(upsample(maps[row : row + 1, unit : unit + 1], size)[0, 0], together[row, unit])


def test_upsampling_never_leaves_the_range_of_the_map() -> None:
    maps = torch.cat([_maps((5, 5), seed, 4, 64) for seed in range(20)]) * 10 ** torch.arange(-30.0, 34)[:, None, None]
    stretched = upsample(maps, (23, 31))
    assert (stretched.amax((2, 3)) <= maps.amax((2, 3))).all()
    assert (stretched.amin((2, 3)) >= maps.amin((2, 3))).all()
    flat = torch.full((1, 1, 5, 5), 0.1)  # torch's interpolate makes several values of it
    assert (upsample(flat, (23, 31)) == flat[0, 0, 0, 0]).all()


def test_a_step_skips_rows_and_columns_only() -> None:
    maps = _maps((4, 6))
    assert torch.equal(upsample(maps, (13, 16), step=3), upsample(maps, (13, 16))[:, :, ::3, ::3])
    assert torch.equal(upsample(maps, (13, 16), 3, (2, 1)), upsample(maps, (13, 16))[:, :, 2::3, 1::3])


@pytest.mark.parametrize("padding", ["edge", "zeros"])
@pytest.mark.parametrize("chunk", [1, 1000, 2**30])
@pytest.mark.parametrize(("shape", "size"), [*SHAPES, ((4, 5), (16, 15)), ((16, 16), (16, 16)), ((9, 9), (40, 1))])
def test_pixels_above_a_level_are_those_of_the_dense_mask(
    shape: tuple[int, int], size: tuple[int, int], padding: Padding, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(upsampling.CHUNK_PIXELS, "cpu", chunk)
    maps = _maps(shape, batch=6, units=5)
    marks = torch.arange(6 * size[0] * size[1]).reshape(6, *size)
    maps[:, 4] = 0.25
    level = torch.tensor([0.5, -9.0, 99.0, 1.5, 0.25])  # some, all, none, few, all equal to the level
    dense = upsample(maps, size, padding=padding)
    mask, seen = dense > level[:, None, None], torch.zeros_like(dense, dtype=torch.int64)
    for pixels in find_pixels_above(frame_maps(maps, padding), level, marks):
        place = pixels.mark % (size[0] * size[1])
        assert torch.equal(pixels.mark // (size[0] * size[1]), pixels.sample)
        where = (pixels.sample, pixels.unit, place // size[1], place % size[1])
        assert torch.equal(pixels.value, dense[where])
        seen.index_put_(where, torch.ones_like(pixels.sample), accumulate=True)
    assert torch.equal(seen, mask.long())
    assert mask[:, 1].all()
    assert not mask[:, 4].any()


def test_a_pixel_that_equals_the_level_is_not_above_it() -> None:
    maps = torch.tensor([[[[0.0, 1.0, 2.0, 1.0]]]])
    (pixels,) = find_pixels_above(frame_maps(maps, "edge"), torch.tensor([1.0]), torch.tensor([[[5, 6, 7, 8]]]))
    assert pixels.mark.tolist() == [7]
    assert pixels.value.tolist() == [2.0]
