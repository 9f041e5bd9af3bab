"""Spectral normalization: weights divided by an estimate of their largest singular value.

It is part of the training. `normalize_spectrally` adds it to the layers of a network, and `fold` returns plain weights,
with which the same network without it computes the same.

Source: Miyato et al. 2018, arXiv 1802.05957, Sec. 2.1 and Algorithm 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

NORMALIZED = (nn.Conv2d, nn.Linear, nn.Embedding)
"""Layers whose weight is normalized."""
FIRST_STEPS = 15
"""Steps of the power iteration before the first use, so that the estimate is near from the start."""


class SpectralNorm(nn.Module):
    """Divide a weight, as a matrix of one row per output unit, by its largest singular value.

    The estimate comes from power iteration: one step per use in training, none in eval mode. The gradient holds both
    singular vectors constant.

    Args:
        weight: Weight to normalize.

    Attributes:
        u: Estimate of the first left singular vector, ``[row]``. A moving average of it need not have length 1.
    """

    u: Float[Tensor, " row"]

    def __init__(self, weight: Float[Tensor, "row ..."]) -> None:
        super().__init__()
        self.register_buffer("u", weight.new_empty(len(weight)).normal_())
        for _ in range(FIRST_STEPS):
            self._step(weight.flatten(1))

    def forward(self, weight: Float[Tensor, "row ..."]) -> Float[Tensor, "row ..."]:
        """Return the normalized weight."""
        matrix = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._step(matrix)
            u = functional.normalize(self.u, dim=0)
            with torch.no_grad():
                v = functional.normalize(matrix.T @ u, dim=0)
            return weight / torch.dot(u, matrix @ v)

    @torch.no_grad()
    def _step(self, matrix: Float[Tensor, "row column"]) -> None:
        v = functional.normalize(matrix.T @ self.u, dim=0)
        self.u = functional.normalize(matrix @ v, dim=0)  # a new tensor: an earlier pass may still need the old one


def normalize_spectrally(network: nn.Module) -> None:
    """Normalize the weights of every linear layer, convolution and embedding, in place."""
    for module in list(network.modules()):
        if isinstance(module, NORMALIZED):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight.detach()), unsafe=True)


def fold(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state with the weights that it computes with, under their plain names.

    Args:
        network: Network in eval mode, with or without spectral normalization.
    """
    state: dict[str, Tensor] = {
        name: value for name, value in network.state_dict().items() if ".parametrizations." not in name
    }
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            weight: Tensor = module.weight
            state[f"{name}.weight"] = weight.detach()
    return state
