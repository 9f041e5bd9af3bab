"""How far two sets of features are from each other by the means of a kernel over pairs.

The squared maximum mean discrepancy of a cubic kernel, each mean over pairs of different points,

    k(a, b) = (a.b / d + 1)^3,        MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j),

compares means, covariances and third moments. It is unbiased at any number of points, where a Frechet distance is
too large for few, and so can be below 0. A cube is not the same from every origin: with a mean far from 0 it sees
little else.

Source: Gretton et al. 2012, Lemma 6; Binkowski et al. 2018 on the Kernel Inception Distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .neighbours import ROWS, check_features


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy.

    Args:
        value: Unbiased; about 0, of either sign, where both sets come from one distribution.
        stderr: Standard error over both sets, by leaving out each point in turn. Too large by about the root of 2
            where both sets come from one distribution, and right where they are far apart.
    """

    value: float
    stderr: float


def kernel_distance(x: Tensor, y: Tensor) -> KernelDistance:
    """Return the kernel distance of two sets of features, with its standard error.

    Args:
        x: ``[n, d]``, n at least 3.
        y: ``[m, d]``, m at least 3.

    Raises:
        ValueError: If the shapes do not fit or a feature is not finite.

    Source: Binkowski et al. 2018; the standard error is the jackknife of Arvesen 1969.
    """
    x, y = check_features(x, y, min_count=3)
    n, m = len(x), len(y)
    within_x, within_y = _sums(x, x) - _kernel_with_itself(x), _sums(y, y) - _kernel_with_itself(y)
    across_x, across_y = _sums(x, y) / m, _sums(y, x) / n
    value = within_x.mean() / (n - 1) + within_y.mean() / (m - 1) - 2 * across_x.mean()
    variance = _jackknife_variance(within_x, across_x) + _jackknife_variance(within_y, across_y)
    return KernelDistance(float(value), math.sqrt(variance))


def _sums(points: Tensor, others: Tensor) -> Tensor:
    """Return each point's kernel summed over all others, ``[n]``."""
    return torch.cat([_cube(rows @ others.T, points.shape[1]).sum(dim=1) for rows in torch.split(points, ROWS)])


def _kernel_with_itself(points: Tensor) -> Tensor:
    return _cube(points.square().sum(dim=1), points.shape[1])


def _cube(products: Tensor, d: int) -> Tensor:
    return (products / d + 1) ** 3


def _jackknife_variance(within: Tensor, across: Tensor) -> float:
    """Return how the distance varies with the points of one set.

    Args:
        within: ``[n]``, each point's kernel summed over the rest of its set.
        across: ``[n]``, its mean over the other set.
    """
    n = len(within)
    # A mean over pairs within the set loses the point's row and its column, a mean over pairs across its row only.
    without = (within.sum() - 2 * within) / ((n - 1) * (n - 2)) - 2 * (across.sum() - across) / (n - 1)
    return float((without - without.mean()).square().sum()) * (n - 1) / n
