"""Building blocks of ProGAN, StyleGAN and StyleGAN2.

Weights are drawn from N(0, 1) and multiplied at run time by He's constant ``gain / sqrt(fan_in)``, so that an optimizer
whose step does not depend on the scale of the gradient trains all layers equally fast.

Source: Karras et al. 2018, arXiv 1710.10196, Sec. 4; Karras et al. 2019, arXiv 1812.04948, Sec. 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

SQRT2 = math.sqrt(2)
NORM_EPS = 1e-8
"""Default constant that adaptive instance normalization adds to variances."""
SIZES = tuple(2**k for k in range(3, 11))
"""Possible heights and widths of images in networks that repeatedly double a 4 x 4 grid."""

Resample = Literal["none", "up", "down"]


class EqualizedConv2d(nn.Module):
    """A convolution with equalized learning rate, optionally fused with a resampling by two.

    ``up`` is nearest-neighbor upsampling before the convolution, ``down`` averaging of 2 x 2 pixels after it. Either is
    one strided convolution with a 4 x 4 kernel, the sum or average of shifted copies of the 3 x 3 kernel: the same
    linear map at 4/9 of the cost.

    Args:
        before: Number of input channels.
        after: Number of output channels.
        kernel: Height and width of the kernel: 1, 3 or 4; 3 with resampling.
        padding: Number of zeros on each side.
        gain: He's gain: sqrt(2) before a leaky ReLU, 1 otherwise.
        resample: ``none``, ``up`` or ``down``.
        bias: Add one bias per channel.

    Raises:
        ValueError: If a resampling kernel is not 3 x 3 with padding 1.

    Source: Karras et al. 2018, Sec. 4.1; fusion as in their Sec. 2 (``fused_scale``).
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        padding: int = 0,
        *,
        gain: float = SQRT2,
        resample: Resample = "none",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if resample != "none" and (kernel, padding) != (3, 1):
            raise ValueError(f"resampling must have a 3 x 3 kernel and padding 1; got {kernel}, {padding}")
        self.weight = nn.Parameter(draw_normal(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale = gain / math.sqrt(before * kernel**2)
        self.padding, self.resample = padding, resample

    def forward(self, x: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch after _ _"]:
        """Convolve."""
        if self.resample == "none":
            return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)
        if self.resample == "down":
            return functional.conv2d(x, _spread(self.weight * (self.scale / 4)), self.bias, stride=2, padding=1)
        weight = _spread(self.weight.flip(2, 3) * self.scale).transpose(0, 1)
        return functional.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)


class EqualizedLinear(nn.Module):
    """A linear map with equalized learning rate.

    Args:
        before: Length of the input.
        after: Length of the output.
        gain: He's gain.
        rate: Factor on the learning rate of weight and bias; 0.01 in StyleGAN's mapping network.
        bias: Initial value of the bias.

    Source: Karras et al. 2018, Sec. 4.1; ``rate``: Karras et al. 2019, Appendix C.
    """

    def __init__(self, before: int, after: int, *, gain: float = SQRT2, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw_normal(after, before, rate=rate))
        self.bias = nn.Parameter(torch.full((after,), bias / rate, dtype=torch.float32))
        self.scale, self.rate = gain * rate / math.sqrt(before), rate

    @property
    def matrix(self) -> Float[Tensor, "after before"]:
        """Effective weight, ``[after, before]``."""
        return self.weight * self.scale

    def forward(self, x: Float[Tensor, "batch before"]) -> Float[Tensor, "batch after"]:
        """Multiply and add."""
        return functional.linear(x, self.matrix, self.bias * self.rate)


class PixelNorm(nn.Module):
    """Division of each pixel's vector of units by its root mean square.

    Source: Karras et al. 2018, Sec. 4.2.
    """

    def forward(self, x: Float[Tensor, "batch unit *grid"]) -> Float[Tensor, "batch unit *grid"]:
        """Normalize, in float32."""
        return x * _inverse_norm(x.float(), dim=1).to(x.dtype)


class MinibatchStd(nn.Module):
    """One more channel, with the standard deviation within a group of images.

    Groups are consecutive images, so the result does not depend on the number of processes that share a batch, as long
    as each has whole groups.

    Source: Karras et al. 2018, Sec. 3.
    """

    GROUP = 4
    """Number of images in a group; the last group may be smaller."""

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch _ h w"]:
        """Append the mean, over units and pixels, of the standard deviation over the images of a group."""
        spread = [
            self._spread(group).expand(len(group), 1, *x.shape[2:]) for group in torch.split(x.float(), self.GROUP)
        ]
        return torch.cat([x, torch.cat(spread).to(x.dtype)], dim=1)

    @staticmethod
    def _spread(group: Tensor) -> Tensor:
        return (group.var(dim=0, correction=0) + 1e-8).sqrt().mean().reshape(1, 1, 1, 1)


class Blur(nn.Module):
    """The separable binomial filter [1, 2, 1] / 4, zeros outside.

    Source: Karras et al. 2019, Sec. 2 (bilinear up- and downsampling).
    """

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Filter."""
        filtered: Tensor = _Binomial.apply(x)
        return filtered


class _Binomial(torch.autograd.Function):
    """A self-adjoint filter; torch's gradient of a depthwise convolution is ten times slower on a CPU."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        row = x.new_tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3).contiguous()
        return functional.conv2d(x, kernel, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        filtered: Tensor = _Binomial.apply(gradient)
        return filtered


def adaptive_instance_norm(
    x: Float[Tensor, "batch unit h w"],
    scale: Float[Tensor, "batch unit"],
    offset: Float[Tensor, "batch unit"],
    eps: float = NORM_EPS,
) -> Float[Tensor, "batch unit h w"]:
    """Give each unit of each image mean ``offset`` and standard deviation ``scale``, in float32.

    Source: Huang and Belongie 2017, Eq. 8; Karras et al. 2019, Eq. 1.
    """
    together = x.float().reshape(1, -1, *x.shape[2:])  # every unit of every image is a channel of one batch norm
    weight, bias = scale.float().flatten(), offset.float().flatten()
    normal = functional.batch_norm(together, None, None, weight, bias, training=True, eps=eps)
    return normal.reshape(x.shape).to(x.dtype)


def draw_normal(*shape: int, rate: float = 1.0) -> Float32[Tensor, "*shape"]:
    """Return samples of N(0, 1) divided by ``rate``; on the meta device, an empty tensor of that shape.

    The second case is an optimization: to draw on the meta device, torch imports a thousand modules.
    """
    numbers = torch.empty(shape, dtype=torch.float32)
    return numbers if numbers.is_meta else numbers.normal_() / rate


def double(images: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit _ _"]:
    """Repeat each pixel twice in height and width."""
    return images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def depth_of(size: int) -> int:
    """Return the number of doublings from a 4 x 4 grid to a size.

    Raises:
        ValueError: If the size is not a power of two from 8 to 1024.
    """
    if size not in SIZES:
        raise ValueError(f"size must be a power of two from {SIZES[0]} to {SIZES[-1]}; got {size}")
    return size.bit_length() - 3


def units_of(size: int, width: int | Sequence[int], max_width: int) -> list[int]:
    """Return the units at 4 x 4, 8 x 8, ... ``size`` x ``size``.

    Args:
        size: Height and width of the last grid, a power of two from 8 to 1024.
        width: Number of units of the last grid, doubled toward the first up to ``max_width``; or a list of the numbers
            of all grids.
        max_width: Maximum number of units.

    Raises:
        ValueError: If a number is out of range.
    """
    depth = depth_of(size)
    if not isinstance(width, int):
        if len(width) != depth + 1 or not all(1 <= units <= max_width for units in width):
            raise ValueError(f"width must be {depth + 1} numbers in [1, max_width]; got {width}, max_width {max_width}")
        return list(width)
    if not 1 <= width <= max_width:
        raise ValueError(f"width must be in [1, max_width]; got {width}, max_width {max_width}")
    return [min(max_width, width * 2 ** (depth - level)) for level in range(depth + 1)]


def width_of(units: Sequence[int]) -> dict[str, int | list[int]]:
    """Return the settings ``width`` and ``max_width`` for these numbers of units at 4 x 4, 8 x 8, ..."""
    regular = [min(max(units), units[-1] * 2**level) for level in reversed(range(len(units)))] == list(units)
    return {"width": units[-1] if regular else list(units), "max_width": max(units)}


def _inverse_norm(x: Tensor, dim: int) -> Tensor:
    return (x.square().mean(dim=dim, keepdim=True) + 1e-8).rsqrt()


def _spread(weight: Tensor) -> Tensor:
    """Return the 4 x 4 kernels that sum four copies of 3 x 3 kernels, shifted by 0 or 1 pixel."""
    wide = functional.pad(weight, (1, 1, 1, 1))
    rows = wide[:, :, 1:] + wide[:, :, :-1]
    return rows[:, :, :, 1:] + rows[:, :, :, :-1]


def spread_channels(values: Float[Tensor, "*batch unit"], like: Tensor) -> Float[Tensor, "*batch unit 1 1"]:
    """Add two grid axes to one value per channel, in the dtype of ``like``."""
    return values[..., None, None].to(like.dtype)
