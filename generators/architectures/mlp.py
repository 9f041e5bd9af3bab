"""The generator and the discriminator of the first GAN: multilayer perceptrons.

``z [z_dim] -> layer1 [c, 1, 1] -> layer2 [2 c, 1, 1] -> layer3 [4 c, 1, 1] -> output [3, size, size]``

Units of a multilayer perceptron have no position: the grid of a layer is one cell. A unit's IoU with a concept then
depends on whether the unit is on in the images that show the concept, and on how much of them the concept covers, but
not on where it is.

Source: Goodfellow et al. 2014, arXiv 1406.2661, Sec. 5.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .base import LayeredGenerator

SIZES = (1, 8, 16, 32, 64)
DEPTH = 3
"""Layers before the output."""
SLOPE = 0.2
"""Slope of the leaky ReLUs below zero."""


class MLP(LayeredGenerator):
    """A multilayer perceptron that makes images, or points in the plane.

    Points are images of one pixel without normalization: the first two channels are x and y, the third is 0.

    Args:
        size: Height and width of an image: 1 (points), 8, 16, 32 or 64.
        width: Units of the first layer; each further layer has twice as many.
        max_width: Largest number of units of a layer.
        z_dim: Length of a latent vector.
        gray: Make one channel and repeat it; points have two.

    Raises:
        ValueError: If a number is out of range.

    Source: Goodfellow et al. 2014, Sec. 5.
    """

    architecture = "gan"

    def __init__(
        self, size: int = 32, width: int = 256, max_width: int = 1024, z_dim: int = 64, gray: bool = False
    ) -> None:
        settings = {"size": size, "width": width, "max_width": max_width, "z_dim": z_dim, "gray": gray}
        super().__init__(z_dim, settings)
        before = z_dim
        for index, units in enumerate(_units(size, width, max_width), start=1):
            norm = [nn.BatchNorm1d(units)] if size > 1 and index > 1 else []
            self.add_module(f"layer{index}", nn.Sequential(nn.Flatten(), nn.Linear(before, units), *norm, _Cell()))
            before = units
        channels = _count_channels(size, gray)
        ends = [] if size == 1 else [nn.Tanh()]
        shape = (channels, size, size)
        last = nn.Linear(before, channels * size * size)
        self.output = nn.Sequential(nn.Flatten(), last, *ends, nn.Unflatten(1, shape), Repeat(channels))

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the linear map that ``z`` meets first, ``[units, z_dim]``."""
        return (self.find_part("layer1", "1", nn.Linear).weight.detach(),)


class MLPDiscriminator(nn.Module):
    """A multilayer perceptron that returns one logit per image.

    Args:
        size: Height and width of an image: 1 (points), 8, 16, 32 or 64.
        width: Units of the last layer; each layer before it has twice as many.
        max_width: Largest number of units of a layer.
        gray: Use only the first channel of images, or the first two of points.

    Source: Goodfellow et al. 2014, Sec. 5.
    """

    @float32_factories()
    def __init__(self, size: int = 32, width: int = 256, max_width: int = 1024, gray: bool = False) -> None:
        super().__init__()
        self.channels = _count_channels(size, gray)
        before = self.channels * size * size
        layers: list[nn.Module] = [nn.Flatten()]
        for units in reversed(_units(size, width, max_width)):
            layers += [nn.Linear(before, units), nn.LeakyReLU(SLOPE)]
            before = units
        self.stages = nn.Sequential(*layers, nn.Linear(before, 1))
        self.num_features = before

    def features(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch unit"]:
        """Return the activations of the last hidden layer."""
        activations: Tensor = self.stages[:-1](images[:, : self.channels])
        return activations

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``: positive for images that look real."""
        logits: Tensor = self.stages(images[:, : self.channels])
        return logits.squeeze(1)


class _Cell(nn.Module):
    """Leaky ReLU of ``[batch, units]``, as a grid of one cell, ``[batch, units, 1, 1]``."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, SLOPE)[:, :, None, None]


class Repeat(nn.Module):
    """Make three channels of one (gray, which is repeated), of two (points, to which 0 is added), or of three.

    Args:
        channels: Number of channels before.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch 3 h w"]:
        """Return ``[batch, 3, h, w]``."""
        if self.channels == 1:
            return x.expand(-1, 3, -1, -1)
        return functional.pad(x, (0, 0, 0, 0, 0, 3 - self.channels))


def _units(size: int, width: int, max_width: int) -> list[int]:
    if size not in SIZES:
        raise ValueError(f"size must be one of {SIZES}; got {size}")
    if min(width, max_width) < 1:
        raise ValueError(f"width and max_width must be at least 1; got {width} and {max_width}")
    return [min(width * 2**index, max_width) for index in range(DEPTH)]


def _count_channels(size: int, gray: bool) -> int:
    return 2 if size == 1 else 1 if gray else 3
