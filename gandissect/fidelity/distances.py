"""Distances between two sets of features: Frechet's, of two normal distributions, and the kernel distance.

The Frechet distance compares means and covariances,

    d(x, y) = |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)),

and is called FID only over the features of one particular network. The squared maximum mean discrepancy of a cubic
kernel, each mean over pairs of different points,

    k(a, b) = (a.b / d + 1)^3,        MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j),

compares means, covariances and third moments. It is unbiased at any number of points, where a Frechet distance is
too large for few, and so can be below 0. A cube is not the same from every origin: with a mean far from 0 it sees
little else.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. 3; Gretton et al. 2012, Lemma 6; Binkowski et al. 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from .neighbors import ROWS, check_features


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """A normal distribution fitted to features.

    Args:
        mean: float64 ``[d]``.
        covariance: float64 ``[d, d]``.
    """

    mean: Float64[Tensor, " feature"]
    covariance: Float64[Tensor, "feature feature"]

    @staticmethod
    def of(features: Float[Tensor, "sample feature"]) -> Normal:
        """Return the one of features ``[n, d]``."""
        features = features.cpu().double()
        return Normal(features.mean(dim=0), torch.cov(features.T).reshape(features.shape[1], -1))

    def distance(self, features: Float[Tensor, "sample feature"]) -> float:
        """Return its Frechet distance from the one of other features ``[n, d]``."""
        other = Normal.of(features)
        return frechet_distance_of_moments(self.mean, self.covariance, other.mean, other.covariance)


def frechet_distance(x: Float[Tensor, "n feature"], y: Float[Tensor, "m feature"]) -> float:
    """Return the Frechet distance of the normal distributions fitted to two sets of features.

    Args:
        x: ``[n, d]``, n at least 2.
        y: ``[m, d]``, m at least 2.

    Returns:
        0 or more, in squared units of the features.

    Raises:
        ValueError: If the shapes do not fit or a feature is not finite.

    Source: Dowson and Landau 1982.
    """
    x, y = check_features(x, y, min_count=2)
    covariance_x, covariance_y = (torch.cov(features.T).reshape(x.shape[1], -1) for features in (x, y))
    return frechet_distance_of_moments(x.mean(dim=0), covariance_x, y.mean(dim=0), covariance_y)


def frechet_distance_of_moments(
    mean_x: Float64[Tensor, " feature"],
    covariance_x: Float64[Tensor, "feature feature"],
    mean_y: Float64[Tensor, " feature"],
    covariance_y: Float64[Tensor, "feature feature"],
) -> float:
    """Return the Frechet distance of two normal distributions.

    ``Tr (S_x S_y)^(1/2)`` is taken as the trace of the root of the symmetric ``R S_y R`` with ``R R = S_x``,
    which has no imaginary part.

    Args:
        mean_x: float64 ``[d]``.
        covariance_x: float64 ``[d, d]``.
        mean_y: float64 ``[d]``.
        covariance_y: float64 ``[d, d]``.

    Returns:
        0 or more, in squared units of the means.

    Raises:
        ValueError: If the shapes do not fit or a covariance is not finite.

    Source: Dowson and Landau 1982.
    """
    shapes = [tuple(moment.shape) for moment in (mean_x, covariance_x, mean_y, covariance_y)]
    d = mean_x.numel()
    if shapes != [(d,), (d, d), (d,), (d, d)]:
        raise ValueError(f"need means [d] and covariances [d, d] with the same d; got {shapes}")
    root = _take_square_root(covariance_x)
    shared = torch.linalg.eigvalsh(root @ covariance_y @ root).clamp(min=0).sqrt().sum()
    means = (mean_x - mean_y).square().sum()
    return max(0.0, float(means + covariance_x.trace() + covariance_y.trace() - 2 * shared))


def _take_square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix; rounding below zero is cut off."""
    values, vectors = torch.linalg.eigh(matrix)
    if not math.isfinite(float(values.sum())):
        raise ValueError("the covariance of the features is not finite")
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


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


def kernel_distance(x: Float[Tensor, "n feature"], y: Float[Tensor, "m feature"]) -> KernelDistance:
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
    within_x, within_y = _sum_kernel(x, x) - _compute_self_kernel(x), _sum_kernel(y, y) - _compute_self_kernel(y)
    across_x, across_y = _sum_kernel(x, y) / m, _sum_kernel(y, x) / n
    value = within_x.mean() / (n - 1) + within_y.mean() / (m - 1) - 2 * across_x.mean()
    variance = _estimate_set_variance(within_x, across_x) + _estimate_set_variance(within_y, across_y)
    return KernelDistance(float(value), math.sqrt(variance))


def _sum_kernel(points: Tensor, others: Tensor) -> Tensor:
    """Return each point's kernel summed over all others, ``[n]``."""
    return torch.cat([_apply_kernel(rows @ others.T, points.shape[1]).sum(dim=1) for rows in torch.split(points, ROWS)])


def _compute_self_kernel(points: Tensor) -> Tensor:
    return _apply_kernel(points.square().sum(dim=1), points.shape[1])


def _apply_kernel(products: Tensor, d: int) -> Tensor:
    return (products / d + 1) ** 3


def _estimate_set_variance(within: Tensor, across: Tensor) -> float:
    """Return how the distance varies with the points of one set.

    Args:
        within: ``[n]``, each point's kernel summed over the rest of its set.
        across: ``[n]``, its mean over the other set.
    """
    n = len(within)
    # A mean over pairs within the set loses the point's row and its column, a mean over pairs across its row only.
    without = (within.sum() - 2 * within) / ((n - 1) * (n - 2)) - 2 * (across.sum() - across) / (n - 1)
    return float((without - without.mean()).square().sum()) * (n - 1) / n
