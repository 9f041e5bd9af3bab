"""Lightweight GAN of lucidrains: FastGAN with pixel shuffling, attention, and gates from a weighted mean.

``z [z_dim] -> layer1 [c, 4, 4] -> layer2 [c', 8, 8] -> ... -> output [3, size, size]``

Layer 1 is an up-convolution with batch normalization and a gated linear unit, normalized at each pixel. Each later
layer doubles the grid: optional self-attention, pixel shuffling, the filter [1, 2, 1], convolution, noise, batch
normalization and gated linear unit. From 128 x 128 on, a layer is multiplied by gates from the layer three before it.

Source: Liu et al. 2021, arXiv 2101.04775, Sec. 3.1; what differs: github.com/lucidrains/lightweight-gan.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .fastgan import ExcitedGenerator, ExcitedLayer, FixedNoise

EXCITED = range(6, 9)
"""Numbers of the layers with excitations, on grids from 128 x 128 to 512 x 512."""
HEADS = 8
"""Number of heads of self-attention."""


class LightweightGAN(ExcitedGenerator):
    """The generator of the lightweight GAN.

    Args:
        z_dim: Length of a latent vector.
        units: Numbers of units of the two to eight layers, at 4 x 4, 8 x 8, ...; each at least 1.
        middle: Numbers of hidden units of the excitations, starting with that of the 128 x 128 grid.
        attention: Numbers of the layers that begin with self-attention, at least 2.
        head_dim: Length of the vectors in a head of self-attention.

    Raises:
        ValueError: If a setting is out of range.

    Source: Liu et al. 2021, Fig. 3.
    """

    architecture = "lightweight"
    distance = 3

    def __init__(
        self,
        z_dim: int,
        units: Sequence[int],
        middle: Sequence[int] = (),
        attention: Sequence[int] = (),
        head_dim: int = 64,
    ) -> None:
        settings: dict[str, Any] = {"z_dim": z_dim, "units": list(units), "middle": list(middle)}
        super().__init__(z_dim, settings | {"attention": list(attention), "head_dim": head_dim})
        excited = [number for number in EXCITED if number <= len(units)]
        if not 2 <= len(units) <= 8 or len(middle) != len(excited) or min(*units, *middle, head_dim) < 1:
            raise ValueError(
                f"units must be two to eight numbers, middle {len(excited)} numbers, all of these and head_dim at "
                f"least 1; got {list(units)}, {list(middle)} and {head_dim}"
            )
        if any(not 2 <= number <= len(units) for number in attention):
            raise ValueError(f"attention must be layer numbers in [2, {len(units)}]; got {list(attention)}")
        first = nn.ConvTranspose2d(z_dim, 2 * units[0], 4)
        self.layer1 = nn.Sequential(first, nn.BatchNorm2d(2 * units[0]), nn.GLU(dim=1), UnitLength())
        for number, (before, after) in enumerate(pairwise(units), start=2):
            attend = MixedAttention(before, head_dim) if number in attention else nn.Identity()
            self.add_module(f"layer{number}", ExcitedLayer(attend, *_doubling(before, after, 4 * 2 ** (number - 1))))
        self.excitations = nn.ModuleDict(
            {
                str(number): MeanExcitation(units[number - 1 - self.distance], between, units[number - 1])
                for number, between in zip(excited, middle, strict=True)
            }
        )
        self.output = nn.Conv2d(units[-1], 3, 3, padding=1)

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of ``z``, ``[2 * units * 4 * 4, z_dim]``."""
        return (self.find_part("layer1", "0", nn.ConvTranspose2d).weight.detach().flatten(1).T,)


class UnitLength(nn.Module):
    """Division of each pixel's vector of units by its length."""

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Normalize."""
        return functional.normalize(x, dim=1)


class MirroredBlur(nn.Module):
    """The separable binomial filter [1, 2, 1] / 4, mirrored at the border."""

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Filter."""
        row = x.new_tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])


class MeanExcitation(nn.Module):
    """One gate per unit of a layer, computed from a mean over the pixels of another with learned weights.

    Args:
        before: Number of units of the source layer.
        middle: Number of hidden units.
        after: Number of units of the gated layer.

    Source: Cao et al. 2020, arXiv 2012.13375, Sec. 3.3, without the sum; Liu et al. 2021, Sec. 3.1.
    """

    def __init__(self, before: int, middle: int, after: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(before, 1, 1)
        first, second = nn.Conv2d(before, middle, 1), nn.Conv2d(middle, after, 1)
        self.maps = nn.Sequential(first, nn.LeakyReLU(0.1), second, nn.Sigmoid())

    def forward(self, x: Float[Tensor, "batch before _ _"]) -> Float[Tensor, "batch after 1 1"]:
        """Return gates in [0, 1]."""
        shares = self.weigh(x).flatten(2).softmax(dim=2)  # [batch, 1, h * w]
        gate: Tensor = self.maps((x.flatten(2) @ shares.transpose(1, 2))[..., None])
        return gate


class MixedAttention(nn.Module):
    """Self-attention of two kinds, added to the input: linear over the image, and over 3 x 3 neighbors.

    Linear: ``softmax_unit(q) (softmax_pixel(k)^T v)``; among neighbors: ``softmax(q k^T) v``, with zeros outside.

    Args:
        units: Number of input and output units.
        head_dim: Length of the vectors in each of the eight heads.

    Source: Shen et al. 2021, arXiv 1812.01243, Sec. 3; Ramachandran et al. 2019, arXiv 1906.05909, Sec. 3.
    """

    def __init__(self, units: int, head_dim: int) -> None:
        super().__init__()
        inner = HEADS * head_dim
        self.scale, self.shift = nn.Parameter(torch.ones(units)), nn.Parameter(torch.zeros(units))
        self.query = nn.Conv2d(units, inner, 1, bias=False)
        self.spread = nn.Conv2d(units, units, 3, padding=1, groups=units, bias=False)
        self.key_value = nn.Conv2d(units, 2 * inner, 1, bias=False)
        self.near_query = nn.Conv2d(units, inner, 1, bias=False)
        self.near_key_value = nn.Conv2d(units, 2 * inner, 1, bias=False)
        self.mix = nn.Conv2d(2 * inner, units, 1)
        self.head_dim = head_dim

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Apply both kinds of attention."""
        normal = functional.layer_norm(x.movedim(1, 3), x.shape[1:2], self.scale, self.shift).movedim(3, 1)
        far = self._attend_far(self.query(normal), *self.key_value(self.spread(normal)).chunk(2, dim=1))
        near = self._attend_near(self.near_query(normal), *self.near_key_value(normal).chunk(2, dim=1))
        both = torch.cat([functional.gelu(far), near], dim=1)
        mixed: Tensor = self.mix(both.reshape(len(x), -1, *x.shape[2:]))
        return x + mixed

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), HEADS, self.head_dim, -1)  # [batch, head, number, pixel]

    def _attend_far(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = map(self._split_heads, (query, key, value))
        context = value @ key.softmax(dim=3).transpose(2, 3)  # [batch, head, number, number]
        attended: Tensor = context @ (query.softmax(dim=2) / self.head_dim**0.5)
        return attended.flatten(1, 2)

    def _attend_near(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = self._split_heads(query) / self.head_dim**0.5
        near = (functional.unfold(part, 3, padding=1) for part in (key, value))
        key, value = (part.reshape(*query.shape[:3], 9, -1) for part in near)  # [batch, head, number, neighbor, pixel]
        shares = (query[:, :, :, None] * key).sum(dim=2).softmax(dim=2)
        return (value * shares[:, :, None]).sum(dim=3).flatten(1, 2)


def _doubling(before: int, after: int, side: int) -> list[nn.Module]:
    """Return the modules that double a grid to ``side``."""
    up = [nn.Conv2d(before, 4 * before, 1), nn.SiLU(), nn.PixelShuffle(2), MirroredBlur()]
    convolution = [nn.ZeroPad2d((2, 1, 2, 1)), nn.Conv2d(before, 2 * after, 4)]
    return [*up, *convolution, FixedNoise(side), nn.BatchNorm2d(2 * after), nn.GLU(dim=1)]
