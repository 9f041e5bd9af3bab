"""ProGAN: a generator and a discriminator that grow from small images to large ones.

``z [z_dim] -> layer1 [c, 4, 4] -> layer2 [c, 4, 4] -> layer3 [c', 8, 8] -> layer4 ... -> output [3, size, size]``

Every layer is convolution, bias and leaky ReLU. Pixel norm is applied to the input of a layer rather than its output,
so a unit's activation does not depend on the other units of the layer.

Source: Karras et al. 2018, arXiv 1710.10196, Table 2 and Sec. 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .base import LayeredGenerator
from .blocks import SQRT2, Blur, EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm, units_of


class ProGAN(LayeredGenerator):
    """The ProGAN generator.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Number of units of the last two layers, doubled at each halving of the grid toward the input; or a list
            of the numbers at 4 x 4, 8 x 8, ...
        max_width: Maximum number of units of a layer.
        z_dim: Length of a latent vector.
        offset_by_place: Give each position of the first grid its own biases, as in a dense first layer.

    Raises:
        ValueError: If a number is out of range.

    Source: Karras et al. 2018, Table 2.
    """

    architecture = "progan"
    normalizes_z = True

    def __init__(
        self,
        size: int = 64,
        width: int | Sequence[int] = 32,
        max_width: int = 512,
        z_dim: int = 128,
        offset_by_place: bool = False,
    ) -> None:
        settings = {"size": size, "width": width, "max_width": max_width, "z_dim": z_dim}
        super().__init__(z_dim, settings | ({"offset_by_place": True} if offset_by_place else {}))
        units = units_of(size, width, max_width)
        gain = SQRT2 / 4  # of the dense layer equivalent to the first convolution
        first = EqualizedConv2d(z_dim, units[0], 4, padding=3, gain=gain, bias=not offset_by_place)
        self.layer1 = _Layer(first, *[PlaceOffset(units[0], 4)] * offset_by_place)
        self.layer2 = _Layer(EqualizedConv2d(units[0], units[0], 3, padding=1))
        for level in range(1, len(units)):
            before, after = units[level - 1], units[level]
            self.add_module(f"layer{2 * level + 1}", _Layer(EqualizedConv2d(before, after, 3, 1, resample="up")))
            self.add_module(f"layer{2 * level + 2}", _Layer(EqualizedConv2d(after, after, 3, 1)))
        self.output = self.to_rgb(units[-1])

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of the normalized ``z``, ``[units * 4 * 4, z_dim]``."""
        first = self.find_part("layer1", "1", EqualizedConv2d)
        weight = first.weight.detach() * first.scale  # [units, z_dim, 4, 4]; each tap meets the one input pixel once
        return (weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2),)

    @staticmethod
    def to_rgb(units: int) -> nn.Module:
        """Return the module that converts a layer's activations to an image."""
        return nn.Sequential(PixelNorm(), EqualizedConv2d(units, 3, 1, gain=1))


class _Layer(nn.Sequential):
    """Pixel norm, convolution with bias, leaky ReLU."""

    def __init__(self, convolution: EqualizedConv2d, *offsets: nn.Module) -> None:
        super().__init__(PixelNorm(), convolution, *offsets, nn.LeakyReLU(0.2))


class PlaceOffset(nn.Module):
    """A bias for every unit at every position of a grid.

    Args:
        units: Number of units.
        side: Height and width of the grid.
    """

    def __init__(self, units: int, side: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(units, side, side))

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Add the biases."""
        return x + self.offset.to(x.dtype)


class GrowingDiscriminator(nn.Module):
    """The discriminator of ProGAN and StyleGAN: one logit per image, at any size that it grows through.

    Args:
        size: Height and width of the largest images.
        width: Number of units at that size, doubled at each halving of the grid.
        max_width: Maximum number of units of a layer.
        blurred: Blur before each halving, as in StyleGAN.

    Source: Karras et al. 2018, Table 2; ``blurred``: Karras et al. 2019, Sec. 2.
    """

    @float32_factories()
    def __init__(self, size: int = 64, width: int = 32, max_width: int = 512, blurred: bool = False) -> None:
        super().__init__()
        units = units_of(size, width, max_width)
        self.from_rgb, self.blocks = nn.ModuleDict(), nn.ModuleDict()
        for level in range(1, len(units)):
            side = str(4 * 2**level)
            self.from_rgb[side] = nn.Sequential(EqualizedConv2d(3, units[level], 1), nn.LeakyReLU(0.2))
            self.blocks[side] = _Halving(units[level], units[level - 1], blurred)
        self.last = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(units[0] + 1, units[0], 3, padding=1),
            nn.LeakyReLU(0.2),
            EqualizedConv2d(units[0], units[0], 4),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            EqualizedLinear(units[0], 1, gain=1),
        )

    def forward(self, images: Float[Tensor, "batch 3 H W"], alpha: float = 1.0) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real.

        Args:
            images: ``[batch, 3, side, side]``, ``side`` a power of two from 8 to ``size``.
            alpha: Weight in [0, 1] of the block of that side; the rest is the block of half the side.

        Source: Karras et al. 2018, Fig. 2.
        """
        side = images.shape[3]
        x = self.blocks[str(side)](self.from_rgb[str(side)](images))
        if alpha < 1:
            x = torch.lerp(self.from_rgb[str(side // 2)](functional.avg_pool2d(images, 2)), x, alpha)
        while (side := side // 2) > 4:
            x = self.blocks[str(side)](x)
        logits: Tensor = self.last(x)
        return logits.squeeze(1)


class _Halving(nn.Sequential):
    """A convolution and a halving convolution, each with leaky ReLU."""

    def __init__(self, narrow: int, wide: int, blurred: bool) -> None:
        super().__init__(
            EqualizedConv2d(narrow, narrow, 3, padding=1),
            nn.LeakyReLU(0.2),
            Blur() if blurred else nn.Identity(),
            EqualizedConv2d(narrow, wide, 3, padding=1, resample="down"),
            nn.LeakyReLU(0.2),
        )
