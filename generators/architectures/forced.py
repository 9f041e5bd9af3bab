"""Units of a generator that are forced to values for good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gandissect.core.types import UnitSet

SUFFIX = ".forced"
"""By this end of a tensor's name a file tells which of its stages are standing ones."""

VALUES = ".values"
"""The end of the name of what their units are forced to."""


class ForcedUnits(nn.Module):
    """A stage of a generator, some of whose units always have the same value.

    It takes the stage's place under its name, so that whoever reads or changes the layer's output sees the forced one.

    Args:
        stage: Module whose output is activations ``[batch, unit, h, w]``, or hidden vectors ``[batch, unit]``.
        num_units: How many units it has.

    Attributes:
        forced: bool ``[unit]``, which units; none at first.
        values: ``[unit]``, what they are forced to; 0 for the others.
    """

    forced: Bool[Tensor, " unit"]
    values: Float[Tensor, " unit"]

    def __init__(self, stage: nn.Module, num_units: int) -> None:
        super().__init__()
        self.stage = stage
        self.register_buffer("forced", torch.zeros(num_units, dtype=torch.bool, device="cpu"))
        self.register_buffer("values", torch.zeros(num_units, dtype=torch.float32, device="cpu"))

    def force(self, units: Sequence[int], values: Sequence[float]) -> None:
        """Force some units to values from now on."""
        index = list(units)
        self.forced[index] = True
        self.values[index] = torch.tensor(values, dtype=self.values.dtype, device=self.values.device)

    def forward(self, *arguments: Any) -> Float[Tensor, "batch unit *grid"]:
        """Return the stage's activations with the forced units at their values."""
        x: Tensor = self.stage(*arguments)
        shape = (-1, *[1] * (x.ndim - 2))
        return torch.where(self.forced.view(shape), self.values.view(shape).to(x.dtype), x)


def check_forced(units: UnitSet, values: Sequence[float], num_units: int) -> None:
    """Refuse units that a layer does not have, and values that do not fit them.

    Raises:
        ValueError: Naming them.
    """
    if wrong := [unit for unit in units.units if unit >= num_units]:
        raise ValueError(f"{units.layer!r} has the units 0 to {num_units - 1}; got {wrong}")
    if len(values) != len(units) or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values are finite, one for each of the {len(units)} units; got {list(values)}")


def describe_forced(units: UnitSet, values: Sequence[float]) -> str:
    """Return what was done to units, for a generator's name."""
    which = f"{len(units)} unit{'s' if len(units) > 1 else ''} of {units.layer}"
    return f"with {which} held" if any(values) else f"less {which}"
