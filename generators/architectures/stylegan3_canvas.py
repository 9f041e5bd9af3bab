"""Grids that are wider than the image, and what the layers of StyleGAN3 do with them.

A layer's canvas has a margin on each side of the part that the image shows, so that what is at its border is nowhere
near that of the image. Only the part that is shown is read and edited. The margin stays what it is without edits, but
for a unit that is given one value wherever it is shown: it then has that value on all of the canvas.

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
"""A file could ask for any canvas, and for any filter."""


@dataclass(slots=True)
class LayerCanvas(Styles):
    """What layers are given besides the part of the canvas that the image shows; no layer adds noise.

    Args:
        whole: The activations before on all of the canvas, without edits; None where they have no margin.
    """

    whole: Float[Tensor, "batch unit side side"] | None = None

    def fill_margin(self, shown: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit side side"]:
        """Return what is given to a layer: what the image shows, perhaps edited, with its margin."""
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
        """Keep a layer's activations for the next one, and return those that the image shows."""
        self.whole = None if whole.shape[3] == side else whole
        return crop_middle(whole, side)


def crop_middle(whole: Float[Tensor, "batch unit n n"], side: int) -> Float[Tensor, "batch unit h w"]:
    """Return the middle of a canvas."""
    margin = (whole.shape[3] - side) // 2
    return whole[:, :, margin : margin + side, margin : margin + side].contiguous() if margin else whole


@dataclass(frozen=True, slots=True)
class Filtering:
    """What a layer is made of, but for its weights.

    Args:
        units: Channels that it returns.
        side: Height and width of its canvas.
        kernel: Of its convolution, 1 or 3.
        up: How many times as fine the grid of its leaky ReLU is as that of what it is given.
        up_taps: Length of the filter that fills it.
        down: How many times as fine it is as that of what it returns.
        down_taps: Length of the filter before that.
        radial: That filter is one of both axes at once, ``[tap, tap]``.

    Raises:
        TypeError: If one is no whole number.
        ValueError: If one is out of range.
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
            raise TypeError(f"a layer is described by whole numbers; got {self}")
        if self.units < 1 or not 1 <= self.side <= MAX_SIDE or self.kernel not in (1, 3):
            raise ValueError(f"a layer has 1 unit or more, side 1 to {MAX_SIDE}, kernel 1 or 3; got {self}")
        if min(numbers) < 1 or max(self.up, self.down, self.up_taps, self.down_taps) > MAX_TAPS:
            raise ValueError(f"a layer's grids are 1 to {MAX_TAPS} times as fine, its filters as long; got {self}")


def rates_of(size: int, filterings: Sequence[Filtering]) -> list[int]:
    """Return how many samples the image is wide in the first layer and in each further one.

    Raises:
        ValueError: If one is no whole number.
    """
    rates = [size]
    for filtering in reversed(filterings):
        before, rest = divmod(rates[0] * filtering.down, filtering.up)
        if rest or not before:
            fraction = f"{rates[0] * filtering.down}/{filtering.up}"
            raise ValueError(f"what leads to {rates[0]} samples, {filtering}, would be given {fraction}")
        rates.insert(0, before)
    return rates


def check_canvases(size: int, rates: Sequence[int], sides: Sequence[int]) -> None:
    """Refuse canvases that do not hold the image in their middle, or a last one with a margin.

    Raises:
        ValueError: Naming the first.
    """
    for rate, side in zip(rates, sides, strict=True):
        if not rate <= side <= MAX_SIDE or (side - rate) % 2:
            raise ValueError(f"a canvas of {side} cannot hold an image of {rate} samples in its middle")
    if len(sides) < 2 or sides[-1] != size:
        raise ValueError(f"the canvas of the last layer is the image, {size}; got {list(sides)}")
