"""Find where units are on, by upsampling activations bilinearly and selecting the pixels above a level.

When a map of ``h`` rows is upsampled to ``H`` rows, row ``y`` of the result is at ``(y + 1/2) h / H - 1/2`` in the map;
likewise for columns. Beyond its border the map is continued with its edge values (``padding="edge"``; this is torch's
``interpolate(align_corners=False)``) or with zeros. Along each axis a value between the neighbors ``a`` and ``b`` is
``a + w (b - a)``, where each operation is rounded separately. The result is therefore the same bit for bit on every
device and in every batch, and never leaves the range of the map.

A map is *framed* with an additional point on each side. A *cell* is the area between four neighboring points. No pixel
in a cell exceeds the largest of its four corners, so only cells with a corner above the level are searched; if few
pixels exceed the level, these are few.

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float32, Int, Int64
from torch import Tensor
from torch.nn.functional import pad

Padding = Literal["edge", "zeros"]

CHUNK_PIXELS = {"cpu": 2**18, "cuda": 2**26}
"""Number of pixels interpolated per chunk; on the CPU, a chunk fits into its cache."""


PHASE = 16
"""Number of consecutive samples that use the same set of pixel diagonals, so that several are interpolated together."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Some pixels of upsampled activations.

    Args:
        sample: int64 ``[pixel]``, row in the batch.
        unit: int64 ``[pixel]``, unit.
        value: float32 ``[pixel]``, upsampled activation.
        mark: ``[pixel]``, value of the sample's map of marks, with the dtype of the marks.
    """

    sample: Int64[Tensor, " pixel"]
    unit: Int64[Tensor, " pixel"]
    value: Float32[Tensor, " pixel"]
    mark: Int[Tensor, " pixel"]


def upsample(
    activation: Float32[Tensor, "batch unit h w"],
    size: tuple[int, int],
    step: int = 1,
    start: tuple[int, int] = (0, 0),
    padding: Padding = "edge",
) -> Float32[Tensor, "batch unit H W"]:
    """Interpolate maps bilinearly.

    Args:
        activation: float32 ``[batch, unit, h, w]``, finite.
        size: Target number of rows and columns, each at least 1; may be smaller than the map.
        step: Step between returned rows and columns.
        start: First row and first column to return.
        padding: How maps are continued beyond their border.

    Returns:
        float32 ``[batch, unit, H, W]``, reduced to ``ceil((size - start) / step)`` rows and columns.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    batch, units, height, width = activation.shape
    per_chunk = _chunk_size(size[0] * size[1], activation.device)
    chunks = torch.split(frame_maps(activation, padding).flatten(2).flatten(0, 1), per_chunk)
    parts = [_stretch(maps.T.reshape(height + 2, width + 2, -1), size, step, start).permute(2, 0, 1) for maps in chunks]
    stretched = torch.cat(parts) if len(parts) > 1 else parts[0]
    return stretched.reshape(batch, units, *stretched.shape[1:])


def sample_pixels(
    activation: Float32[Tensor, "batch unit h w"],
    first: int,
    size: tuple[int, int],
    step: int,
    padding: Padding = "edge",
) -> tuple[Float32[Tensor, "unit pixel"], Int[Tensor, " pixel"]]:
    """Interpolate a sparse grid of pixels that shifts from sample to sample, so that all positions have equal weight.

    A coarser map would miss the peaks of fine layers. The grid depends only on the index of the sample; all positions
    are covered within 16 ``step`` samples.

    Args:
        activation: float32 ``[batch, unit, h, w]``, finite.
        first: Index of the first sample.
        size: Rows and columns of an upsampled map.
        step: Odd step between pixels along both axes.
        padding: How maps are continued beyond their border.

    Returns:
        float32 ``[unit, pixel]``, the values; int64 ``[pixel]``, their positions in the flattened ``[batch, H, W]``.
    """
    place = torch.arange(len(activation) * size[0] * size[1], device=activation.device).view(-1, *size)
    alike: dict[tuple[int, int], list[int]] = {}
    for row in range(len(activation)):
        turn, phase = (first + row) % step, (first + row) // PHASE
        alike.setdefault((turn, (2 * turn + phase) % step), []).append(row)
    values, places = [], []
    for start, rows in alike.items():
        values.append(upsample(activation[rows], size, step, start, padding).transpose(0, 1).flatten(1))
        places.append(place[rows, start[0] :: step, start[1] :: step].flatten())
    return torch.cat(values, 1), torch.cat(places)


def choose_step(size: tuple[int, int], num_pixels: int) -> int:
    """Return the step at which `sample_pixels` uses about ``num_pixels`` pixels of each sample."""
    return max(1, round(math.sqrt(size[0] * size[1] / num_pixels))) | 1


def frame_maps(
    activation: Float32[Tensor, "batch unit h w"], padding: Padding
) -> Float32[Tensor, "batch unit h+2 w+2"]:
    """Return maps with an additional point on each side, which repeats the edge or is zero."""
    maps = activation.flatten(0, 1)[:, None]
    framed = pad(maps, (1, 1, 1, 1), mode="constant" if padding == "zeros" else "replicate")
    return framed.reshape(*activation.shape[:2], *framed.shape[2:])


def find_pixels_above(
    framed: Float32[Tensor, "batch unit framed_h framed_w"],
    level: Float32[Tensor, " unit"],
    marks: Int[Tensor, "batch H W"],
) -> Iterator[Pixels]:
    """Find the pixels of the upsampled maps that are strictly above each unit's level.

    Args:
        framed: float32 ``[batch, unit, h + 2, w + 2]``, finite; from `frame_maps`.
        level: float32 ``[unit]``, levels.
        marks: Integers ``[batch, H, W]`` of any dtype, which are returned with the pixels.

    Yields:
        Pixels without repetition, in chunks of cells.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    batch, units, rows, pitch = framed.shape
    cells = _make_cells((rows - 2, pitch - 2), (marks.shape[1], marks.shape[2]), framed.device)
    per_map, per_cell = len(cells.row), len(cells.pixel)
    highest = torch.maximum(framed[:, :, :-1], framed[:, :, 1:])
    highest = torch.maximum(highest[..., :-1], highest[..., 1:])
    reached = ((highest > level[:, None, None]) & cells.used).reshape(batch * units, per_map)
    map_ = torch.repeat_interleave(torch.count_nonzero(reached, dim=1))
    cell = _true_positions(reached) - map_ * per_map
    corners = framed.reshape(-1)
    marks = marks.reshape(batch, -1)[:, cells.pixel].permute(1, 0, 2).reshape(-1)  # by pixel of a cell, sample, cell
    chunk = _chunk_size(per_cell, framed.device)
    for index, place in zip(torch.split(map_, chunk), torch.split(cell, chunk), strict=True):
        sample = index // units
        unit = index - sample * units
        values = _interpolate_cells(corners, cells, place, cells.corner[place] + index * (rows * pitch), pitch)
        above = values > level[unit]
        pixel = torch.repeat_interleave(torch.count_nonzero(above, dim=1))
        position = _true_positions(above)
        column = position - pixel * len(place)
        mark = (sample * per_map + place)[column] + pixel * (batch * per_map)
        yield Pixels(sample[column], unit[column], values.reshape(-1)[position], marks[mark])


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a map and the upsampled pixels inside them.

    Args:
        row: int64 ``[cell]``, row of cells.
        column: int64 ``[cell]``, column of cells.
        corner: int64 ``[cell]``, position of the upper left corner in a flattened framed map.
        pixel: int64 ``[pixel, cell]``, ``y * W + x`` of each pixel in the cell; arbitrary in the unused slots of cells
            with fewer pixels.
        down: float32 ``[pixel, row]``, distance of a row of pixels below the corner; NaN in unused slots.
        right: float32 ``[pixel, column]``, distance of a column of pixels right of the corner; NaN in unused slots.
        used: bool ``[row, column]``, whether the cell contains any pixels.
    """

    row: Tensor
    column: Tensor
    corner: Tensor
    pixel: Tensor
    down: Tensor
    right: Tensor
    used: Tensor


@lru_cache(maxsize=64)
def _make_cells(shape: tuple[int, int], size: tuple[int, int], device: torch.device) -> _Cells:
    """Return the cells of maps with a given shape that are upsampled to a given size."""
    with torch.inference_mode(False):  # the cached result outlives the caller, who may be in inference mode
        (y, down), (x, right) = (_make_slots(length, target) for length, target in zip(shape, size, strict=True))
        row = torch.arange(shape[0] + 1, device="cpu").repeat_interleave(shape[1] + 1)
        column = torch.arange(shape[1] + 1, device="cpu").repeat(shape[0] + 1)
        pixel = (y[:, None, row] * size[1] + x[None, :, column]).flatten(0, 1)
        used = ~(down.isnan().all(0)[:, None] | right.isnan().all(0))
        parts = (row, column, row * (shape[1] + 2) + column, pixel, down, right, used)
        return _Cells(*(part.contiguous().to(device) for part in parts))


def _make_slots(length: int, target: int) -> tuple[Tensor, Tensor]:
    """Return the points in each of the ``length + 1`` gaps along an axis and their offsets, both ``[slot, gap]``."""
    start, weight = locate_in_gaps(length, target)
    count = start.diff()
    gap = torch.repeat_interleave(count)
    slot = torch.arange(target, device="cpu") - start[gap]
    point = torch.zeros(int(count.max()), length + 1, dtype=torch.int64, device="cpu")
    distance = torch.full(point.shape, torch.nan, dtype=torch.float32, device="cpu")
    point[slot, gap], distance[slot, gap] = torch.arange(target, device="cpu"), weight
    return point, distance


@lru_cache(maxsize=64)
def locate_in_gaps(length: int, target: int) -> tuple[Int[Tensor, " gap_end"], Float32[Tensor, " target"]]:
    """Return which of ``target`` points are in which gap between the entries of a framed axis, and their offsets.

    Gap 0 is before the first of ``length`` entries, gap ``length`` after the last.

    Returns:
        int64 ``[length + 2]``, the first point of each gap followed by the number of points; float32 ``[target]``, the
            offset of each point within its gap.
    """
    with torch.inference_mode(False):  # the cached result outlives the caller, who may be in inference mode
        gap, weight = _find_neighbors(length, range(target), target, torch.device("cpu"))
        return torch.searchsorted(gap, torch.arange(length + 2, device="cpu")), weight


def _interpolate_cells(corners: Tensor, cells: _Cells, cell: Tensor, first: Tensor, pitch: int) -> Tensor:
    """Interpolate within cells, to ``[pixel, cell]``, in the same order as `_stretch`: down, then right.

    Args:
        corners: float32 ``[point]``, flattened framed maps.
        cells: Geometry of the cells.
        cell: int64 ``[cell]``, indices into the geometry.
        first: int64 ``[cell]``, positions of the upper left corners in ``corners``.
        pitch: Distance from the upper left to the lower left corner.
    """
    left, right, low_left, low_right = (corners[first + step] for step in (0, 1, pitch, pitch + 1))
    down, across = cells.down.index_select(1, cells.row[cell]), cells.right.index_select(1, cells.column[cell])
    start = (low_left - left).mul(down).add_(left)
    rise = (low_right - right).mul(down).add_(right).sub_(start)
    return (rise[:, None] * across).add_(start[:, None]).flatten(0, 1)


def _chunk_size(num_pixels: int, device: torch.device) -> int:
    """Return the number of maps or cells of ``num_pixels`` pixels to interpolate per chunk."""
    return max(1, CHUNK_PIXELS.get(device.type, 2**22) // num_pixels)


def _stretch(maps: Tensor, size: tuple[int, int], step: int, start: tuple[int, int]) -> Tensor:
    """Interpolate framed ``[h + 2, w + 2, map]`` to ``[H, W, map]``; maps come last for speed."""
    for axis, (length, first) in enumerate(zip(size, start, strict=True)):
        low, weight = _find_neighbors(maps.shape[axis] - 2, range(first, length, step), length, maps.device)
        below = maps.index_select(axis, low)
        rise = maps.index_select(axis, low + 1).sub_(below)
        maps = rise.mul_(weight.reshape([-1 if dim == axis else 1 for dim in range(3)])).add_(below)
    return maps


@lru_cache(maxsize=64)
def _find_neighbors(length: int, points: range, target: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, for some of ``target`` points, the preceding entry of a framed axis and the offset from it."""
    with torch.inference_mode(False):  # the cached result outlives the caller, who may be in inference mode
        place = (torch.tensor(points, dtype=torch.float64, device="cpu") + 0.5) * length / target + 0.5
        low = place.floor().clamp(max=length)
        return low.long().to(device), (place - low).float().to(device)


def _true_positions(mask: Tensor) -> Tensor:
    """Return the flat positions where a mask is true."""
    if mask.device.type == "cpu":  # numpy takes a third of torch's time here
        return torch.from_numpy(mask.numpy().reshape(-1).nonzero()[0])
    return mask.reshape(-1).nonzero().squeeze(1)
