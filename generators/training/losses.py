"""What the discriminator and the generator minimize, as functions of logits.

``real`` and ``fake`` are the discriminator's logits, float ``[batch]``, positive for "looks real".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

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


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[max(0, 1 - real)] + E[max(0, 1 + fake)]``.

    Source: Miyato et al. 2018, Eq. 16.
    """
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def wasserstein_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Return ``E[fake] - E[real]``; it wants `gradient_penalty`.

    Source: Arjovsky et al. 2017, Eq. 2.
    """
    return fake.mean() - real.mean()


def mean_generator(fake: Logits) -> Scalar:
    """Return ``-E[fake]``, the generator's part of the hinge and the Wasserstein loss."""
    return -fake.mean()


def r1_penalty(discriminator: Discriminator, real: Float[Tensor, "batch 3 H W"]) -> Scalar:
    """Return ``E[|grad D(real)|^2] / 2``; multiply by gamma.

    Args:
        discriminator: From images ``[batch, 3, H, W]`` to logits ``[batch]``.
        real: Real images.

    Source: Mescheder et al. 2018, Eq. 9.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2


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
        fake: As many generated ones.
        draws: Draws the mixing weights.

    Source: Gulrajani et al. 2017, Eq. 3.
    """
    weight = draws.uniform(1, 1, 1).to(real.device)
    between = torch.lerp(real.detach(), fake.detach(), weight).requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    length: Tensor = gradient.flatten(1).norm(dim=1)
    return (length - 1).square().mean()


@dataclass(frozen=True, slots=True)
class GANLoss:
    """A pair of losses and the weights of the penalties that belong to them: gradient penalty and drift."""

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits], Scalar]
    penalty_weight: float = 0.0
    drift_weight: float = 0.0


LOSSES = {
    "logistic": GANLoss(logistic_discriminator, logistic_generator),
    "hinge": GANLoss(hinge_discriminator, mean_generator),
    "wgan-gp": GANLoss(wasserstein_discriminator, mean_generator, penalty_weight=10.0, drift_weight=1e-3),
}
"""The losses by name."""
