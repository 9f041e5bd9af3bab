"""Counting pixels above a level on the CPU in one go, compiled by Numba where that is installed.

It finds the pixels that `upsampling.find_pixels_above` finds, by the same operations in the same order, each rounded
on its own, and counts them as `BinnedCounts.update` does: bit for bit the same, without the arrays in between.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int, Int32, Int64
from torch import Tensor

from ...inference.upsampling import locate_in_gaps
from ...stats.quantiles import BinScale

PARTNER_BIT = 15
PARTNER = 1 << PARTNER_BIT
"""A pixel's mark is its label, plus this times the label there in the partner; both counted from 0, which is none."""


def count_bins(
    framed: Float32[Tensor, "batch unit framed_h framed_w"],
    highest: Float32[Tensor, "batch unit"],
    level: Float32[Tensor, " unit"],
    scale: BinScale,
    marks: Int32[Tensor, "batch H W"],
    group: Int64[Tensor, " batch"],
    counts: tuple[Int[Tensor, "group unit bin label"], Int[Tensor, "group unit bin label"]],
) -> bool:
    """Count the pixels above each unit's level, by bin, if they are on the CPU and Numba is there.

    Args:
        framed: float32 ``[batch, unit, h + 2, w + 2]``, finite; from `upsampling.frame_maps`.
        highest: float32 ``[batch, unit]``, the highest value of each map.
        level: float32 ``[unit]``.
        scale: How a value's bin is found.
        marks: int32 ``[batch, H, W]``.
        group: int64 ``[batch]``, of each sample.
        counts: Whole numbers ``[group, unit, bin + 1, label + 1]`` each, to which pixels are added: to the first
            by their own label, to the second by the other one.

    Returns:
        Whether they were counted.
    """
    kernel = _kernel() if framed.device.type == "cpu" else None
    if kernel is None:
        return False
    units, threads = framed.shape[1], torch.get_num_threads()
    axes = [
        locate_in_gaps(length - 2, target) for length, target in zip(framed.shape[2:], marks.shape[1:], strict=True)
    ]
    bins = (scale.by_value, scale.origin, scale.scale)
    maps = [tensor.numpy() for tensor in (framed, highest, level, *bins, marks, group)]
    tables = [table.numpy() for axis in axes for table in axis]
    share = -(-units // threads)
    parts = [(first, min(first + share, units)) for first in range(0, units, share)]

    def run(part: tuple[int, int]) -> None:
        kernel(*part, *maps, *tables, *(count.numpy() for count in counts))

    if len(parts) == 1:
        run(parts[0])
    else:
        list(_pool(threads).map(run, parts))  # no two threads touch the same unit
    return True


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gandissect")


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None] | None:
    """Return the compiled loop; None if Numba is not installed."""
    try:
        from numba import njit
    except ImportError:
        return None
    try:
        compiled: Callable[..., None] = njit(nogil=True, cache=True)(_count_units)
    except RuntimeError:  # there is no folder that the cache could be written to
        compiled = njit(nogil=True)(_count_units)
    return compiled


def _count_units(
    first: int,
    last: int,
    framed: Any,
    highest: Any,
    level: Any,
    by_value: Any,
    origin: Any,
    scale: Any,
    marks: Any,
    group: Any,
    row_start: Any,
    down: Any,
    column_start: Any,
    right: Any,
    own: Any,
    exchanged: Any,
) -> None:
    """Count the pixels of units ``first`` to ``last - 1``; cells and their corners are those of `upsampling`."""
    batch, _, rows, columns = framed.shape
    last_bin, low_bits, flip = own.shape[2] - 1, np.int32(PARTNER - 1), np.int32(0x7FFFFFFF)
    for unit in range(first, last):
        lowest, whole, begin, share = level[unit], by_value[unit], origin[unit], scale[unit]
        for sample in range(batch):
            if not highest[sample, unit] > lowest:
                continue
            counts, exchanged_counts = own[group[sample], unit], exchanged[group[sample], unit]
            grid, marks_of_sample = framed[sample, unit], marks[sample]
            for cell_row in range(rows - 1):
                if row_start[cell_row] == row_start[cell_row + 1]:
                    continue
                upper, lower = grid[cell_row], grid[cell_row + 1]
                b, d = upper[0], lower[0]
                for cell_column in range(columns - 1):
                    a, c = b, d
                    b, d = upper[cell_column + 1], lower[cell_column + 1]
                    if not (a > lowest or b > lowest or c > lowest or d > lowest):
                        continue
                    for y in range(row_start[cell_row], row_start[cell_row + 1]):
                        left = (c - a) * down[y] + a
                        rise = ((d - b) * down[y] + b) - left
                        if left <= lowest and left + rise <= lowest:
                            continue
                        x, stop, step = column_start[cell_column], column_start[cell_column + 1], 1
                        if rise > 0:  # values never fall along a row, or never rise: begin where they are high
                            x, stop, step = stop - 1, x - 1, -1
                        while x != stop:
                            value = rise * right[x] + left
                            if not value > lowest:
                                break
                            point = np.float64(value)
                            if not whole:  # as `quantiles.to_keys` does
                                bits = np.float32(value + np.float32(0)).view(np.int32)
                                point = np.float64(bits ^ flip if bits < 0 else bits)
                            place = int(min(np.ceil((point - begin) * share), last_bin))  # as `quantiles.bin_of`
                            mark = marks_of_sample[y, x]
                            counts[place, mark & low_bits] += 1
                            exchanged_counts[place, mark >> PARTNER_BIT] += 1
                            x += step
