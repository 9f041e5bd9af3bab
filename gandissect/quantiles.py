"""Exact order statistics of more values than fit in memory.

Finite float32 values are ordered as integers (their *keys*). Each unit has a *bracket*: keys (low, high]
among which the value of the wanted rank lies, and how many values lie above. A histogram over a bracket
narrows it; a bracket of one key is the value itself. The work adds up integers only, so it may be cut anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction

import torch
from torch import Tensor

_FLIP = 0x7FFFFFFF


def rank_of(quantile: float, num_values: int) -> int:
    """Return the descending rank (1 is the largest) of the value that at most ``quantile`` of all exceed.

    It is ``floor(quantile * num_values) + 1``, with ``quantile`` read as the decimal that it is written as.

    Args:
        quantile: Above 0, below 1.
        num_values: 1 or more.

    Raises:
        ValueError: If the quantile is out of range.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile is the share of pixels on which a unit is on, above 0 and below 1; got {quantile}")
    return math.floor(Fraction(repr(float(quantile))) * num_values) + 1


def to_keys(values: Tensor) -> Tensor:
    """Return int64 keys that are ordered, and equal, as the float32 values are; -0.0 is 0.0."""
    bits = (values + 0.0).view(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).long()


def from_keys(keys: Tensor) -> Tensor:
    """Return the float32 values of keys; the inverse of `to_keys`."""
    bits = keys.to(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).view(torch.float32)


def values_below(keys: Tensor) -> Tensor:
    """Return float32 values that a value exceeds if, and only if, its key exceeds the key given."""
    return from_keys(torch.where(keys == -1, -2, keys))  # -1 would be -0.0, which 0.0 does not exceed


@dataclass(frozen=True, slots=True, eq=False)
class Brackets:
    """Between which keys each unit's threshold lies.

    Args:
        low: int64 ``[unit]``; the threshold's key is above.
        high: int64 ``[unit]``; the threshold's key is not above.
        above: int64 ``[unit]``, values whose key is above ``high``.
        inside: int64 ``[unit]``, values whose key is in (low, high].
    """

    low: Tensor
    high: Tensor
    above: Tensor
    inside: Tensor

    @property
    def exact(self) -> Tensor:
        """Whether one key is left, bool ``[unit]``."""
        return self.high - self.low == 1

    def where(self, chosen: Tensor, other: Brackets) -> Brackets:
        """Return these brackets for the chosen units, bool ``[unit]``, and the other ones for the rest."""
        names = [each.name for each in fields(self)]
        return Brackets(*(torch.where(chosen, getattr(self, name), getattr(other, name)) for name in names))


def guess_brackets(pilot: Tensor, low_rank: Tensor, high_rank: Tensor) -> Brackets:
    """Return brackets from the largest values of a part of the data; they may prove wrong, and then `narrow` moves on.

    Args:
        pilot: float32 ``[unit, rank]``, the largest values, falling.
        low_rank: int64 ``[unit]``, descending rank of the value from which to look, 1 or more; 0 for everything.
        high_rank: int64 ``[unit]``, descending rank of the value up to which to look closely, 1 or more.
    """
    low, high = (
        to_keys(pilot.gather(1, (rank - 1).clamp(min=0)[:, None]).squeeze(1)) for rank in (low_rank, high_rank)
    )
    # One below the value, so that many values equal to it (a ReLU's zeros) fall in a bin of their own.
    low = torch.where(low_rank > 0, low - 1, to_keys(torch.tensor(-torch.inf, dtype=torch.float32, device=low.device)))
    return Brackets(low, high, torch.zeros_like(low), torch.zeros_like(low))


def narrow(brackets: Brackets, counts: Tensor, extent: tuple[Tensor, Tensor], rank: int, num_values: int) -> Brackets:
    """Return smaller brackets, from a histogram over the old ones.

    Args:
        brackets: The old ones.
        counts: int64 ``[unit, bin + 1]``, values in each bin of `bin_edges`, then those above the last edge.
        extent: int64 ``[unit]`` each, a key that no value is below, and one that no value is above.
        rank: Descending rank of the threshold, 1 or more.
        num_values: Of each unit.
    """
    bins, beyond = counts[:, :-1], counts[:, -1]
    reached = bins.flip(1).cumsum(1) + beyond[:, None]  # values above each bin's lower edge, highest bin first
    position = (reached < rank).sum(1)
    chosen = (bins.shape[1] - 1 - position).clamp(min=0)
    edges = bin_edges(brackets, bins.shape[1])
    low, high = (edges.gather(1, chosen[:, None] + step).squeeze(1) for step in (0, 1))
    inside = bins.gather(1, chosen[:, None]).squeeze(1)
    above = reached.gather(1, position.clamp(max=bins.shape[1] - 1)[:, None]).squeeze(1) - inside
    too_high, too_low = beyond >= rank, reached[:, -1] < rank
    low, high = torch.where(too_high, edges[:, -1], low), torch.where(too_high, extent[1], high)
    above, inside = torch.where(too_high, 0, above), torch.where(too_high, beyond, inside)
    low, high = torch.where(too_low, extent[0] - 1, low), torch.where(too_low, brackets.low, high)
    above = torch.where(too_low, reached[:, -1], above)
    inside = torch.where(too_low, num_values - above, inside)
    return Brackets(torch.maximum(low, extent[0] - 1), torch.minimum(high, extent[1]), above, inside)


def bin_width(brackets: Brackets, num_bins: int) -> Tensor:
    """Return how many keys each of a unit's bins but the first holds, which holds one, so that all hold a bracket."""
    rest = (brackets.high - brackets.low - 1).clamp(min=1)
    return torch.div(rest + num_bins - 2, num_bins - 1, rounding_mode="floor")


def bin_edges(brackets: Brackets, num_bins: int) -> Tensor:
    """Return int64 ``[unit, bin + 1]``: bin ``b`` holds the keys above edge ``b`` up to edge ``b + 1``.

    The first bin holds one key, the others as many as each other, so that the last edge may lie above the bracket.
    """
    steps = torch.arange(num_bins, device=brackets.low.device) * bin_width(brackets, num_bins)[:, None]
    return torch.cat([brackets.low[:, None], brackets.low[:, None] + 1 + steps], 1)


def bin_of(brackets: Brackets, num_bins: int, unit: Tensor, key: Tensor) -> Tensor:
    """Return the bin of each value, ``num_bins`` for those above the last edge.

    Args:
        brackets: Those of all units.
        num_bins: 3 or more.
        unit: int64 ``[value]``, to which unit it belongs.
        key: int64 ``[value]``, above the unit's bracket's ``low``.
    """
    start, per_key = bin_scale(brackets, num_bins)
    share = (key - start[unit]) * per_key[unit]
    return share.floor_().long().add_(1).clamp_(max=num_bins)


def bin_scale(brackets: Brackets, num_bins: int) -> tuple[Tensor, Tensor]:
    """Return what is taken from a key and what the rest is multiplied by to give its bin less 1, float64 ``[unit]``."""
    start = brackets.low.double() + 1.5  # half a key below the second bin: no quotient is near a whole number
    return start, bin_width(brackets, num_bins).double().reciprocal()
