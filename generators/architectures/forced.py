"""Units of a generator that are permanently forced to values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gandissect.core.types import UnitSet

SUFFIX = ".forced"
"""Suffix of the tensors that mark stages with forced units in a file."""

VALUES = ".values"
"""Suffix of the tensors that contain the values of forced units."""


class ForcedUnits(nn.Module):
    """A stage of a generator, some of whose units always have the same value.

    It replaces the stage under its name, so hooks on the layer see the forced output.

    Args:
        stage: Module that returns activations ``[batch, unit, h, w]`` or hidden vectors ``[batch, unit]``.
        num_units: Number of units of the stage.

    Attributes:
        forced: bool ``[unit]``, whether a unit is forced; all False at first.
        values: ``[unit]``, values of the forced units; 0 for the others.
    """

    forced: Bool[Tensor, " unit"]
    values: Float[Tensor, " unit"]

    def __init__(self, stage: nn.Module, num_units: int) -> None:
        super().__init__()
        self.stage = stage
        self.register_buffer("forced", torch.zeros(num_units, dtype=torch.bool, device="cpu"))
        self.register_buffer("values", torch.zeros(num_units, dtype=torch.float32, device="cpu"))

    def force(self, units: Sequence[int], values: Sequence[float]) -> None:
        """Permanently force units to values."""
        index = list(units)
        self.forced[index] = True
        self.values[index] = torch.tensor(values, dtype=self.values.dtype, device=self.values.device)

    def forward(self, *arguments: Any) -> Float[Tensor, "batch unit *grid"]:
        """Return the stage's activations with the forced units set to their values."""
        x: Tensor = self.stage(*arguments)
        shape = (-1, *[1] * (x.ndim - 2))
        return torch.where(self.forced.view(shape), self.values.view(shape).to(x.dtype), x)


def check_forced(units: UnitSet, values: Sequence[float], num_units: int) -> None:
    """Check units and their values against a layer.

    Raises:
        ValueError: If the layer lacks a unit, or the values are not one finite number per unit.
    """
    if wrong := [unit for unit in units.units if unit >= num_units]:
        raise ValueError(f"units of {units.layer!r} must be in [0, {num_units - 1}]; got {wrong}")
    if len(values) != len(units) or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values must be {len(units)} finite numbers, one per unit; got {list(values)}")


def describe_forced(units: UnitSet, values: Sequence[float]) -> str:
    """Describe forced units, as a suffix of a generator's name."""
    which = f"{len(units)} unit{'s' if len(units) > 1 else ''} of {units.layer}"
    return f"with {which} held" if any(values) else f"less {which}"
