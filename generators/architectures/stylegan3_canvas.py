"""Canvases of StyleGAN3: grids larger than the image.

A layer's canvas has a margin around its visible part, the image, to keep boundary effects away from the image. Only the
visible part is returned and edited. The margin keeps its unedited values, with one exception: a unit that is set to one
value on the whole visible part has that value on the whole canvas.

Source: Karras et al. 2021, arXiv 2106.12423, Sec. 3.1 (boundaries), Sec. 3.2 (the layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .stylegan import Styles

MAX_SIDE, MAX_TAPS = 4096, 256
"""Limits on the side of a canvas and the length of a filter, since a file could ask for any."""


@dataclass(slots=True)
class LayerCanvas(Styles):
    """Inputs of StyleGAN3's layers besides the visible part of the canvas; no layer adds noise.

    Args:
        whole: Unedited activations of the previous layer on the whole canvas; None if it has no margin.
    """

    whole: Float[Tensor, "batch unit side side"] | None = None

    def fill_margin(self, shown: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit side side"]:
        """Add the margin to the visible part, which may be edited, and return the canvas."""
        if self.whole is None:
            return shown
        before = crop_middle(self.whole, shown.shape[3])
        first = shown[:, :, :1, :1]
        flat = (shown == first).all(dim=3, keepdim=True).all(dim=2, keepdim=True)
        changed = (shown != before).any(dim=3, keepdim=True).any(dim=2, keepdim=True)
        margin = (self.whole.shape[3] - shown.shape[3]) // 2
        within = functional.pad(torch.ones_like(shown[:1, :1], dtype=torch.bool), [margin] * 4)
        around = torch.where(flat & changed, first, self.whole)
        return torch.where(within, functional.pad(shown, [margin] * 4), around)

    def show(self, whole: Float[Tensor, "batch unit n n"], side: int) -> Float[Tensor, "batch unit h w"]:
        """Store a layer's activations for the next layer, and return their visible part."""
        self.whole = None if whole.shape[3] == side else whole
        return crop_middle(whole, side)


def crop_middle(whole: Float[Tensor, "batch unit n n"], side: int) -> Float[Tensor, "batch unit h w"]:
    """Return the center of a canvas."""
    margin = (whole.shape[3] - side) // 2
    return whole[:, :, margin : margin + side, margin : margin + side].contiguous() if margin else whole


@dataclass(frozen=True, slots=True)
class Filtering:
    """Settings of a layer, without its weights.

    Args:
        units: Number of output channels.
        side: Height and width of the layer's canvas.
        kernel: Size of the convolution's kernel, 1 or 3.
        up: Upsampling factor before the leaky ReLU.
        up_taps: Length of the upsampling filter.
        down: Downsampling factor after the leaky ReLU.
        down_taps: Length of the downsampling filter.
        radial: Whether the downsampling filter is two-dimensional, ``[tap, tap]``.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range.
    """

    units: int
    side: int
    kernel: int = 3
    up: int = 2
    up_taps: int = 12
    down: int = 2
    down_taps: int = 12
    radial: bool = False

    def __post_init__(self) -> None:
        numbers = (self.units, self.side, self.kernel, self.up, self.up_taps, self.down, self.down_taps)
        if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
            raise TypeError(f"the numbers of a layer must be integers; got {self}")
        if self.units < 1 or not 1 <= self.side <= MAX_SIDE or self.kernel not in (1, 3):
            raise ValueError(f"units must be at least 1, side in [1, {MAX_SIDE}], kernel 1 or 3; got {self}")
        if min(numbers) < 1 or max(self.up, self.down, self.up_taps, self.down_taps) > MAX_TAPS:
            raise ValueError(f"up, down, up_taps and down_taps must be in [1, {MAX_TAPS}]; got {self}")


def rates_of(size: int, filterings: Sequence[Filtering]) -> list[int]:
    """Return the number of samples across the image in each layer, from the first one.

    Raises:
        ValueError: If one is not an integer.
    """
    rates = [size]
    for filtering in reversed(filterings):
        before, rest = divmod(rates[0] * filtering.down, filtering.up)
        if rest or not before:
            fraction = f"{rates[0] * filtering.down}/{filtering.up}"
            raise ValueError(f"the input of {filtering} must have an integer number of samples; got {fraction}")
        rates.insert(0, before)
    return rates


def check_canvases(size: int, rates: Sequence[int], sides: Sequence[int]) -> None:
    """Check that canvases have the image in their center, and that the last one has no margin.

    Raises:
        ValueError: If a canvas does not fit the image; the message names the first such canvas.
    """
    for rate, side in zip(rates, sides, strict=True):
        if not rate <= side <= MAX_SIDE or (side - rate) % 2:
            raise ValueError(f"a canvas of {side} cannot contain an image of {rate} samples in its center")
    if len(sides) < 2 or sides[-1] != size:
        raise ValueError(f"the canvas of the last layer must be the image, {size}; got {list(sides)}")
