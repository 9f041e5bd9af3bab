"""Exact order statistics of more values than fit in memory.

Finite float32 values are ordered as integers (their *keys*). Each unit has a *bracket*: keys (low, high]
among which the value of the wanted rank lies, and how many values lie above. A histogram over a bracket
narrows it; a bracket of one key is the value itself. The work adds up integers only, so it may be cut anywhere.

The bins of a histogram hold as many keys as each other: a few narrowings end at one key, whatever the values are.
But there are as many keys between 0 and 1 as above 1: over a first bracket that reaches near zero such bins would be
wide where the values are, and they are as wide as each other in value instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

_FLIP = 0x7FFFFFFF
_INFINITY = 0x7F800000  # its key; the least one of all has ~_INFINITY
_APART = 2**33  # more than all keys

WIDE = 2**25
"""Over a first bracket of more keys than this (4 octaves), bins are as wide as each other in value."""


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


def to_keys(values: Float32[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return int64 keys that are ordered, and equal, as the float32 values are; -0.0 is 0.0."""
    bits = (values + 0.0).view(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).long()


def from_keys(keys: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Return the float32 values of keys; the inverse of `to_keys`."""
    bits = keys.to(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).view(torch.float32)


def values_below(keys: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
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
        guessed: Whether they are of a part of the data, and have not been narrowed.
    """

    low: Int64[Tensor, " unit"]
    high: Int64[Tensor, " unit"]
    above: Int64[Tensor, " unit"]
    inside: Int64[Tensor, " unit"]
    guessed: bool = False

    @property
    def exact(self) -> Bool[Tensor, " unit"]:
        """Whether one key is left, bool ``[unit]``."""
        return self.high - self.low == 1

    def cpu(self) -> Brackets:
        """Return these brackets on the CPU, whatever device they are on."""
        return Brackets(self.low.cpu(), self.high.cpu(), self.above.cpu(), self.inside.cpu(), self.guessed)

    def where(self, chosen: Bool[Tensor, " unit"], other: Brackets) -> Brackets:
        """Return these brackets for the chosen units, bool ``[unit]``, and the other ones for the rest."""
        low, high, above, inside = (
            torch.where(chosen, getattr(self, name), getattr(other, name))
            for name in ("low", "high", "above", "inside")
        )
        return Brackets(low, high, above, inside)


def guess_brackets(
    pilot: Float32[Tensor, "unit rank"], low_rank: Int64[Tensor, " unit"], high_rank: Int64[Tensor, " unit"]
) -> Brackets:
    """Return brackets from the largest values of a part of the data; `narrow_brackets` moves on if they prove wrong.

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
    return Brackets(low, high, torch.zeros_like(low), torch.zeros_like(low), guessed=True)


def narrow_brackets(
    edges: Int64[Tensor, "unit edge"],
    counts: Int64[Tensor, "unit edge"],
    extent: tuple[Int64[Tensor, " unit"], Int64[Tensor, " unit"]],
    rank: int,
    num_values: int,
) -> Brackets:
    """Return smaller brackets, from a histogram.

    Args:
        edges: int64 ``[unit, bin + 1]``, those of its bins, from `bin_edges`.
        counts: int64 ``[unit, bin + 1]``, values in each bin, then those above the last edge.
        extent: int64 ``[unit]`` each, a key that no value is below, and one that no value is above.
        rank: Descending rank of the threshold, 1 or more.
        num_values: Of each unit.
    """
    bins, beyond = counts[:, :-1], counts[:, -1]
    reached = bins.flip(1).cumsum(1) + beyond[:, None]  # values above each bin's lower edge, highest bin first
    position = (reached < rank).sum(1)
    chosen = (bins.shape[1] - 1 - position).clamp(min=0)
    low, high = (edges.gather(1, chosen[:, None] + step).squeeze(1) for step in (0, 1))
    inside = bins.gather(1, chosen[:, None]).squeeze(1)
    above = reached.gather(1, position.clamp(max=bins.shape[1] - 1)[:, None]).squeeze(1) - inside
    too_high, too_low = beyond >= rank, reached[:, -1] < rank
    low, high = torch.where(too_high, edges[:, -1], low), torch.where(too_high, extent[1], high)
    above, inside = torch.where(too_high, 0, above), torch.where(too_high, beyond, inside)
    low, high = torch.where(too_low, extent[0] - 1, low), torch.where(too_low, edges[:, 0], high)
    above = torch.where(too_low, reached[:, -1], above)
    inside = torch.where(too_low, num_values - above, inside)
    return Brackets(torch.maximum(low, extent[0] - 1), torch.minimum(high, extent[1]), above, inside)


@dataclass(frozen=True, slots=True, eq=False)
class BinScale:
    """How a value's bin is found: its place, less the origin, times the scale, rounded up; 0 is the first bin.

    Args:
        by_value: bool ``[unit]``, whether the place is the value itself; otherwise it is the key.
        origin: float64 ``[unit]``, the place of the only key in the first bin.
        scale: float64 ``[unit]``, bins per place.
    """

    by_value: Bool[Tensor, " unit"]
    origin: Float64[Tensor, " unit"]
    scale: Float64[Tensor, " unit"]


def bin_scale(brackets: Brackets, num_bins: int) -> BinScale:
    """Return how to divide brackets into ``num_bins`` bins, 3 or more; the last edge may lie above the bracket.

    It is float64, which not every device has: give brackets on the CPU.
    """
    first = brackets.low + 1
    ends = [from_keys(end.clamp(max=_INFINITY - 1)).double() for end in (first, brackets.high)]
    by_value = (
        brackets.guessed & (brackets.high - brackets.low > WIDE) & (brackets.low > ~_INFINITY)
    )  # not over everything
    rest = (brackets.high - first).clamp(min=1)
    width = torch.div(rest + num_bins - 2, num_bins - 1, rounding_mode="floor").double()
    per_place = torch.where(by_value, (num_bins - 1) / (ends[1] - ends[0]), width.reciprocal())
    # A trifle less, so that what lies at a bin's upper edge is not rounded up into the next one.
    per_place = torch.nextafter(per_place, torch.zeros_like(per_place))
    return BinScale(by_value, torch.where(by_value, ends[0], first.double()), per_place)


def bin_of(
    scale: BinScale, num_bins: int, unit: Int64[Tensor, "*value"], key: Int64[Tensor, "*value"]
) -> Int64[Tensor, "*value"]:
    """Return the bin of each value, ``num_bins`` for those above the last edge.

    Args:
        scale: Of all units, from `bin_scale`.
        num_bins: 3 or more.
        unit: int64 ``[value]``, to which unit it belongs.
        key: int64 ``[value]``, that of a finite value, above the unit's bracket's ``low``.
    """
    place = torch.where(scale.by_value[unit], from_keys(key).double(), key.double())
    return place.sub_(scale.origin[unit]).mul_(scale.scale[unit]).ceil_().clamp_(max=num_bins).long()


def find_bins(
    edges: Int64[Tensor, "unit edge"], unit: Int64[Tensor, "*value"], key: Int64[Tensor, "*value"]
) -> Int64[Tensor, "*value"]:
    """Return the bin of each value, as `bin_of` does, from the edges alone: by whole numbers, on any device.

    Args:
        edges: int64 ``[unit, bin + 1]``, from `bin_edges`.
        unit: int64 ``[value]``, to which unit it belongs.
        key: int64 ``[value]``, that of a finite value, above the unit's lowest edge.
    """
    units, num_bins = len(edges), edges.shape[1] - 1
    first = torch.arange(units, device=edges.device)[:, None] * _APART
    upper = (edges[:, 1:] + first).flatten()
    return torch.searchsorted(upper, key + unit * _APART) - unit * num_bins


def bin_edges(brackets: Brackets, num_bins: int) -> Int64[Tensor, "unit edge"]:
    """Return int64 ``[unit, bin + 1]``: bin ``b`` holds the keys above edge ``b`` up to edge ``b + 1``.

    They are sought by halving, from `bin_of` itself, so that the two cannot disagree by a rounding.
    """
    scale, units = bin_scale(brackets, num_bins), len(brackets.low)
    below = (brackets.low + 1)[:, None].repeat(1, num_bins)  # of the wanted bin, or lower
    beyond = torch.full_like(below, _INFINITY)
    unit = torch.arange(units, device=below.device)[:, None].expand_as(below)
    wanted = torch.arange(num_bins, device=below.device)
    for _ in range(32):  # as many as there are bits in a key
        middle = torch.div(below + beyond, 2, rounding_mode="floor")
        inside = bin_of(scale, num_bins, unit, middle) <= wanted
        below, beyond = torch.where(inside, middle, below), torch.where(inside, beyond, middle)
    return torch.cat([brackets.low[:, None], below], 1)
