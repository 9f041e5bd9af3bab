"""Techniques that steady a GAN's training: feature matching, one-sided label smoothing and historical averaging.

Two others are parts of the networks: minibatch discrimination (`architectures.minibatch`) and virtual batch norm
(`architectures.virtual_norm`).

Source: Salimans et al. 2016, arXiv 1606.03498, Sec. 3.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .losses import Logits, Scalar, logistic_discriminator


def match_features(real: Float[Tensor, "batch ..."], fake: Float[Tensor, "batch ..."]) -> Scalar:
    """Return ``|E[f(real)] - E[f(fake)]|^2``, the generator's loss of feature matching.

    Args:
        real: Features of real images, from the discriminator's last hidden layer.
        fake: Features of generated images.

    Source: Salimans et al. 2016, Sec. 3.1.
    """
    return (real.mean(0) - fake.mean(0)).square().sum()


def smoothed_logistic_discriminator(real: Logits, fake: Logits, smoothing: float) -> Scalar:
    """Return the discriminator's logistic loss with the target ``1 - smoothing`` for real images, 0 for generated ones.

    The cross-entropy ``(1 - s) softplus(-real) + s softplus(real)`` equals ``softplus(-real) + s real``.

    Args:
        real: Logits of real images.
        fake: Logits of generated images, whose target is never smoothed.
        smoothing: What the target of real images lacks of 1.

    Source: Salimans et al. 2016, Sec. 3.4.
    """
    return logistic_discriminator(real, fake) + smoothing * real.mean()


class History:
    """The mean of each network's weights over the past of a training.

    Source: Salimans et al. 2016, Sec. 3.3.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._means: dict[str, list[Tensor]] = {}

    def distance(self, name: str, network: nn.Module) -> Scalar:
        """Return the squared distance of a network's weights from their mean; 0 without a past."""
        weights = list(network.parameters())
        means = self._means.get(name, [weight.detach() for weight in weights])
        parts = [(weight - mean.to(weight.device)).square().sum() for weight, mean in zip(weights, means, strict=True)]
        return torch.stack(parts).sum()

    @torch.no_grad()
    def observe(self, name: str, network: nn.Module) -> None:
        """Add a network's weights to the past."""
        weights = [weight.detach() for weight in network.parameters()]
        count = self._counts[name] = self._counts.get(name, 0) + 1
        means = self._means.setdefault(name, [torch.zeros_like(weight) for weight in weights])
        self._means[name] = [
            torch.lerp(mean.to(weight.device), weight, 1 / count) for mean, weight in zip(means, weights, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the means and the number of weights in each."""
        return {"counts": dict(self._counts), "means": {name: list(means) for name, means in self._means.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the means."""
        self._counts, self._means = dict(state["counts"]), dict(state["means"])
