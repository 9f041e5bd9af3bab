"""Where units are on: bilinear upsampling of activations, and the pixels above a level.

For a map of ``h`` rows stretched to ``H``, row ``y`` of the result lies at ``(y + 1/2) h / H - 1/2`` of the
map; so for columns. Beyond its border the map goes on as it ends (``padding="edge"``; this is torch's
``interpolate(align_corners=False)``), or is zero. Along each axis a value is ``a + w (b - a)`` between its
neighbors ``a`` and ``b``, each operation rounded on its own: the result is the same bit for bit on every device, in
every batch, and never leaves the range of the map.

A map is *framed* by one more point on each side. A *cell* is what lies between four neighboring points of it. No pixel
in it exceeds the largest of the four, so that only cells with a corner above the level are looked into: at a level that
few pixels exceed, few cells.

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
"""Pixels interpolated at once: on CPU so that they stay in its cache."""


PHASE = 16
"""So many samples look at the same diagonals of pixels, so that several of a batch are interpolated at once."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Some pixels of upsampled activations.

    Args:
        sample: int64 ``[pixel]``, row of the batch.
        unit: int64 ``[pixel]``, channel.
        value: float32 ``[pixel]``, the upsampled activation there.
        mark: Of the marks' type ``[pixel]``, what the sample's map of marks says there.
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
        size: Rows and columns to reach, each 1 or more; may be fewer than there are.
        step: Return every ``step``-th row and column only.
        start: The first row and the first column to return.
        padding: What is beyond a map's border.

    Returns:
        float32 ``[batch, unit, H, W]``, with ``ceil((H - start) / step)`` rows and so many columns.

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
    """Interpolate every few pixels only, in each sample others, so that no place counts for more than another.

    A coarser map would not do: it misses the peaks of fine layers. Which pixels are looked at depends on the index of
    the sample alone; all places have their turn within 16 ``step`` samples.

    Args:
        activation: float32 ``[batch, unit, h, w]``, finite.
        first: Index of the first sample.
        size: Rows and columns of an upsampled map.
        step: From pixel to pixel, along both axes; odd.
        padding: What is beyond a map's border.

    Returns:
        float32 ``[unit, pixel]``; int64 ``[pixel]``, where each is in ``[batch, H, W]``, flattened.
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
    """Return the step at which `sample_pixels` looks at about so many of each sample."""
    return max(1, round(math.sqrt(size[0] * size[1] / num_pixels))) | 1


def frame_maps(
    activation: Float32[Tensor, "batch unit h w"], padding: Padding
) -> Float32[Tensor, "batch unit h+2 w+2"]:
    """Return maps with one more point on each side: the nearest one, or zero."""
    maps = activation.flatten(0, 1)[:, None]
    framed = pad(maps, (1, 1, 1, 1), mode="constant" if padding == "zeros" else "replicate")
    return framed.reshape(*activation.shape[:2], *framed.shape[2:])


def find_pixels_above(
    framed: Float32[Tensor, "batch unit framed_h framed_w"],
    level: Float32[Tensor, " unit"],
    marks: Int[Tensor, "batch H W"],
) -> Iterator[Pixels]:
    """Find the pixels of the upsampled maps that lie strictly above each unit's level.

    Args:
        framed: float32 ``[batch, unit, h + 2, w + 2]``, finite; from `frame_maps`.
        level: float32 ``[unit]``.
        marks: Whole numbers ``[batch, H, W]``, of any integer type; what is wanted to be known of each pixel.

    Yields:
        Pixels, each once, some cells at a time.

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
    """The cells of a map that is stretched; those of rows and columns where no pixel lies are not used.

    Args:
        row: int64 ``[cell]``, which row of cells it belongs to.
        column: int64 ``[cell]``, which column.
        corner: int64 ``[cell]``, where in a framed map its upper left corner is.
        pixel: int64 ``[pixel, cell]``, ``y * W + x`` of each pixel in it; anything where it has fewer than others.
        down: float32 ``[pixel, row]``, how far a row of pixels lies below the corner; NaN where there is none.
        right: float32 ``[pixel, column]``, how far a column of pixels lies right of it; NaN where there is none.
        used: bool ``[row, column]``, whether there are any pixels.
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
    """Return the cells of maps of a shape that are stretched to a size."""
    with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
        (y, down), (x, right) = (_make_slots(length, target) for length, target in zip(shape, size, strict=True))
        row = torch.arange(shape[0] + 1, device="cpu").repeat_interleave(shape[1] + 1)
        column = torch.arange(shape[1] + 1, device="cpu").repeat(shape[0] + 1)
        pixel = (y[:, None, row] * size[1] + x[None, :, column]).flatten(0, 1)
        used = ~(down.isnan().all(0)[:, None] | right.isnan().all(0))
        parts = (row, column, row * (shape[1] + 2) + column, pixel, down, right, used)
        return _Cells(*(part.contiguous().to(device) for part in parts))


def _make_slots(length: int, target: int) -> tuple[Tensor, Tensor]:
    """Return which points lie in each of the ``length + 1`` gaps along an axis, ``[slot, gap]``, and how far in."""
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
    """Return which of ``target`` points lie between which entries of a framed axis, and how far in.

    Gap 0 is before the first of ``length`` entries, gap ``length`` behind the last.

    Returns:
        int64 ``[length + 2]``, the first point of each gap, and the number of points; float32 ``[target]``.
    """
    with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
        gap, weight = _find_neighbors(length, range(target), target, torch.device("cpu"))
        return torch.searchsorted(gap, torch.arange(length + 2, device="cpu")), weight


def _interpolate_cells(corners: Tensor, cells: _Cells, cell: Tensor, first: Tensor, pitch: int) -> Tensor:
    """Interpolate within cells, to ``[pixel, cell]``, in the order in which `_stretch` does: down, then right.

    Args:
        corners: float32 ``[point]``, framed maps.
        cells: What cells look like.
        cell: int64 ``[cell]``, which one each is.
        first: int64 ``[cell]``, where in ``corners`` its upper left corner is.
        pitch: From there to the lower left corner.
    """
    left, right, low_left, low_right = (corners[first + step] for step in (0, 1, pitch, pitch + 1))
    down, across = cells.down.index_select(1, cells.row[cell]), cells.right.index_select(1, cells.column[cell])
    start = (low_left - left).mul(down).add_(left)
    rise = (low_right - right).mul(down).add_(right).sub_(start)
    return (rise[:, None] * across).add_(start[:, None]).flatten(0, 1)


def _chunk_size(num_pixels: int, device: torch.device) -> int:
    """Return how many maps or cells of so many pixels to interpolate at once."""
    return max(1, CHUNK_PIXELS.get(device.type, 2**22) // num_pixels)


def _stretch(maps: Tensor, size: tuple[int, int], step: int, start: tuple[int, int]) -> Tensor:
    """Interpolate framed ``[h + 2, w + 2, map]`` to ``[H, W, map]``; maps come last for the sake of speed."""
    for axis, (length, first) in enumerate(zip(size, start, strict=True)):
        low, weight = _find_neighbors(maps.shape[axis] - 2, range(first, length, step), length, maps.device)
        below = maps.index_select(axis, low)
        rise = maps.index_select(axis, low + 1).sub_(below)
        maps = rise.mul_(weight.reshape([-1 if dim == axis else 1 for dim in range(3)])).add_(below)
    return maps


@lru_cache(maxsize=64)
def _find_neighbors(length: int, points: range, target: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return, for some of ``target`` points, the entry of a framed axis before each, and how far it lies behind."""
    with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
        place = (torch.tensor(points, dtype=torch.float64, device="cpu") + 0.5) * length / target + 0.5
        low = place.floor().clamp(max=length)
        return low.long().to(device), (place - low).float().to(device)


def _true_positions(mask: Tensor) -> Tensor:
    """Return where a mask is true, counted row by row."""
    if mask.device.type == "cpu":  # numpy needs a third of the time of torch here
        return torch.from_numpy(mask.numpy().reshape(-1).nonzero()[0])
    return mask.reshape(-1).nonzero().squeeze(1)
