"""FastGAN: few convolutions a grid, and small grids that say how much each unit of large ones counts.

``z [z_dim] -> layer1 [c, 4, 4] -> layer2 [c', 8, 8] -> ... -> output [3, size, size]``

Layer 1 is an up-convolution of the normalized ``z``, each later layer doubles the grid: repeated pixels, convolution,
batch normalization and a gated linear unit; in every other layer, from the second on, convolution, noise,
normalization and gate come twice. From 64 x 64 to 512 x 512 a layer's units are multiplied by what its *excitation*
makes of the layer whose grid is 16 times smaller: ``sigmoid(W' swish(W pool(x)))``, one number a unit.

Source: Liu et al. 2021, arXiv 2101.04775, Sec. 3.1, Fig. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .base import LayeredGenerator
from .blocks import PixelNorm, draw_normal
from .generator_base import Latent

Gates = dict[int, Tensor]
"""What units of layers are multiplied by, ``[batch, unit, 1, 1]``, by the number of the layer."""

EXCITED = range(5, 9)
"""Numbers of the layers that are excited, of grids from 64 x 64 to 512 x 512."""


class ExcitedGenerator(LayeredGenerator):
    """A generator whose layers are multiplied by gates that earlier layers make; it has `excitations`, by number."""

    beside = frozenset({"excitations"})
    excitations: nn.ModuleDict
    distance: ClassVar[int]
    """How many layers before a layer the one is that excites it."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        side: int = 4 * 2 ** (len(self.settings["units"]) - 1)
        return side, side

    def context(self, z: Latent) -> Gates:  # noqa: ARG002
        """Return the gates of layers, of which none is known before the first layer."""
        return {}

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Gates
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of one stage; what excites a later layer does so first."""
        self._excite(index, x, context)
        gate = [context[index + 1]] if index + 1 in context else []
        output: Tensor = self._stages[index][1](x, *gate)
        return output

    def context_after(self, z: Latent, position: int) -> Gates:
        """Return the gates that the layers before that position make."""
        context = self.context(z)
        self._excite(position, self.run(self.input(z), context, 0, position), context)
        return context

    def _excite(self, number: int, x: Tensor, context: Gates) -> None:
        """Add the gate that a layer makes, by its number, for the layer that it excites."""
        excited = number + self.distance
        if number and str(excited) in self.excitations:
            context[excited] = self.excitations[str(excited)](x)


class ExcitedLayer(nn.Sequential):
    """Modules one after the other, and what they return times a gate, if there is one."""

    def forward(
        self, x: Float[Tensor, "batch before _ _"], gate: Float[Tensor, "batch unit 1 1"] | None = None
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations."""
        for module in self:
            x = module(x)
        return x if gate is None else x * gate


class FastGAN(ExcitedGenerator):
    """The FastGAN generator.

    Args:
        z_dim: Length of a latent vector.
        units: Units of each layer, at 4 x 4, 8 x 8, ...; each 1 or more, at most nine.

    Raises:
        ValueError: If there are not two to nine layers, or one has no units.

    Source: Liu et al. 2021, Fig. 3.
    """

    architecture = "fastgan"
    normalizes_z = True
    distance = 4

    def __init__(self, z_dim: int, units: Sequence[int]) -> None:
        super().__init__(z_dim, {"z_dim": z_dim, "units": list(units)})
        if not 2 <= len(units) <= 9 or min(units) < 1:
            raise ValueError(f"units must be two to nine numbers, each 1 or more; got {list(units)}")
        first = nn.ConvTranspose2d(z_dim, 2 * units[0], 4, bias=False)
        self.layer1 = nn.Sequential(PixelNorm(), first, nn.BatchNorm2d(2 * units[0]), nn.GLU(dim=1))
        for number, (before, after) in enumerate(pairwise(units), start=2):
            self.add_module(f"layer{number}", _doubling(before, after, 4 * 2 ** (number - 1), is_deep=number % 2 == 0))
        excited = [number for number in EXCITED if number <= len(units)]
        self.excitations = nn.ModuleDict(
            {str(number): Excitation(units[number - 1 - self.distance], units[number - 1]) for number in excited}
        )
        self.output = nn.Conv2d(units[-1], 3, 3, padding=1)

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the linear map that ``z``, once normalized, meets first, ``[2 units * 16, z_dim]``."""
        return (self.find_part("layer1", "1", nn.ConvTranspose2d).weight.detach().flatten(1).T,)


class Excitation(nn.Module):
    """One number for each unit of a layer, of the units of one whose grid is 16 times smaller.

    Args:
        before: Units that it is given.
        after: Units that it makes numbers for.

    Source: Liu et al. 2021, Eq. 1 and 2, Fig. 3b.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        squeeze, weigh = nn.Conv2d(before, after, 4, bias=False), nn.Conv2d(after, after, 1, bias=False)
        self.maps = nn.Sequential(nn.AdaptiveAvgPool2d(4), squeeze, nn.SiLU(), weigh, nn.Sigmoid())

    def forward(self, x: Float[Tensor, "batch before _ _"]) -> Float[Tensor, "batch after 1 1"]:
        """Return numbers from 0 to 1."""
        gate: Tensor = self.maps(x)
        return gate


class FixedNoise(nn.Module):
    """The same noise for all units and images, times one learned number.

    Args:
        side: Height and width of the grid.
    """

    noise: Float[Tensor, "1 1 side side"]

    def __init__(self, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", draw_normal(1, 1, side, side))

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Add it."""
        return x + self.strength.to(x.dtype) * self.noise.to(x.dtype)


def _doubling(before: int, after: int, side: int, is_deep: bool) -> ExcitedLayer:
    """Return what doubles a grid to a side, with noise and a second convolution, or without both."""
    parts: list[nn.Module] = [nn.Upsample(scale_factor=2)]
    for width in (before, after) if is_deep else (before,):
        noise = [FixedNoise(side)] * is_deep
        convolution = nn.Conv2d(width, 2 * after, 3, padding=1, bias=False)
        parts += [convolution, *noise, nn.BatchNorm2d(2 * after), nn.GLU(dim=1)]
    return ExcitedLayer(*parts)
