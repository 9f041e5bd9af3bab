"""An encoder of images: a normal distribution of latent vectors per image.

``image [3, size, size] -> [c, size/2, size/2] -> [2 c, size/4, size/4] -> ... -> mean [z_dim], log variance [z_dim]``

Source: Kingma and Welling 2013, arXiv 1312.6114, Sec. 3; convolutions as in DCGAN's discriminator.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .prior import NormalPrior

SIZES = (16, 32, 64, 128, 256)
SLOPE = 0.2
"""Slope of the leaky ReLUs below zero."""


class Posterior(NamedTuple):
    """Independent normal distributions of latent vectors, one per image.

    Attributes:
        mean: Means, float ``[batch, z_dim]``.
        log_variance: Logarithms of the variances, float ``[batch, z_dim]``.
    """

    mean: Float[Tensor, "batch z"]
    log_variance: Float[Tensor, "batch z"]

    def sample(self, noise: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
        """Return latent vectors for standard normal noise.

        Source: Kingma and Welling 2013, Sec. 2.4.
        """
        return self.mean + (self.log_variance / 2).exp() * noise


class Encoder(nn.Module):
    """An encoder of strided convolutions without normalization, so that images do not depend on their batch.

    Its `prior` is the decoder's: `encode` returns rows, calling the encoder the posteriors of latent vectors.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the first layer, doubled from layer to layer.
        z_dim: Length of a latent vector.
        deterministic: Return means only; the variances are 0.

    Raises:
        ValueError: If a number is out of range.

    Source: Kingma and Welling 2013, Sec. 3.
    """

    @float32_factories()
    def __init__(self, size: int = 64, width: int = 32, z_dim: int = 128, deterministic: bool = False) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}; got {size}")
        if width < 1 or z_dim < 1:
            raise ValueError(f"width and z_dim must be at least 1; got {width} and {z_dim}")
        self.settings: dict[str, Any] = {"size": size, "width": width, "z_dim": z_dim}
        self.settings |= {"deterministic": True} if deterministic else {}
        stages: list[nn.Module] = []
        before = 3
        for index in range(size.bit_length() - 3):
            after = width * 2**index
            stages += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            before = after
        outputs = z_dim if deterministic else 2 * z_dim
        self.stages = nn.Sequential(*stages, nn.Flatten(), nn.Linear(before * 4 * 4, outputs))
        self.prior = NormalPrior(z_dim)
        self.apply(_initialize)

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Posterior:
        """Return the distribution of each image's latent vector.

        Raises:
            ValueError: If the images are not floats of the encoder's size.
        """
        size = self.settings["size"]
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size) or not images.is_floating_point():
            raise ValueError(
                f"images must be floats [batch, 3, {size}, {size}] in [-1, 1]; got {images.dtype} {list(images.shape)}"
            )
        parameters = self.stages(images).float()
        if "deterministic" in self.settings:
            return Posterior(parameters, torch.full_like(parameters, -torch.inf))
        return Posterior(*parameters.chunk(2, dim=1))

    def encode(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch z"]:
        """Return the decoder's row for each image's most probable latent vector, float32 ``[batch, z_dim]``."""
        return self.prior.to_rows(self(images).mean)


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """Draw weights that keep the scale of activations, except for the last layer, whose outputs begin small."""
    if not isinstance(module, nn.Conv2d | nn.Linear) or module.weight.is_meta:
        return
    nn.init.kaiming_normal_(module.weight, SLOPE)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Linear):
        module.weight.mul_(0.1)
