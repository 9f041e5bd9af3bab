"""FastGAN: few convolutions per grid, and gates on the units of large grids, computed from small grids.

``z [z_dim] -> layer1 [c, 4, 4] -> layer2 [c', 8, 8] -> ... -> output [3, size, size]``

Layer 1 is an up-convolution of the normalized ``z``. Each later layer doubles the grid: nearest-neighbor upsampling,
convolution, batch normalization and a gated linear unit; in every other layer, from the second on, convolution, noise,
normalization and gate are applied twice. From 64 x 64 to 512 x 512, a layer's units are multiplied by its *excitation*,
computed from the layer whose grid is 16 times smaller: ``sigmoid(W' swish(W pool(x)))``, one number per unit.

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
"""Factors of the units of layers, ``[batch, unit, 1, 1]``, keyed by the layer's number."""

EXCITED = range(5, 9)
"""Numbers of the layers with excitations, on grids from 64 x 64 to 512 x 512."""


class ExcitedGenerator(LayeredGenerator):
    """A generator whose layers are multiplied by gates computed from earlier layers, by its `excitations`."""

    beside = frozenset({"excitations"})
    excitations: nn.ModuleDict
    distance: ClassVar[int]
    """Number of layers from the source of an excitation to the layer that it multiplies."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        side: int = 4 * 2 ** (len(self.settings["units"]) - 1)
        return side, side

    def context(self, z: Latent) -> Gates:  # noqa: ARG002
        """Return the gates of layers, empty before the first layer."""
        return {}

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Gates
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage, after adding the gate that its input excites."""
        self._excite(index, x, context)
        gate = [context[index + 1]] if index + 1 in context else []
        output: Tensor = self._stages[index][1](x, *gate)
        return output

    def context_after(self, z: Latent, position: int) -> Gates:
        """Return the gates computed from the layers before ``position``."""
        context = self.context(z)
        self._excite(position, self.run(self.input(z), context, 0, position), context)
        return context

    def _excite(self, number: int, x: Tensor, context: Gates) -> None:
        """Add the gate computed from the layer of that number, if it excites a later one."""
        excited = number + self.distance
        if number and str(excited) in self.excitations:
            context[excited] = self.excitations[str(excited)](x)


class ExcitedLayer(nn.Sequential):
    """A chain of modules whose output is multiplied by a gate, if there is one."""

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
        units: Numbers of units of the two to nine layers, at 4 x 4, 8 x 8, ...; each at least 1.

    Raises:
        ValueError: If the number of layers is not two to nine, or a layer has no units.

    Source: Liu et al. 2021, Fig. 3.
    """

    architecture = "fastgan"
    normalizes_z = True
    distance = 4

    def __init__(self, z_dim: int, units: Sequence[int]) -> None:
        super().__init__(z_dim, {"z_dim": z_dim, "units": list(units)})
        if not 2 <= len(units) <= 9 or min(units) < 1:
            raise ValueError(f"units must be two to nine numbers, each at least 1; got {list(units)}")
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
        """Return the matrix of the first linear map of the normalized ``z``, ``[2 * units * 16, z_dim]``."""
        return (self.find_part("layer1", "1", nn.ConvTranspose2d).weight.detach().flatten(1).T,)


class Excitation(nn.Module):
    """One gate per unit of a layer, computed from a layer whose grid is 16 times smaller.

    Args:
        before: Number of units of the smaller grid.
        after: Number of units of the larger grid.

    Source: Liu et al. 2021, Eq. 1 and 2, Fig. 3b.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        squeeze, weigh = nn.Conv2d(before, after, 4, bias=False), nn.Conv2d(after, after, 1, bias=False)
        self.maps = nn.Sequential(nn.AdaptiveAvgPool2d(4), squeeze, nn.SiLU(), weigh, nn.Sigmoid())

    def forward(self, x: Float[Tensor, "batch before _ _"]) -> Float[Tensor, "batch after 1 1"]:
        """Return gates in [0, 1]."""
        gate: Tensor = self.maps(x)
        return gate


class FixedNoise(nn.Module):
    """Fixed noise, the same for all units and images, times one learned factor.

    Args:
        side: Height and width of the grid.
    """

    noise: Float[Tensor, "1 1 side side"]

    def __init__(self, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", draw_normal(1, 1, side, side))

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Add the noise."""
        return x + self.strength.to(x.dtype) * self.noise.to(x.dtype)


def _doubling(before: int, after: int, side: int, is_deep: bool) -> ExcitedLayer:
    """Return a layer that doubles the grid to ``side``, with noise and a second convolution if it is deep."""
    parts: list[nn.Module] = [nn.Upsample(scale_factor=2)]
    for width in (before, after) if is_deep else (before,):
        noise = [FixedNoise(side)] * is_deep
        convolution = nn.Conv2d(width, 2 * after, 3, padding=1, bias=False)
        parts += [convolution, *noise, nn.BatchNorm2d(2 * after), nn.GLU(dim=1)]
    return ExcitedLayer(*parts)
