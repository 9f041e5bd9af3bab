"""Agreement beyond chance: what luck would give, how far above it a unit is, and how sure its IoU is.

A unit that is on at 1 % of all pixels overlaps something by luck; one that is on at the top of each image overlaps
the sky. What luck and position give is the IoU with the label maps of *other* samples: each sample exchanges label
maps with its neighbor (`partner_of`). The areas of units and concepts stay what they are; of the counts

    I[g, c, u]  pixels where unit u is on and concept c is there,          J[g, c, u]  the same after the exchange,
    U[g, u]     pixels where unit u is on,                                 C[g, c]     pixels where concept c is,

in G groups g of samples (`group_of`), only the first changes, and with sums over all groups

    IoU = I / (U + C - I),    null IoU = J / (U + C - J),    z = (IoU - null IoU) / stderr(IoU - null IoU).

If activations and label maps are independent, an exchange changes nothing but the sign of a pair's share in I - J:
the difference is symmetric about 0 whatever the unit and the concept look like, and Student's t is exact or on the
safe side in simulations. This is why one exchange is made and not the mean over several: such a mean varies less than
I, so that the difference is skewed wherever I is, and p comes out too small for concepts that are almost everywhere.

The standard errors leave out one group at a time (the jackknife), with thresholds held where they are.

Source: Benjamini and Hochberg 1995; Efron and Tibshirani 1993, Ch. 11 (jackknife) and Ch. 15 (permutations).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..stats.intervals import CONFIDENCE
from ..stats.significance import MAX_DEGREES, student_t_critical_values, student_t_tail

MAX_GROUPS = MAX_DEGREES + 1
"""Groups of samples at most: one more than the degrees of freedom that Student's t is computed for."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IouEstimate:
    """How sure the IoU of each unit with each concept is.

    Args:
        iou: float64 ``[concept, unit]``, 0 to 1; 0 where the union is empty.
        stderr: float64 ``[concept, unit]``, standard error of the IoU over images, 0 or more.
        low: float64 ``[concept, unit]``, lower end of the interval, 0 to ``iou``.
        high: float64 ``[concept, unit]``, upper end of the interval, ``iou`` to 1.
    """

    iou: Float64[Tensor, "concept unit"]
    stderr: Float64[Tensor, "concept unit"]
    low: Float64[Tensor, "concept unit"]
    high: Float64[Tensor, "concept unit"]

    def __repr__(self) -> str:
        return f"IouEstimate({self.iou.shape[0]} concepts, {self.iou.shape[1]} units)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChanceComparison:
    """How far the agreement of each unit with each concept is above chance.

    Args:
        null_iou: float64 ``[concept, unit]``, the IoU with label maps of other samples, 0 to 1.
        z: float64 ``[concept, unit]``, IoU minus null IoU in standard errors of that difference; 0 where both are
            equal, infinite where they differ by the same in every group.
        p: float64 ``[concept, unit]``, how probable such a ``z`` or a higher one is by luck, 0 to 1.
    """

    null_iou: Float64[Tensor, "concept unit"]
    z: Float64[Tensor, "concept unit"]
    p: Float64[Tensor, "concept unit"]

    def __repr__(self) -> str:
        return f"ChanceComparison({self.p.shape[0]} concepts, {self.p.shape[1]} units)"


def jackknife_iou(
    intersection: Int64[Tensor, "group concept unit"],
    unit_area: Int64[Tensor, "group unit"],
    concept_area: Int64[Tensor, "group concept"],
    level: float = CONFIDENCE,
) -> IouEstimate:
    """Estimate the IoU over new images of the same generator, at the same thresholds.

    With IoU_g that of all groups but g, mean M, and d_g = IoU_g - M,

        stderr^2 = (G - 1) / G  sum_g d_g^2,
        interval = expit(logit IoU -+ t stderr / (IoU (1 - IoU))).

    The quantile t is Student's at ``2 V^2 / (sum_g d_g^4 - V^2 / G)`` degrees of freedom, V = sum_g d_g^2, rounded
    down and at most G - 1: fewer where a few groups make up most of V, as for a concept of few images.

    An IoU of exactly 0 or 1 varies in no group. Its interval reaches to the IoU that it would have if, in the
    largest share of groups that G groups all miss with probability (1 - level) / 2, the overlap were as large, or as
    small, as the areas allow.

    Args:
        intersection: int64 ``[group, concept, unit]``, 2 to 256 groups, each with other samples.
        unit_area: int64 ``[group, unit]``.
        concept_area: int64 ``[group, concept]``.
        level: Above 0, below 1.

    Raises:
        ValueError: If the counts do not fit each other or the level is out of range.

    Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife); Satterthwaite 1946 (degrees of freedom).
    """
    if not 0 < level < 1:
        raise ValueError(f"level is the share of intervals that hold the value, above 0 and below 1; got {level}")
    area = _sum_areas(intersection, unit_area, concept_area)
    tail, groups = (1 - level) / 2, len(intersection)
    iou = _iou(intersection.sum(0), area.sum(0))
    stderr, freedom = _jackknife(_iou(*(_leave_one_out(counts) for counts in (intersection, area))))
    critical = student_t_critical_values(tail, groups - 1).to(iou.device)[freedom - 1]
    half = critical * stderr / (iou * (1 - iou))
    low, high = (torch.sigmoid(torch.logit(iou) + sign * half) for sign in (-1, 1))
    unseen = 1 - tail ** (1 / groups)
    most = unseen * torch.minimum(unit_area[:, None, :], concept_area[:, :, None]).sum(0)
    low = torch.where(iou == 0, 0.0, torch.where(iou == 1, 1 - unseen, low))
    high = torch.where(iou == 0, _iou(most, area.sum(0)), torch.where(iou == 1, 1.0, high))
    return IouEstimate(iou, stderr, torch.minimum(low, iou), torch.maximum(high, iou))


def compare_with_chance(
    intersection: Int64[Tensor, "group concept unit"],
    permuted: Int64[Tensor, "group concept unit"],
    unit_area: Int64[Tensor, "group unit"],
    concept_area: Int64[Tensor, "group concept"],
) -> ChanceComparison:
    """Compare the IoU with that of the same activations and the label maps of other samples.

    z is the difference by its jackknife standard error, where observed and permuted counts of a group are left out
    together; p is the upper tail of Student's t with G - 1 degrees of freedom, but at least 2^-G, which is how often
    the differences of all groups have one sign by luck.

    Args:
        intersection: int64 ``[group, concept, unit]``, 2 to 256 groups.
        permuted: int64 ``[group, concept, unit]``, with the label maps of `partner_of`, which is in the same group.
        unit_area: int64 ``[group, unit]``.
        concept_area: int64 ``[group, concept]``.

    Raises:
        ValueError: If the counts do not fit each other.

    Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife) and Ch. 15 (permutations).
    """
    area = _sum_areas(intersection, unit_area, concept_area)
    _sum_areas(permuted, unit_area, concept_area)
    null_iou = _iou(permuted.sum(0), area.sum(0))
    difference = _iou(intersection.sum(0), area.sum(0)) - null_iou
    others, permuted_others, area_others = (_leave_one_out(counts) for counts in (intersection, permuted, area))
    stderr, _ = _jackknife(_iou(others, area_others) - _iou(permuted_others, area_others))
    z = torch.where(difference == 0, 0.0, difference / stderr)
    groups = len(intersection)
    p = student_t_tail(z, groups - 1).clamp(min=0.5**groups)
    return ChanceComparison(null_iou, z, p)


def _jackknife(others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the standard error of a figure and its degrees of freedom, int64, from figures without each group."""
    groups = len(others)
    squares = (others - others.mean(0)).square()
    power = squares.sum(0)
    freedom = 2 * power**2 / (squares.square().sum(0) - power**2 / groups)
    known = freedom.nan_to_num(nan=groups - 1, posinf=groups - 1).clamp(1, groups - 1).floor().long()
    return ((groups - 1) / groups * power).sqrt(), known


def _leave_one_out(counts: Tensor) -> Tensor:
    """Return, for each group, the sum over all others."""
    return counts.sum(0) - counts


def _iou(intersection: Tensor, area: Tensor) -> Tensor:
    """Return the IoU, where ``area`` is the unit's plus the concept's; 0 where there is none."""
    return intersection.double() / (area - intersection).clamp(min=1).double()


def _sum_areas(intersection: Tensor, unit_area: Tensor, concept_area: Tensor) -> Tensor:
    """Return the unit's plus the concept's area, int64 ``[group, concept, unit]``.

    Raises:
        ValueError: If the counts cannot be those of some pixels in 2 to 256 groups.
    """
    shapes = [list(counts.shape) for counts in (intersection, unit_area, concept_area)]
    wanted = "int64 counts [group, concept, unit], [group, unit] and [group, concept]"
    if any(counts.dtype != torch.int64 for counts in (intersection, unit_area, concept_area)):
        raise ValueError(f"need {wanted}; got {intersection.dtype}, {unit_area.dtype} and {concept_area.dtype}")
    if len(shapes[0]) != 3 or shapes[1] != shapes[0][::2] or shapes[2] != shapes[0][:2]:
        raise ValueError(f"need {wanted}; got {shapes}")
    if not 2 <= shapes[0][0] <= MAX_GROUPS:
        raise ValueError(f"need counts in 2 to {MAX_GROUPS} groups of samples; got {shapes[0][0]}; see `group_of`")
    smaller = torch.minimum(unit_area[:, None, :], concept_area[:, :, None])
    if not bool(((intersection >= 0) & (intersection <= smaller)).all()):
        raise ValueError("counts contradict each other: an intersection is negative or larger than an area")
    return unit_area[:, None, :] + concept_area[:, :, None]
