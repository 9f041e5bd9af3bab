"""A stack of up-convolutions: DCGANs of any number of stages, kernels, strides and paddings.

``z [z_dim] -> layer1 -> layer2 -> ... -> output [3, H, W]``; a stage is up-convolution, batch normalization and ReLU,
the last one up-convolution and tanh. The first may be linear instead, and is nothing else then.

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
"""One number for height and width, or one for each."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage does.

    Args:
        units: Channels that it returns, 1 or more.
        kernel: Size of the kernel; of what a linear stage returns.
        stride: Pixels of the output between those of the input.
        padding: Pixels cut off on each side.
        output_padding: Pixels added below and to the right; less than the stride.
        linear: Make the grid by a linear map of ``z``, with an offset.
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
        stages: The arguments of one `Stage` after the other; the last has 3 units.

    Raises:
        ValueError: If there are not two stages or more, or a number is out of range.

    Source: Radford et al. 2016, Sec. 3.
    """

    architecture = "stack"

    def __init__(self, z_dim: int, stages: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(z_dim, {"z_dim": z_dim, "stages": [dict(arguments) for arguments in stages]})
        parts = [Stage(**arguments) for arguments in stages]
        if len(parts) < 2 or parts[-1].units != 3 or any(part.linear for part in parts[1:]):
            raise ValueError(
                f"a stack has two stages or more, the last of 3 units, none but the first linear: {stages}"
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
        """Return the matrix of the linear map that ``z`` meets first, ``[units * h * w, z_dim]``."""
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
    """Return height and width of what each stage returns.

    Raises:
        ValueError: If a stage is none, or leaves nothing.
    """
    sides = [(1, 1)]
    for stage in stages:
        kernel, stride, padding, more = map(_pair, (stage.kernel, stage.stride, stage.padding, stage.output_padding))
        if min(stage.units, *kernel, *stride) < 1 or min(*padding, *more) < 0 or any(map(ge, more, stride)):
            raise ValueError(
                "units, kernel and stride are 1 or more, paddings 0 or more, output_padding is less than stride; "
                f"got {stage}"
            )
        grid = [
            (side - 1) * s + k - 2 * p + m
            for side, k, s, p, m in zip(sides[-1], kernel, stride, padding, more, strict=True)
        ]
        sides.append(kernel if stage.linear else (grid[0], grid[1]))
        if min(grid) < 1:
            raise ValueError(f"nothing is left of a grid {sides[-2]} by {stage}")
    return sides[1:]


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
