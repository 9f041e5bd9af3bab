"""A stack of up-convolutions: DCGANs with any number of stages, kernels, strides and paddings.

``z [z_dim] -> layer1 -> layer2 -> ... -> output [3, H, W]``; a stage is up-convolution, batch normalization and ReLU,
the last one up-convolution and tanh. The first stage may be only a linear map instead.

Source: Radford et al. 2016, arXiv 1511.06434, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import ge
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from .base import LayeredGenerator

Size = int | Sequence[int]
"""One number for both height and width, or a pair."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Settings of one stage.

    Args:
        units: Number of output channels, at least 1.
        kernel: Size of the kernel, or of the output grid of a linear stage.
        stride: Stride of the up-convolution.
        padding: Number of pixels cropped on each side.
        output_padding: Number of pixels added at the bottom and right; less than the stride.
        linear: Use a linear map of ``z``, with a bias, instead of an up-convolution.
    """

    units: int
    kernel: Size
    stride: Size = 1
    padding: Size = 0
    output_padding: Size = 0
    linear: bool = False


class Stack(LayeredGenerator):
    """A generator of up-convolutions.

    Args:
        z_dim: Length of a latent vector.
        stages: Arguments of each `Stage`, in order; the last must have 3 units.

    Raises:
        ValueError: If there are fewer than two stages, or a number is out of range.

    Source: Radford et al. 2016, Sec. 3.
    """

    architecture = "stack"

    def __init__(self, z_dim: int, stages: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(z_dim, {"z_dim": z_dim, "stages": [dict(arguments) for arguments in stages]})
        parts = [Stage(**arguments) for arguments in stages]
        if len(parts) < 2 or parts[-1].units != 3 or any(part.linear for part in parts[1:]):
            raise ValueError(
                "there must be at least two stages, the last with 3 units, and only the first may be linear; "
                f"got {list(stages)}"
            )
        self.sides, self.first = _sides(parts), parts[0]
        before = z_dim
        for index, part in enumerate(parts[:-1], start=1):
            up = _project(before, part) if part.linear else _up(before, part, bias=False)
            ends = [] if part.linear else [nn.BatchNorm2d(part.units), nn.ReLU()]
            self.add_module(f"layer{index}", nn.Sequential(up, *ends))
            before = part.units
        self.output = nn.Sequential(_up(before, parts[-1], bias=True), nn.Tanh())

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.sides[-1]

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of ``z``, ``[units * h * w, z_dim]``."""
        if self.first.linear:
            return (self.find_part("layer1", "0.1", nn.Linear).weight.detach(),)
        first = self.find_part("layer1", "0", nn.ConvTranspose2d)
        (height, width), (top, left) = self.sides[0], _pair(self.first.padding)
        weight = first.weight.detach()[:, :, top : top + height, left : left + width]
        return (weight.flatten(1).T,)


def _project(before: int, stage: Stage) -> nn.Sequential:
    height, width = _pair(stage.kernel)
    linear = nn.Linear(before, stage.units * height * width)
    return nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (stage.units, height, width)))


def _up(before: int, stage: Stage, bias: bool) -> nn.ConvTranspose2d:
    kernel, stride, padding, more = map(_pair, (stage.kernel, stage.stride, stage.padding, stage.output_padding))
    return nn.ConvTranspose2d(before, stage.units, kernel, stride, padding, more, bias=bias)


def _sides(stages: Sequence[Stage]) -> list[tuple[int, int]]:
    """Return the height and width of each stage's output.

    Raises:
        ValueError: If a stage's settings are invalid, or its output is empty.
    """
    sides = [(1, 1)]
    for stage in stages:
        kernel, stride, padding, more = map(_pair, (stage.kernel, stage.stride, stage.padding, stage.output_padding))
        if min(stage.units, *kernel, *stride) < 1 or min(*padding, *more) < 0 or any(map(ge, more, stride)):
            raise ValueError(
                "units, kernel and stride must be at least 1, paddings at least 0, and output_padding below stride; "
                f"got {stage}"
            )
        grid = [
            (side - 1) * s + k - 2 * p + m
            for side, k, s, p, m in zip(sides[-1], kernel, stride, padding, more, strict=True)
        ]
        sides.append(kernel if stage.linear else (grid[0], grid[1]))
        if min(grid) < 1:
            raise ValueError(f"the output of a stage must not be empty; a grid {sides[-2]} vanishes in {stage}")
    return sides[1:]


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
