"""Losses of the discriminator and of the generator, as functions of logits, and the penalties on gradients.

``real`` and ``fake`` are the discriminator's logits of real and generated images, float ``[batch]``; positive means
real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from .draws import Draws

Logits: TypeAlias = Float[Tensor, " batch"]
Scalar: TypeAlias = Float[Tensor, ""]
Discriminator = Callable[[Float[Tensor, "batch 3 H W"]], Logits]


def logistic_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[softplus(-real)] + E[softplus(fake)]``.

    Source: Goodfellow et al. 2014, Eq. 1.
    """
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def logistic_generator(fake: Logits) -> Scalar:
    """Return ``E[softplus(-fake)]``, the non-saturating loss.

    Source: Goodfellow et al. 2014, Sec. 3.
    """
    return functional.softplus(-fake).mean()


def minimax_generator(fake: Logits) -> Scalar:
    """Return ``-E[softplus(fake)]``, which vanishes where the discriminator wins.

    Source: Goodfellow et al. 2014, Eq. 1.
    """
    return -functional.softplus(fake).mean()


def least_squares_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[(real - 1)^2] / 2 + E[fake^2] / 2``.

    Source: Mao et al. 2017, Sec. 3 (a = 0, b = c = 1).
    """
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


def least_squares_generator(fake: Logits) -> Scalar:
    """Return ``E[(fake - 1)^2] / 2``.

    Source: Mao et al. 2017, Sec. 3 (a = 0, b = c = 1).
    """
    return (fake - 1).square().mean() / 2


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[max(0, 1 - real)] + E[max(0, 1 + fake)]``.

    Source: Miyato et al. 2018, Eq. 16.
    """
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def wasserstein_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[fake] - E[real]``; it needs clipped weights or `gradient_penalty`.

    Source: Arjovsky et al. 2017, Eq. 2.
    """
    return fake.mean() - real.mean()


def mean_generator(fake: Logits) -> Scalar:
    """Return ``-E[fake]``, the generator's part of the hinge and the Wasserstein loss."""
    return -fake.mean()


def pair_discriminator(real: Logits, fake: Logits, wrong: Logits) -> Scalar:
    """Return ``E[softplus(-real)] + (E[softplus(fake)] + E[softplus(wrong)]) / 2``, for pairs of picture and caption.

    Args:
        real: Logits of real pictures with their captions.
        fake: Logits of generated pictures with the captions that they were generated from.
        wrong: Logits of real pictures with captions that are not true of them.

    Source: Reed et al. 2016, arXiv 1605.05396, Algorithm 1 (GAN-CLS).
    """
    return logistic_discriminator(real, fake) / 2 + logistic_discriminator(real, wrong) / 2


def r1_penalty(discriminator: Discriminator, real: Float[Tensor, "batch 3 H W"]) -> Scalar:
    """Return ``E[|grad D(real)|^2] / 2``; multiply by gamma.

    Args:
        discriminator: From images ``[batch, 3, H, W]`` to logits ``[batch]``.
        real: Real images.

    Source: Mescheder et al. 2018, Eq. 9.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=tuple(range(1, real.ndim))).mean() / 2


def drift(real: Logits) -> Scalar:
    """Return ``E[real^2]``, which keeps the logits of the Wasserstein loss from drifting away.

    Source: Karras et al. 2018, Appendix A.1.
    """
    return real.square().mean()


def gradient_penalty(
    discriminator: Discriminator, real: Float[Tensor, "batch 3 H W"], fake: Float[Tensor, "batch 3 H W"], draws: Draws
) -> Scalar:
    """Return ``E[(|grad D(x)| - 1)^2]`` at points x between real and fake images; multiply by lambda.

    Args:
        discriminator: From images ``[batch, 3, H, W]`` to logits ``[batch]``.
        real: Real images.
        fake: The same number of generated images.
        draws: Draws the mixing weights.

    Source: Gulrajani et al. 2017, Eq. 3.
    """
    weight = draws.uniform(*[1] * (real.ndim - 1)).to(real.device)
    between = torch.lerp(real.detach(), fake.detach(), weight).requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    length: Tensor = gradient.flatten(1).norm(dim=1)
    return (length - 1).square().mean()


def orthogonal_penalty(network: nn.Module) -> Scalar:
    """Return ``sum |W W^T * (1 - I)|^2`` over the weights of linear layers and convolutions; multiply by beta.

    Each weight is a matrix W with one row per output unit, so the penalty is that of the inner products of different
    units' weights, whatever their lengths. With spectral norm it is that of the weights before they are divided.

    Args:
        network: Network, whose embeddings are left out.

    Source: Brock et al. 2019, Eq. 3, where the weights of a unit are a column of W.
    """
    weights = (_stored_weight(module) for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d))
    return torch.stack([_penalize_products(weight.flatten(1)) for weight in weights]).sum()


def _stored_weight(module: nn.Linear | nn.Conv2d) -> Tensor:
    """Return a layer's weight, without spectral norm."""
    stored = dict(module.named_parameters())
    return stored["parametrizations.weight.original" if parametrize.is_parametrized(module, "weight") else "weight"]


def _penalize_products(matrix: Float[Tensor, "row column"]) -> Scalar:
    products = matrix @ matrix.T
    return (products - products.diagonal().diag()).square().sum()


@dataclass(frozen=True, slots=True)
class GANLoss:
    """A pair of losses, and what keeps the discriminator's gradients bounded.

    Attributes:
        discriminator: From the logits of real and generated images to the discriminator's loss.
        generator: From the logits of generated images to the generator's loss.
        penalized: Whether `gradient_penalty` and `drift` belong to it.
        clipped: Whether the discriminator's weights are clipped.
    """

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits], Scalar]
    penalized: bool = False
    clipped: bool = False


LOSSES: Mapping[str, GANLoss] = {
    "logistic": GANLoss(logistic_discriminator, logistic_generator),
    "minimax": GANLoss(logistic_discriminator, minimax_generator),
    "least-squares": GANLoss(least_squares_discriminator, least_squares_generator),
    "hinge": GANLoss(hinge_discriminator, mean_generator),
    "wasserstein": GANLoss(wasserstein_discriminator, mean_generator, clipped=True),
    "wgan-gp": GANLoss(wasserstein_discriminator, mean_generator, penalized=True),
}
"""The losses by name."""
