"""Units of a generator that are forced to values for good."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SUFFIX = ".forced"
"""By this end of a tensor's name a file tells which of its stages are standing ones."""

VALUES = ".values"
"""The end of the name of what their units are forced to."""


class Standing(nn.Module):
    """A stage of a generator, some of whose units always have the same value.

    It takes the stage's place under its name, so that whoever reads or changes the layer's output sees the forced one.

    Args:
        stage: What gives activations ``[batch, unit, h, w]``.
        num_units: How many units it has.

    Attributes:
        forced: bool ``[unit]``, which units; none at first.
        values: ``[unit]``, what they are forced to; 0 for the others.
    """

    forced: Tensor
    values: Tensor

    def __init__(self, stage: nn.Module, num_units: int) -> None:
        super().__init__()
        self.stage = stage
        self.register_buffer("forced", torch.zeros(num_units, dtype=torch.bool))
        self.register_buffer("values", torch.zeros(num_units))

    def forward(self, *given: Any) -> Tensor:
        """Return the stage's activations with the forced units at their values."""
        x: Tensor = self.stage(*given)
        return torch.where(self.forced[:, None, None], self.values[:, None, None].to(x.dtype), x)
