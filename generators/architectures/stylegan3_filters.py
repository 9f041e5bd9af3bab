"""Pointwise functions of continuous signals: resampled to a finer grid, applied, low-pass filtered, resampled back.

A grid holds samples ``x`` of a signal whose frequencies lie below half the sampling rate. A function of each sample
makes new frequencies; on a grid ``up`` times as fine there is room for them, and the filter in front of the coarser
grid removes those that it could not hold.

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 2 and 3.1, Appendix C.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

BETA = 8.0
"""Of the Kaiser window: the stop band of `lowpass` is about 80 dB down."""


def lowpass(taps: int, factor: int) -> Float[Tensor, " tap"]:
    """Return a filter that keeps the lower ``1 / factor`` of the frequencies: a sinc in a Kaiser window, of sum 1.

    Args:
        taps: How long, 1 or more.
        factor: 1 or more.

    Source: Karras et al. 2021, Appendix C.
    """
    places = torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=BETA, dtype=torch.float64, device="cpu")
    row = torch.sinc(places / factor) * window
    return torch.empty(taps, dtype=torch.float32).copy_(row / row.sum())  # where networks are built


def apply_on_finer_grid(
    x: Float[Tensor, "batch unit n n"],
    function: Callable[[Tensor], Tensor],
    up: tuple[int, Float[Tensor, " up_tap"] | None],
    down: tuple[int, Float[Tensor, " down_tap"] | Float[Tensor, "down_tap down_tap"] | None],
    side: int,
) -> Float[Tensor, "batch unit side side"]:
    """Apply a function to a signal on a finer grid, about the same middle.

    Args:
        x: Samples; there are zeros outside.
        function: Of each sample.
        up: How many times as fine the grid is, and the filter that fills it, ``[tap]`` for rows and columns.
        down: How many times as coarse the last grid is, and the filter in front of it, ``[tap]``, or ``[tap, tap]`` for
            both at once. Filters are symmetric; None is none.
        side: Height and width of the last grid.

    Source: Karras et al. 2021, Sec. 3.1, Fig. 4a.
    """
    (finer, rise), (coarser, fall) = up, down
    rise_taps, fall_taps = 1 if rise is None else len(rise), 1 if fall is None else len(fall)
    x = function(_cut(_upsample(x, finer, rise), _span(x.shape[3], finer, rise_taps, coarser, fall_taps, side)))
    return _downsample(x, coarser, fall)


def _span(n: int, up: int, up_taps: int, down: int, down_taps: int, side: int) -> tuple[int, int]:
    """Return which samples of the fine grid, counted from the first that the filter reaches, make the last grid.

    The middles of both grids are one place. Sample ``i`` of the first lies at ``i up + (up_taps - 1) / 2`` of the fine
    one, and ``o`` of the last is made of those around ``start + o down + (down_taps - 1) / 2``. So, with i and o in the
    middle, ``start = ((n - 1) up + up_taps - (side - 1) down - down_taps) / 2``, rounded down.
    """
    start = ((n - 1) * up + up_taps - (side - 1) * down - down_taps) // 2
    return start, start + (side - 1) * down + down_taps


def _cut(x: Tensor, span: tuple[int, int]) -> Tensor:
    """Return rows and columns from one number to another, zeros where there are none."""
    start, stop = span
    sides = (-start, stop - x.shape[3])
    return functional.pad(x, sides + sides)


def _upsample(x: Tensor, factor: int, row: Tensor | None) -> Tensor:
    """Put zeros between samples and filter them, as bright as before."""
    if row is None:
        return x
    kernel = (row * factor).to(x.dtype)
    for axis in (2, 3):
        strides = (factor, 1) if axis == 2 else (1, factor)
        x = functional.conv_transpose2d(x, _orient(kernel, axis, x.shape[1]), stride=strides, groups=x.shape[1])
    return x


def _downsample(x: Tensor, factor: int, kernel: Tensor | None) -> Tensor:
    """Filter and take each ``factor``-th sample."""
    if kernel is None:
        return x[:, :, ::factor, ::factor]
    units, kernel = x.shape[1], kernel.to(x.dtype)
    if kernel.ndim == 2:
        return functional.conv2d(x, kernel.expand(units, 1, -1, -1).contiguous(), stride=factor, groups=units)
    for axis in (2, 3):
        strides = (factor, 1) if axis == 2 else (1, factor)
        x = functional.conv2d(x, _orient(kernel, axis, units), stride=strides, groups=units)
    return x


def _orient(row: Tensor, axis: int, units: int) -> Tensor:
    """Return a filter along rows or columns as the kernels of a convolution of each unit."""
    shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
    return row.view(shape).expand(units, *[-1] * 3).contiguous()
