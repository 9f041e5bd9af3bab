"""Residual generator of SNGAN and related models.

``z [z_dim] -> layer1 [c, side, side] -> layer2 [c', 2 side, 2 side] -> ... -> output [3, size, size]``

Layer 1 is linear. Each later layer doubles the grid: batch normalization, ReLU, upsampling, convolution, batch
normalization, ReLU and convolution, plus a 1 x 1 convolution of the upsampled input. The image is batch normalization,
ReLU, convolution and tanh of the last layer. A layer may end with self-attention.

Source: Miyato et al. 2018, arXiv 1802.05957, Appendix B.4; Gulrajani et al. 2017, arXiv 1704.00028, Appendix F;
self-attention: Zhang et al. 2019, arXiv 1805.08318, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .base import LayeredGenerator

DOUBLINGS = ("nearest", "bilinear")
KEYS, VALUES = 8, 2
"""Ratio of a layer's units to the length of a key, and of a value, in its self-attention."""


class ResNet(LayeredGenerator):
    """A generator of residual blocks.

    Args:
        z_dim: Length of a latent vector.
        units: Numbers of units of the layers, the linear one first; each at least 1.
        side: Height and width of the first grid, at least 1.
        doubling: Interpolation of the upsampling: ``nearest`` or ``bilinear``.
        attention: Numbers of the layers that end with self-attention, at least 2; each needs at least 8 units.

    Raises:
        ValueError: If there are fewer than two layers, or a setting is out of range.

    Source: Miyato et al. 2018, Appendix B.4.
    """

    architecture = "resnet"

    def __init__(
        self,
        z_dim: int,
        units: Sequence[int],
        side: int = 4,
        doubling: str = "nearest",
        attention: Sequence[int] = (),
    ) -> None:
        settings: dict[str, Any] = {"z_dim": z_dim, "units": list(units), "side": side, "doubling": doubling}
        super().__init__(z_dim, settings | ({"attention": list(attention)} if attention else {}))
        if len(units) < 2 or min(*units, side) < 1:
            raise ValueError(
                f"units must be at least two numbers, all of them and side at least 1; got {list(units)} and {side}"
            )
        if doubling not in DOUBLINGS:
            raise ValueError(f"doubling must be one of {', '.join(DOUBLINGS)}; got {doubling!r}")
        if any(not 2 <= layer <= len(units) or units[layer - 1] < KEYS for layer in attention):
            raise ValueError(
                f"attention must be numbers in [2, {len(units)}] of layers with at least {KEYS} units; "
                f"got {list(attention)} for units {list(units)}"
            )
        linear = nn.Linear(z_dim, units[0] * side**2)
        self.layer1 = nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (units[0], side, side)))
        for index, (before, after) in enumerate(pairwise(units), start=2):
            self.add_module(f"layer{index}", Doubling(before, after, doubling, index in attention))
        image = nn.Conv2d(units[-1], 3, 3, padding=1)
        self.output = nn.Sequential(nn.BatchNorm2d(units[-1]), nn.ReLU(), image, nn.Tanh())

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        side: int = self.settings["side"] * 2 ** (len(self.settings["units"]) - 1)
        return side, side

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of ``z``, ``[units * side * side, z_dim]``."""
        return (self.find_part("layer1", "1", nn.Linear).weight.detach(),)


class Doubling(nn.Module):
    """A residual block that doubles the grid.

    Args:
        before: Number of input units.
        after: Number of output units.
        doubling: ``nearest`` or ``bilinear``.
        attention: Apply self-attention to the output.

    Source: Gulrajani et al. 2017, Appendix F.
    """

    def __init__(self, before: int, after: int, doubling: str, attention: bool = False) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode=doubling),
            nn.Conv2d(before, after, 3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip = nn.Sequential(nn.Upsample(scale_factor=2, mode=doubling), nn.Conv2d(before, after, 1))
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(self, x: Float[Tensor, "batch before _ _"]) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, with self-attention if the block has it."""
        total: Tensor = self.attention(self.residual(x) + self.skip(x))
        return total


class Attention(nn.Module):
    """Self-attention: add to every pixel a mean over the image, weighted by the match of its query with the keys.

    ``x + strength * mix(softmax(query key^T) value)``; keys and values are max-pooled over 2 x 2 pixels, as in the
    authors' code, though not in the paper.

    Args:
        units: Number of input and output units.

    Source: Zhang et al. 2019, Eq. 1 to 3.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        key_units, value_units = max(1, units // KEYS), max(1, units // VALUES)
        self.query = nn.Conv2d(units, key_units, 1, bias=False)
        self.key = nn.Conv2d(units, key_units, 1, bias=False)
        self.value = nn.Conv2d(units, value_units, 1, bias=False)
        self.mix = nn.Conv2d(value_units, units, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return activations of the same shape, ``[batch, unit, h, w]``, h and w even."""
        value = functional.max_pool2d(self.value(x), 2).flatten(2)
        mean: Tensor = value @ self.shares(x).transpose(1, 2)
        mean = mean.unflatten(2, x.shape[2:])  # type: ignore[no-untyped-call]  # torch gives no types here
        attended: Tensor = x + self.strength * self.mix(mean)
        return attended

    def shares(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch query key"]:
        """Return the share of each key in each query's mean, ``[batch, h * w, h * w / 4]``, row by row of the grids."""
        query = self.query(x).flatten(2).transpose(1, 2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        shares: Tensor = (query @ key).softmax(dim=2)
        return shares
