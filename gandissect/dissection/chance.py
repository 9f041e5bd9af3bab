"""Test whether units match concepts beyond chance, and estimate how precise each IoU is.

A unit that is on at 1% of all pixels overlaps some concept by chance; a unit that is on at the top of every image
overlaps the sky. The null IoU measures both effects, because it pairs each unit's activations with the label maps of
*other* samples: each sample exchanges label maps with its neighbor (`partner_of`). With samples in G groups g
(`group_of`), the counts are

    I[g, c, u]  intersection: pixels where unit u is on and concept c is present,
    J[g, c, u]  permuted: the same pixels after the exchange of label maps,
    U[g, u]     unit_area: pixels where unit u is on,
    C[g, c]     concept_area: pixels where concept c is present.

The exchange leaves U and C unchanged. With every count summed over all groups,

    IoU = I / (U + C - I),    null IoU = J / (U + C - J),    z = (IoU - null IoU) / stderr(IoU - null IoU).

If activations and label maps are independent, exchanging the label maps of a pair only flips the sign of its
contribution to I - J. The difference is then symmetric about 0 for every unit and concept, and Student's t test is
exact or conservative in simulations. Averaging several exchanges would break this symmetry: the mean varies less than
I, so the difference would be skewed wherever I is, and p would be too small for concepts that cover almost every pixel.

Standard errors come from the jackknife over groups, with thresholds held fixed.

Source: Efron and Tibshirani 1993, Ch. 11 (the jackknife) and Ch. 15 (permutation tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..stats.intervals import CONFIDENCE
from ..stats.significance import MAX_DEGREES, student_t_critical_values, student_t_tail
from .iou import GroupCounts

MAX_GROUPS = MAX_DEGREES + 1
"""Maximum number of groups of samples: one more than the maximum degrees of freedom of Student's t."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IouEstimate:
    """The IoU of each unit with each concept, with its standard error and confidence interval.

    Args:
        iou: IoU, float64 ``[concept, unit]``, 0 to 1; 0 where the union is empty.
        stderr: Standard error of the IoU over images, float64 ``[concept, unit]``, nonnegative.
        low: Lower end of the confidence interval, float64 ``[concept, unit]``, 0 to ``iou``.
        high: Upper end of the confidence interval, float64 ``[concept, unit]``, ``iou`` to 1.
    """

    iou: Float64[Tensor, "concept unit"]
    stderr: Float64[Tensor, "concept unit"]
    low: Float64[Tensor, "concept unit"]
    high: Float64[Tensor, "concept unit"]

    def __repr__(self) -> str:
        return f"IouEstimate({self.iou.shape[0]} concepts, {self.iou.shape[1]} units)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChanceComparison:
    """A comparison of the IoU of each unit with each concept and the IoU expected by chance.

    Args:
        null_iou: IoU with the label maps of other samples, float64 ``[concept, unit]``, 0 to 1.
        z: IoU minus null IoU, in standard errors of that difference, float64 ``[concept, unit]``; 0 where the two are
            equal, infinite where they differ by the same amount in every group.
        p: Probability of a ``z`` at least this high by chance, float64 ``[concept, unit]``, 0 to 1.
    """

    null_iou: Float64[Tensor, "concept unit"]
    z: Float64[Tensor, "concept unit"]
    p: Float64[Tensor, "concept unit"]

    def __repr__(self) -> str:
        return f"ChanceComparison({self.p.shape[0]} concepts, {self.p.shape[1]} units)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IouDifference:
    """The difference between two IoU of each unit and concept, over the same samples.

    Args:
        difference: First IoU minus second IoU, float64 ``[concept, unit]``, -1 to 1.
        low: Lower end of the 95% confidence interval, float64 ``[concept, unit]``.
        high: Upper end of that interval, float64 ``[concept, unit]``.
        p: Two-sided probability of a difference at least this large if there is none, float64 ``[concept, unit]``.
    """

    difference: Float64[Tensor, "concept unit"]
    low: Float64[Tensor, "concept unit"]
    high: Float64[Tensor, "concept unit"]
    p: Float64[Tensor, "concept unit"]

    def __repr__(self) -> str:
        return f"IouDifference({self.p.shape[0]} concepts, {self.p.shape[1]} units)"


def jackknife_iou(
    intersection: Int64[Tensor, "group concept unit"],
    unit_area: Int64[Tensor, "group unit"],
    concept_area: Int64[Tensor, "group concept"],
    level: float = CONFIDENCE,
) -> IouEstimate:
    """Estimate the IoU over new images of the same generator, at the same thresholds.

    Let IoU_g be the IoU without group g, M the mean of all IoU_g, and d_g = IoU_g - M. Then

        stderr^2 = (G - 1) / G  sum_g d_g^2,
        interval = expit(logit IoU -+ critical stderr / (IoU (1 - IoU))).

    ``critical`` is the quantile of Student's t at ``2 V^2 / (sum_g d_g^4 - V^2 / G)`` degrees of freedom, with
    V = sum_g d_g^2, rounded down and at most G - 1. There are fewer degrees of freedom where a few groups contribute
    most of V, such as for a concept that is present in few images.

    An IoU of exactly 0 or 1 does not vary between groups. Let ``unseen`` be the largest share of all possible groups
    that G random groups all miss with probability (1 - level) / 2. The interval then extends to the IoU if the overlap
    in that share of the groups were as large, or as small, as the areas allow.

    Args:
        intersection: Pixels where the unit is on and the concept is present, int64 ``[group, concept, unit]``; 2 to
            256 groups of different samples.
        unit_area: Pixels where the unit is on, int64 ``[group, unit]``.
        concept_area: Pixels where the concept is present, int64 ``[group, concept]``.
        level: Confidence level of the interval, above 0 and below 1.

    Raises:
        ValueError: If the counts contradict each other or the level is out of range.

    Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife); Satterthwaite 1946 (degrees of freedom).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a confidence level above 0 and below 1; got {level}")
    area = _sum_areas(intersection, unit_area, concept_area)
    tail, groups = (1 - level) / 2, len(intersection)
    iou = _compute_iou(intersection.sum(0), area.sum(0))
    stderr, freedom = _jackknife(_compute_iou(*(_leave_one_out(counts) for counts in (intersection, area))))
    critical = student_t_critical_values(tail, groups - 1).to(iou.device)[freedom - 1]
    half = critical * stderr / (iou * (1 - iou))
    low, high = (torch.sigmoid(torch.logit(iou) + sign * half) for sign in (-1, 1))
    unseen = 1 - tail ** (1 / groups)
    most = unseen * torch.minimum(unit_area[:, None, :], concept_area[:, :, None]).sum(0)
    low = torch.where(iou == 0, 0.0, torch.where(iou == 1, 1 - unseen, low))
    high = torch.where(iou == 0, _compute_iou(most, area.sum(0)), torch.where(iou == 1, 1.0, high))
    return IouEstimate(iou, stderr, torch.minimum(low, iou), torch.maximum(high, iou))


def compare_with_chance(
    intersection: Int64[Tensor, "group concept unit"],
    permuted: Int64[Tensor, "group concept unit"],
    unit_area: Int64[Tensor, "group unit"],
    concept_area: Int64[Tensor, "group concept"],
) -> ChanceComparison:
    """Compare each IoU with the IoU of the same activations and the label maps of other samples.

    ``z`` is IoU minus null IoU, divided by the jackknife standard error of this difference, for which the observed and
    the permuted counts of a group are left out together. ``p`` is the upper tail of Student's t with G - 1 degrees of
    freedom, but at least 2^-G, the probability that the differences of all G groups are positive by chance.

    Args:
        intersection: Pixels where the unit is on and the concept is present, int64 ``[group, concept, unit]``; 2 to
            256 groups.
        permuted: The same pixels counted with the label maps of `partner_of`, int64 ``[group, concept, unit]``;
            partners must be in the same group.
        unit_area: Pixels where the unit is on, int64 ``[group, unit]``.
        concept_area: Pixels where the concept is present, int64 ``[group, concept]``.

    Raises:
        ValueError: If the counts contradict each other.

    Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife) and Ch. 15 (permutation tests).
    """
    area = _sum_areas(intersection, unit_area, concept_area)
    _sum_areas(permuted, unit_area, concept_area)
    null_iou = _compute_iou(permuted.sum(0), area.sum(0))
    difference = _compute_iou(intersection.sum(0), area.sum(0)) - null_iou
    others, permuted_others, area_others = (_leave_one_out(counts) for counts in (intersection, permuted, area))
    stderr, _ = _jackknife(_compute_iou(others, area_others) - _compute_iou(permuted_others, area_others))
    z = torch.where(difference == 0, 0.0, difference / stderr)
    groups = len(intersection)
    p = student_t_tail(z, groups - 1).clamp(min=0.5**groups)
    return ChanceComparison(null_iou, z, p)


def jackknife_difference(first: GroupCounts, second: GroupCounts) -> IouDifference:
    """Estimate the difference between two IoU of the same units and concepts over the same groups of samples.

    The standard error is that of the jackknife, where each group is left out of both IoU. The interval is that of
    Student's t, with degrees of freedom as in `jackknife_iou`; p has G - 1, and is at least ``2^(1 - G)``.

    Args:
        first: Counts of the first IoU, in 2 to 256 groups.
        second: Counts of the second IoU, in as many groups.

    Raises:
        ValueError: If counts contradict each other.

    Source: Efron and Tibshirani 1993, Sec. 11.2 (the jackknife); Satterthwaite 1946 (degrees of freedom).
    """
    counts = [
        (side.intersection, _sum_areas(side.intersection, side.unit_area, side.concept_area))
        for side in (first, second)
    ]
    whole = [_compute_iou(intersection.sum(0), area.sum(0)) for intersection, area in counts]
    others = [_compute_iou(_leave_one_out(intersection), _leave_one_out(area)) for intersection, area in counts]
    difference, groups = whole[0] - whole[1], len(first.unit_area)
    stderr, freedom = _jackknife(others[0] - others[1])
    half = student_t_critical_values((1 - CONFIDENCE) / 2, groups - 1)[freedom - 1] * stderr
    z = torch.where(difference == 0, 0.0, difference.abs() / stderr)
    p = (2 * student_t_tail(z, groups - 1)).clamp(min=2 * 0.5**groups, max=1)
    return IouDifference(difference, (difference - half).clamp(min=-1), (difference + half).clamp(max=1), p)


def _jackknife(others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the standard error of an estimate and its degrees of freedom, int64, from its leave-one-out values."""
    groups = len(others)
    squares = (others - others.mean(0)).square()
    power = squares.sum(0)
    freedom = 2 * power**2 / (squares.square().sum(0) - power**2 / groups)
    freedom = freedom.nan_to_num(nan=groups - 1, posinf=groups - 1).clamp(1, groups - 1).floor().long()
    return ((groups - 1) / groups * power).sqrt(), freedom


def _leave_one_out(counts: Tensor) -> Tensor:
    """Return, for each group, the sum over all other groups."""
    return counts.sum(0) - counts


def _compute_iou(intersection: Tensor, area: Tensor) -> Tensor:
    """Return the IoU, where ``area`` is the unit's plus the concept's area; 0 where both are empty."""
    return intersection.double() / (area - intersection).clamp(min=1).double()


def _sum_areas(intersection: Tensor, unit_area: Tensor, concept_area: Tensor) -> Tensor:
    """Return the unit's plus the concept's area, int64 ``[group, concept, unit]``.

    Raises:
        ValueError: If no pixels in 2 to 256 groups could have these counts.
    """
    shapes = [list(counts.shape) for counts in (intersection, unit_area, concept_area)]
    expected = "counts must be int64 [group, concept, unit], [group, unit] and [group, concept]"
    if any(counts.dtype != torch.int64 for counts in (intersection, unit_area, concept_area)):
        raise ValueError(f"{expected}; got {intersection.dtype}, {unit_area.dtype} and {concept_area.dtype}")
    if len(shapes[0]) != 3 or shapes[1] != shapes[0][::2] or shapes[2] != shapes[0][:2]:
        raise ValueError(f"{expected}; got {shapes}")
    if not 2 <= shapes[0][0] <= MAX_GROUPS:
        raise ValueError(f"counts must be in 2 to {MAX_GROUPS} groups of samples (`group_of`); got {shapes[0][0]}")
    smaller = torch.minimum(unit_area[:, None, :], concept_area[:, :, None])
    if not bool(((intersection >= 0) & (intersection <= smaller)).all()):
        raise ValueError("counts contradict each other: an intersection is negative or larger than an area")
    return unit_area[:, None, :] + concept_area[:, :, None]
