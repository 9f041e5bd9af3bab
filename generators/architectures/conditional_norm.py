"""Normalization with a scale and an offset per class."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import spread_channels


class ConditionalNorm(nn.Module):
    """A normalization that is followed by a scale and an offset per class.

    Args:
        norm: Normalization, without scale and offset of its own.
        units: Number of units.
        num_classes: Number of classes.

    Attributes:
        scale: Scale of each unit, ``[class, unit]``; 1 at first.
        offset: Offset of each unit, ``[class, unit]``; 0 at first.
    """

    def __init__(self, norm: nn.Module, units: int, num_classes: int) -> None:
        super().__init__()
        self.norm = norm
        self.scale = nn.Parameter(torch.ones(num_classes, units))
        self.offset = nn.Parameter(torch.zeros(num_classes, units))

    def forward(
        self, x: Float[Tensor, "batch unit h w"], classes: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return normalized activations of the same shape.

        Args:
            x: Activations, ``[batch, unit, h, w]``.
            classes: Weight of each class, ``[batch, class]``, one-hot for one class.
        """
        normalized: Tensor = self.norm(x)
        scale, offset = (spread_channels(classes @ values, normalized) for values in (self.scale, self.offset))
        return normalized * scale + offset
