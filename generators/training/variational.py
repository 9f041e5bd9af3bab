"""Terms of variational autoencoders, as functions of tensors.

Sums are over the dimensions of a picture or a latent vector, means over the batch: with a mean over pixels, the
Kullback-Leibler divergence would outweigh the likelihood, and latent vectors would say nothing about pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..architectures.encoder import Posterior
from ..architectures.prior import NormalPrior

ACTIVE = 0.01
"""Variance of a unit's posterior mean over pictures above which the unit is active (Burda et al. 2016, Sec. 5.1)."""
LOG_STEP = math.log(2 / 255)
"""Logarithm of the distance between neighboring 8-bit values in [-1, 1]."""

Scalar = Float[Tensor, ""]


def divergence(posterior: Posterior) -> Float[Tensor, " batch"]:
    """Return the Kullback-Leibler divergence from N(0, 1) in nats, ``[batch]``.

    Source: Kingma and Welling 2013, Appendix B.
    """
    mean, log_variance = posterior
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def divergence_from(posterior: Posterior, prior: NormalPrior) -> Float[Tensor, " batch"]:
    """Return the Kullback-Leibler divergence from a normal prior in nats, ``[batch]``.

    With ``N(m, S)`` the posterior of ``k`` latent units and ``N(u, C)`` the prior,
    ``(tr(C^-1 S) + (m - u)^T C^-1 (m - u) - k + log |C| - log |S|) / 2``.
    """
    mean, log_variance = posterior
    whitening = torch.linalg.inv(prior.scale)  # its columns' squared lengths are the diagonal of C^-1
    trace = log_variance.exp() @ whitening.square().sum(0)
    distance = prior.to_rows(mean).square().sum(1)
    log_determinant = 2 * prior.scale.diagonal().log().sum()
    total: Tensor = trace + distance - mean.shape[1] + log_determinant - log_variance.sum(1)
    return total / 2


def aggregate(posterior: Posterior) -> tuple[Float[Tensor, " z"], Float[Tensor, "z z"]]:
    """Return mean and covariance of latent vectors that are drawn from the posteriors of pictures, float64.

    Of all normal priors, the one with these moments has the smallest mean divergence.

    Source: Hoffman and Johnson 2016, "ELBO surgery", Sec. 2; Ghosh et al. 2020, arXiv 1903.12436, Sec. 4 (a density
    that is fitted after training).
    """
    mean, variance = posterior.mean.double(), posterior.log_variance.double().exp()
    return mean.mean(0), torch.cov(mean.T, correction=0) + variance.mean(0).diag()


def optimal_nll(images: Float[Tensor, "batch 3 H W"], means: Float[Tensor, "batch 3 H W"]) -> tuple[Scalar, Scalar]:
    """Return the negative log-likelihood of images in nats, averaged over the batch, and the mean squared error.

    Pixels are normal with one variance, the most likely one: the mean squared error of the batch.

    Args:
        images: Images.
        means: Means of the pixels' distributions.

    Source: Rybkin et al. 2021, arXiv 2006.13202, Eq. 5.
    """
    error = (images - means).square().mean()
    return normal_nll(error, error, images[0].numel()), error


def normal_nll(error: Scalar, variance: Scalar, num_values: int) -> Scalar:
    """Return the negative log-likelihood of normal values in nats.

    Args:
        error: Mean squared error of the values.
        variance: Variance of the distribution.
        num_values: Number of values.
    """
    return num_values / 2 * (error / variance + variance.log() + math.log(2 * math.pi))


def warm_up(images_seen: int, warm_up_images: int, first: float = 0.0) -> float:
    """Return the weight of the divergence after a number of images: it moves linearly from its first value to 1.

    Source: Sønderby et al. 2016, arXiv 1602.02282, from 0; from above 1, the divergence grows during the training, as
    in Burgess et al. 2018, arXiv 1804.03599.
    """
    share = min(1.0, images_seen / warm_up_images) if warm_up_images else 1.0
    return first + (1 - first) * share


def active_units(means: Float[Tensor, "picture z"]) -> int:
    """Return the number of latent units whose posterior mean varies over pictures by more than `ACTIVE`.

    Source: Burda et al. 2016, arXiv 1509.00519, Sec. 5.1.
    """
    return int((means.double().var(0) > ACTIVE).sum())


@dataclass(frozen=True, slots=True)
class Bound:
    """The evidence lower bound (ELBO) of pictures.

    Attributes:
        nats: The bound on the log density of pictures in [-1, 1], averaged over pictures.
        num_values: Number of values per picture.
    """

    nats: float
    num_values: int

    @property
    def bits_per_dim(self) -> float:
        """Bits per value of 8 bits, with the density at a value for that of its interval."""
        return -(self.nats / self.num_values + LOG_STEP) / math.log(2)


def bound(error: float, divergence: float, num_values: int) -> Bound:
    """Return the bound for pixels with the most likely variance.

    Args:
        error: Mean squared error of the pixels, with latent vectors drawn from the posterior.
        divergence: Mean divergence in nats.
        num_values: Number of values per picture.
    """
    exact = torch.tensor(error, dtype=torch.float64, device="cpu")
    return Bound(-float(normal_nll(exact, exact, num_values)) - divergence, num_values)
