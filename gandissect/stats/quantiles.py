"""Exact order statistics of more values than fit in memory.

Finite float32 values are mapped to integers of the same order, their *keys*. Each unit has a *bracket*: a range of keys
(low, high] that contains the threshold (the value of a given rank), and the number of values above it. A histogram
over a bracket narrows it; a bracket of a single key is the threshold itself. Only integers are summed, so the data may
be split anywhere.

All bins of a histogram have the same number of keys, so a few rounds of narrowing end at a single key whatever the
values are. However, there are as many keys between 0 and 1 as above 1. In a first bracket that reaches close to zero,
such bins would be wide where most values are, so bins of equal width in value are used there instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

_FLIP = 0x7FFFFFFF
_INFINITY = 0x7F800000  # key of infinity; that of minus infinity is ~_INFINITY
_APART = 2**33  # more than the number of keys

WIDE = 2**25
"""Number of keys (4 octaves) above which the bins of a first bracket have equal width in value."""


def rank_of(quantile: float, num_values: int) -> int:
    """Return the descending rank (1 is the largest) of the value that at most a share ``quantile`` of values exceed.

    It is ``floor(quantile * num_values) + 1``, with ``quantile`` taken as the decimal number that it is printed as.

    Args:
        quantile: Share of values above the threshold, in (0, 1).
        num_values: Number of values, at least 1.

    Raises:
        ValueError: If the quantile is out of range.
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile, the share of pixels where a unit is on, must be in (0, 1); got {quantile}")
    return math.floor(Fraction(repr(float(quantile))) * num_values) + 1


def to_keys(values: Float32[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return int64 keys with the order and equality of the float32 values; -0.0 equals 0.0."""
    bits = (values + 0.0).view(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).long()


def from_keys(keys: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Return the float32 values of keys, the inverse of `to_keys`."""
    bits = keys.to(torch.int32)
    return torch.where(bits < 0, bits ^ _FLIP, bits).view(torch.float32)


def values_below(keys: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Return float32 values that another value exceeds if and only if its key exceeds the given key."""
    return from_keys(torch.where(keys == -1, -2, keys))  # -1 would be -0.0, which 0.0 does not exceed


@dataclass(frozen=True, slots=True, eq=False)
class Brackets:
    """Ranges of keys that contain each unit's threshold.

    Args:
        low: int64 ``[unit]``, lower bounds; the threshold's key is greater.
        high: int64 ``[unit]``, upper bounds; the threshold's key is not greater.
        above: int64 ``[unit]``, numbers of values whose key is above ``high``.
        inside: int64 ``[unit]``, numbers of values whose key is in (low, high].
        guessed: Whether the brackets come from part of the data and have not been narrowed yet.
    """

    low: Int64[Tensor, " unit"]
    high: Int64[Tensor, " unit"]
    above: Int64[Tensor, " unit"]
    inside: Int64[Tensor, " unit"]
    guessed: bool = False

    @property
    def exact(self) -> Bool[Tensor, " unit"]:
        """Whether a single key is left, bool ``[unit]``."""
        return self.high - self.low == 1

    def cpu(self) -> Brackets:
        """Return these brackets on the CPU."""
        return Brackets(self.low.cpu(), self.high.cpu(), self.above.cpu(), self.inside.cpu(), self.guessed)

    def where(self, chosen: Bool[Tensor, " unit"], other: Brackets) -> Brackets:
        """Return these brackets where ``chosen``, bool ``[unit]``, is true and the other brackets elsewhere."""
        low, high, above, inside = (
            torch.where(chosen, getattr(self, name), getattr(other, name))
            for name in ("low", "high", "above", "inside")
        )
        return Brackets(low, high, above, inside)


def guess_brackets(
    pilot: Float32[Tensor, "unit rank"], low_rank: Int64[Tensor, " unit"], high_rank: Int64[Tensor, " unit"]
) -> Brackets:
    """Return brackets guessed from the largest values of part of the data; `narrow_brackets` corrects wrong guesses.

    Args:
        pilot: float32 ``[unit, rank]``, the largest values in descending order.
        low_rank: int64 ``[unit]``, descending rank of the value at the bracket's lower end, at least 1; 0 for no lower
            bound.
        high_rank: int64 ``[unit]``, descending rank of the value at the bracket's upper end, at least 1.
    """
    low, high = (
        to_keys(pilot.gather(1, (rank - 1).clamp(min=0)[:, None]).squeeze(1)) for rank in (low_rank, high_rank)
    )
    # One below the value, so that many values equal to it (a ReLU's zeros) get a bin to themselves.
    low = torch.where(low_rank > 0, low - 1, to_keys(torch.tensor(-torch.inf, dtype=torch.float32, device=low.device)))
    return Brackets(low, high, torch.zeros_like(low), torch.zeros_like(low), guessed=True)


def narrow_brackets(
    edges: Int64[Tensor, "unit edge"],
    counts: Int64[Tensor, "unit edge"],
    extent: tuple[Int64[Tensor, " unit"], Int64[Tensor, " unit"]],
    rank: int,
    num_values: int,
) -> Brackets:
    """Return narrower brackets from a histogram.

    Args:
        edges: int64 ``[unit, bin + 1]``, edges of the bins, from `bin_edges`.
        counts: int64 ``[unit, bin + 1]``, number of values in each bin, then above the last edge.
        extent: int64 ``[unit]`` each, lower and upper bounds of the keys of all values.
        rank: Descending rank of the threshold, at least 1.
        num_values: Number of values per unit.
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
    """The mapping from values to bins: ``ceil((position - origin) * scale)``, where 0 is the first bin.

    Args:
        by_value: bool ``[unit]``, whether the position is the value itself; otherwise it is the key.
        origin: float64 ``[unit]``, position of the only key in the first bin.
        scale: float64 ``[unit]``, bins per unit of position.
    """

    by_value: Bool[Tensor, " unit"]
    origin: Float64[Tensor, " unit"]
    scale: Float64[Tensor, " unit"]


def bin_scale(brackets: Brackets, num_bins: int) -> BinScale:
    """Return the scale that divides brackets into ``num_bins`` bins, at least 3; the last edge may exceed the bracket.

    The brackets must be on the CPU, since not every device has float64.
    """
    first = brackets.low + 1
    ends = [from_keys(end.clamp(max=_INFINITY - 1)).double() for end in (first, brackets.high)]
    has_lower_bound = brackets.low > ~_INFINITY
    by_value = brackets.guessed & (brackets.high - brackets.low > WIDE) & has_lower_bound
    rest = (brackets.high - first).clamp(min=1)
    width = torch.div(rest + num_bins - 2, num_bins - 1, rounding_mode="floor").double()
    per_place = torch.where(by_value, (num_bins - 1) / (ends[1] - ends[0]), width.reciprocal())
    # Slightly less, so that a value at a bin's upper edge is not rounded up into the next bin.
    per_place = torch.nextafter(per_place, torch.zeros_like(per_place))
    return BinScale(by_value, torch.where(by_value, ends[0], first.double()), per_place)


def bin_of(
    scale: BinScale, num_bins: int, unit: Int64[Tensor, "*value"], key: Int64[Tensor, "*value"]
) -> Int64[Tensor, "*value"]:
    """Return the bin of each value, or ``num_bins`` above the last edge.

    Args:
        scale: Scale of all units, from `bin_scale`.
        num_bins: Number of bins, at least 3.
        unit: int64 ``[value]``, the unit of each value.
        key: int64 ``[value]``, the key of each value, which is finite and above the ``low`` of its unit's bracket.
    """
    place = torch.where(scale.by_value[unit], from_keys(key).double(), key.double())
    return place.sub_(scale.origin[unit]).mul_(scale.scale[unit]).ceil_().clamp_(max=num_bins).long()


def find_bins(
    edges: Int64[Tensor, "unit edge"], unit: Int64[Tensor, "*value"], key: Int64[Tensor, "*value"]
) -> Int64[Tensor, "*value"]:
    """Return the same bins as `bin_of` from the edges alone, with integer arithmetic that runs on any device.

    Args:
        edges: int64 ``[unit, bin + 1]``, edges of the bins, from `bin_edges`.
        unit: int64 ``[value]``, the unit of each value.
        key: int64 ``[value]``, the key of each value, which is finite and above the lowest edge of its unit.
    """
    units, num_bins = len(edges), edges.shape[1] - 1
    first = torch.arange(units, device=edges.device)[:, None] * _APART
    upper = (edges[:, 1:] + first).flatten()
    return torch.searchsorted(upper, key + unit * _APART) - unit * num_bins


def bin_edges(brackets: Brackets, num_bins: int) -> Int64[Tensor, "unit edge"]:
    """Return the edges of bins, int64 ``[unit, bin + 1]``: bin ``b`` holds the keys above edge ``b`` up to ``b + 1``.

    Bisection with `bin_of` finds them, so that the two cannot disagree by rounding.
    """
    scale, units = bin_scale(brackets, num_bins), len(brackets.low)
    below = (brackets.low + 1)[:, None].repeat(1, num_bins)  # always in the target bin or a lower one
    beyond = torch.full_like(below, _INFINITY)
    unit = torch.arange(units, device=below.device)[:, None].expand_as(below)
    target = torch.arange(num_bins, device=below.device)
    for _ in range(32):  # a key has 32 bits
        middle = torch.div(below + beyond, 2, rounding_mode="floor")
        inside = bin_of(scale, num_bins, unit, middle) <= target
        below, beyond = torch.where(inside, middle, below), torch.where(inside, beyond, middle)
    return torch.cat([brackets.low[:, None], below], 1)
