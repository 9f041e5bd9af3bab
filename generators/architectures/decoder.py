"""The decoder of a variational autoencoder: DCGAN's generator with group in place of batch normalization.

Batch norm fits one distribution of latent vectors. A decoder has two: those of pictures, from the encoder, which it
learns from, and those of samples, from the prior. Group norm treats each image alone, whatever its latent vector.

``row [z_dim] -> latent vector [z_dim] -> layer1 [c, 4, 4] -> layer2 [c/2, 8, 8] -> ... -> output [3, size, size]``

A row is standard normal. The latent vector is normal with the prior's mean and covariance.

Source: Radford et al. 2016, arXiv 1511.06434, Sec. 3 (the convolutions); Wu and He 2018, arXiv 1803.08494 (group norm).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .dcgan import DCGAN, first_map
from .prior import NormalPrior

GROUP = 16
"""Units per group, which are normalized together."""


class Decoder(DCGAN):
    """DCGAN's generator with group norm, so that an image does not depend on other images, in training or later.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the last layer; each earlier layer has twice as many as the next.
        z_dim: Length of a latent vector.

    Raises:
        ValueError: If a number is out of range.

    Source: Wu and He 2018, arXiv 1803.08494, Sec. 3.1.
    """

    architecture = "decoder"
    beside = frozenset({"prior"})

    def __init__(self, size: int = 64, width: int = 32, z_dim: int = 64) -> None:
        super().__init__(size, width, z_dim)
        for _, stage in self._stages[:-1]:
            assert isinstance(stage, nn.Sequential)
            stage[1] = _group_norm(stage[1])
        self.prior = NormalPrior(z_dim)
        self.apply(_initialize)

    def input(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z 1 1"]:
        """Return the latent vectors of rows."""
        latents: Tensor = self.prior(z)
        return latents[:, :, None, None]

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of a row, ``[units * 4 * 4, z_dim]``."""
        return (first_map(self) @ self.prior.scale,)


def _group_norm(norm: Any) -> nn.GroupNorm:
    num_units: int = norm.num_features
    return nn.GroupNorm(num_units // GROUP if num_units % GROUP == 0 else 1, num_units)


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """Draw weights that keep the scale of activations."""
    if isinstance(module, nn.ConvTranspose2d) and not module.weight.is_meta:
        height, width = module.kernel_size
        stride = module.stride[0]
        num_summed = module.in_channels * height * width / stride**2 if module.padding[0] else module.in_channels
        nn.init.normal_(module.weight, 0.0, math.sqrt(1 / num_summed))
