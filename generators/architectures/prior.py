"""The prior of latent vectors: a normal distribution, as a linear map of standard normal rows.

``z = mean + scale @ row``
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories


class NormalPrior(nn.Module):
    """A normal distribution of latent vectors; standard normal until `set`.

    Args:
        z_dim: Length of a latent vector.

    Attributes:
        mean: Mean, float32 ``[z]``.
        scale: Lower triangular factor of the covariance, float32 ``[z, z]``: ``covariance = scale @ scale.T``.
    """

    mean: Float[Tensor, " z"]
    scale: Float[Tensor, "z z"]

    @float32_factories()
    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(z_dim))
        self.register_buffer("scale", torch.eye(z_dim))

    def forward(self, rows: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
        """Return the latent vectors of rows."""
        return self.mean + rows @ self.scale.T

    def to_rows(self, latents: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
        """Return the rows of latent vectors, which are standard normal if the latent vectors are as the prior."""
        rows: Tensor = torch.linalg.solve_triangular(self.scale, (latents - self.mean).T, upper=False)
        return rows.T.contiguous()

    @torch.no_grad()
    def set(self, mean: Float[Tensor, " z"], covariance: Float[Tensor, "z z"]) -> None:
        """Change the distribution.

        Args:
            mean: Mean.
            covariance: Covariance, positive definite.
        """
        self.mean.copy_(mean)
        self.scale.copy_(torch.linalg.cholesky(covariance))
