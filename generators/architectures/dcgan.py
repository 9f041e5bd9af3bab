"""DCGAN: a generator and a discriminator of strided convolutions with batch normalization.

``z [z_dim] -> layer1 [c, 4, 4] -> layer2 [c/2, 8, 8] -> ... -> output [3, size, size]``

Source: Radford et al. 2016, arXiv 1511.06434, Sec. 3.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .base import LayeredGenerator
from .mlp import Repeat

SIZES = (16, 32, 64, 128, 256)


class DCGAN(LayeredGenerator):
    """The DCGAN generator.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the last layer; each earlier layer has twice as many as the next.
        z_dim: Length of a latent vector.

    Raises:
        ValueError: If a number is out of range.

    Source: Radford et al. 2016, Sec. 3.
    """

    architecture = "dcgan"

    def __init__(self, size: int = 64, width: int = 64, z_dim: int = 128) -> None:
        super().__init__(z_dim, {"size": size, "width": width, "z_dim": z_dim})
        add_stages(self, size, width)

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of ``z``, ``[units * 4 * 4, z_dim]``."""
        return (first_map(self),)


class DCGANDiscriminator(nn.Module):
    """The DCGAN discriminator: one logit per image.

    Args:
        size: Height and width of an image.
        width: Number of units in the first layer, doubled from layer to layer.
        norm: Normalization after each convolution except the first and last: ``batch`` or ``none``.

    Source: Radford et al. 2016, Sec. 3.
    """

    @float32_factories()
    def __init__(
        self, size: int = 64, width: int = 64, norm: Literal["batch", "none"] = "batch", channels: int = 3
    ) -> None:
        super().__init__()
        depth = _depth(size, width)
        stages: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i in range(1, depth):
            before, after = width * 2 ** (i - 1), width * 2**i
            stages.append(nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"))
            stages += [*([nn.BatchNorm2d(after)] if norm == "batch" else []), nn.LeakyReLU(0.2)]
        stages.append(nn.Conv2d(width * 2 ** (depth - 1), 1, 4, 1, 0))
        self.stages = nn.Sequential(*stages)
        self.num_features = width * 2 ** (depth - 1)
        self.apply(initialize)

    def features(self, images: Float[Tensor, "batch channel H W"]) -> Float[Tensor, "batch unit 4 4"]:
        """Return the activations of the last hidden layer."""
        activations: Tensor = self.stages[:-1](images)
        return activations

    def forward(self, images: Float[Tensor, "batch channel H W"]) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real."""
        logits: Tensor = self.stages(images)
        return logits.flatten(1).squeeze(1)


def add_stages(generator: LayeredGenerator, size: int, width: int, channels: int = 3) -> None:
    """Add DCGAN's stages to a generator, with fresh weights; arguments as for `make_stages`."""
    for name, stage in make_stages(generator.z_dim, size, width, channels).items():
        generator.add_module(name, stage)


def make_stages(z_dim: int, size: int, width: int, channels: int = 3) -> dict[str, nn.Sequential]:
    """Return DCGAN's stages by name, in order, with fresh weights.

    Args:
        z_dim: Length of a latent vector.
        size: Height and width of an image.
        width: Number of units in the last layer.
        channels: Channels of an image: 3, or 1, which is repeated.

    Raises:
        ValueError: If a number is out of range.
    """
    depth = _depth(size, width)
    units = [width * 2 ** (depth - 1 - i) for i in range(depth)]
    stages = {"layer1": _up(z_dim, units[0], stride=1, padding=0)}
    for i in range(1, depth):
        stages[f"layer{i + 1}"] = _up(units[i - 1], units[i], stride=2, padding=1)
    repeat = [] if channels == 3 else [Repeat(channels)]
    stages["output"] = nn.Sequential(nn.ConvTranspose2d(units[-1], channels, 4, 2, 1), nn.Tanh(), *repeat)
    for stage in stages.values():
        stage.apply(initialize)
    return stages


def first_map(generator: LayeredGenerator) -> Float[Tensor, "output z"]:
    """Return the matrix by which the first of DCGAN's stages multiplies a row, ``[units * 4 * 4, z_dim]``."""
    return generator.find_part("layer1", "0", nn.ConvTranspose2d).weight.detach().flatten(1).T


def _depth(size: int, width: int) -> int:
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}; got {size}")
    if width < 1:
        raise ValueError(f"width must be at least 1; got {width}")
    return size.bit_length() - 3


def _up(before: int, after: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), batch-norm scales from N(1, 0.02), as the paper does."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        _draw(module.weight, 0.0)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        _draw(module.weight, 1.0)
        nn.init.zeros_(module.bias)


def _draw(weight: Tensor, mean: float) -> None:
    if not weight.is_meta:  # drawing nothing on the meta device costs torch a thousand imports
        nn.init.normal_(weight, mean, 0.02)
