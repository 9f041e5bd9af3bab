"""Upsample maps and count the pixels above a level in a single loop on the CPU, compiled by Numba if it is installed.

The loop finds the pixels of `upsampling.find_pixels_above` by the same operations in the same order, with the same
rounding, and counts them like `BinnedCounts.update`: the counts are equal bit for bit, without intermediate arrays.
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
"""A pixel's mark is ``label + PARTNER * partner_label``, with labels from 1 and 0 for an unlabeled pixel."""


def count_bins(
    framed: Float32[Tensor, "batch unit framed_h framed_w"],
    highest: Float32[Tensor, "batch unit"],
    level: Float32[Tensor, " unit"],
    scale: BinScale,
    marks: Int32[Tensor, "batch H W"],
    group: Int64[Tensor, " batch"],
    counts: tuple[Int[Tensor, "group unit bin label"], Int[Tensor, "group unit bin label"]],
) -> bool:
    """Count the pixels above each unit's level, by bin, if the maps are on the CPU and Numba is installed.

    Args:
        framed: Maps with a border from `upsampling.frame_maps`, float32 ``[batch, unit, h + 2, w + 2]``, finite.
        highest: Maximum of each map, float32 ``[batch, unit]``.
        level: Level above which a unit's pixels are counted, float32 ``[unit]``.
        scale: Scale that converts a value to its bin.
        marks: Marks of the pixels, int32 ``[batch, H, W]``.
        group: Group of each sample, int64 ``[batch]``.
        counts: Two integer tables, ``[group, unit, bin + 1, label + 1]`` each, that are updated in place: the first by
            the pixels' own labels, the second by the labels of the partners.

    Returns:
        Whether the pixels were counted.
    """
    kernel = _compile_kernel() if framed.device.type == "cpu" else None
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
        list(_get_pool(threads).map(run, parts))  # no two threads touch the same unit
    return True


@lru_cache(maxsize=4)
def _get_pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gandissect")


@lru_cache(maxsize=1)
def _compile_kernel() -> Callable[..., None] | None:
    """Return the compiled loop; None if Numba is not installed."""
    try:
        from numba import njit
    except ImportError:
        return None
    try:
        compiled: Callable[..., None] = njit(nogil=True, cache=True)(_count_units)
    except RuntimeError:  # no folder is writable for the cache
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
    """Count the pixels of units ``first`` to ``last - 1``; cells and corners are defined as in `upsampling`."""
    batch, _, rows, columns = framed.shape
    last_bin, low_bits, flip = own.shape[2] - 1, np.int32(PARTNER - 1), np.int32(0x7FFFFFFF)
    for unit in range(first, last):
        lowest, whole, begin, share = level[unit], by_value[unit], origin[unit], scale[unit]
        for sample in range(batch):
            if not highest[sample, unit] > lowest:
                continue
            counts, exchanged_counts = own[group[sample], unit], exchanged[group[sample], unit]
            grid, sample_marks = framed[sample, unit], marks[sample]
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
                        if rise > 0:  # values are monotone along the row: start at the high end
                            x, stop, step = stop - 1, x - 1, -1
                        while x != stop:
                            value = rise * right[x] + left
                            if not value > lowest:
                                break
                            point = np.float64(value)
                            if not whole:  # like `quantiles.to_keys`
                                bits = np.float32(value + np.float32(0)).view(np.int32)
                                point = np.float64(bits ^ flip if bits < 0 else bits)
                            index = int(min(np.ceil((point - begin) * share), last_bin))  # like `quantiles.bin_of`
                            mark = sample_marks[y, x]
                            counts[index, mark & low_bits] += 1
                            exchanged_counts[index, mark >> PARTNER_BIT] += 1
                            x += step
