"""Pointwise functions of continuous signals: resampled to a finer grid, applied, low-pass filtered, resampled back.

A grid contains samples ``x`` of a signal with frequencies below half the sampling rate. A pointwise function adds
higher frequencies. A grid that is ``up`` times finer can represent them, and the filter before downsampling removes
those that the coarser grid cannot represent.

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 2 and 3.1, Appendix C.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

BETA = 8.0
"""Shape of the Kaiser window, which gives `lowpass` a stop-band attenuation of about 80 dB."""


def lowpass(taps: int, factor: int) -> Float[Tensor, " tap"]:
    """Return a filter that keeps the lower ``1 / factor`` of the frequencies: a Kaiser-windowed sinc with sum 1.

    Args:
        taps: Length of the filter, at least 1.
        factor: Resampling factor, at least 1.

    Source: Karras et al. 2021, Appendix C.
    """
    places = torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=BETA, dtype=torch.float64, device="cpu")
    row = torch.sinc(places / factor) * window
    return torch.empty(taps, dtype=torch.float32).copy_(row / row.sum())  # on the default device, which may be meta


def apply_on_finer_grid(
    x: Float[Tensor, "batch unit n n"],
    function: Callable[[Tensor], Tensor],
    up: tuple[int, Float[Tensor, " up_tap"] | None],
    down: tuple[int, Float[Tensor, " down_tap"] | Float[Tensor, "down_tap down_tap"] | None],
    side: int,
) -> Float[Tensor, "batch unit side side"]:
    """Apply a pointwise function to a signal on a finer grid with the same center.

    Args:
        x: Samples of the signal, zero outside.
        function: Pointwise function.
        up: Upsampling factor and its filter, ``[tap]`` for both rows and columns.
        down: Downsampling factor and its filter, ``[tap]``, or ``[tap, tap]`` for both axes jointly. Filters are
            symmetric; None means no filter.
        side: Height and width of the output grid.

    Source: Karras et al. 2021, Sec. 3.1, Fig. 4a.
    """
    (finer, rise), (coarser, fall) = up, down
    rise_taps, fall_taps = 1 if rise is None else len(rise), 1 if fall is None else len(fall)
    x = function(_cut(_upsample(x, finer, rise), _span(x.shape[3], finer, rise_taps, coarser, fall_taps, side)))
    return _downsample(x, coarser, fall)


def _span(n: int, up: int, up_taps: int, down: int, down_taps: int, side: int) -> tuple[int, int]:
    """Return the range of samples of the fine grid that determine the output grid.

    The input and output grids share their center. Input sample ``i`` is at ``i up + (up_taps - 1) / 2`` on the fine
    grid, counted from the first sample that the filter reaches, and output sample ``o`` is centered at
    ``start + o down + (down_taps - 1) / 2``. Equating the centers gives
    ``start = ((n - 1) up + up_taps - (side - 1) down - down_taps) / 2``, rounded down.
    """
    start = ((n - 1) * up + up_taps - (side - 1) * down - down_taps) // 2
    return start, start + (side - 1) * down + down_taps


def _cut(x: Tensor, span: tuple[int, int]) -> Tensor:
    """Crop rows and columns to a range, padding with zeros."""
    start, stop = span
    sides = (-start, stop - x.shape[3])
    return functional.pad(x, sides + sides)


def _upsample(x: Tensor, factor: int, row: Tensor | None) -> Tensor:
    """Insert zeros between samples and filter them, preserving the mean."""
    if row is None:
        return x
    kernel = (row * factor).to(x.dtype)
    for axis in (2, 3):
        strides = (factor, 1) if axis == 2 else (1, factor)
        x = functional.conv_transpose2d(x, _orient(kernel, axis, x.shape[1]), stride=strides, groups=x.shape[1])
    return x


def _downsample(x: Tensor, factor: int, kernel: Tensor | None) -> Tensor:
    """Filter and take every ``factor``-th sample."""
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
    """Return a filter along rows or columns as the kernel of a depthwise convolution."""
    shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
    return row.view(shape).expand(units, *[-1] * 3).contiguous()
