"""Distances between two sets of features: the Fréchet distance of fitted normal distributions, and the kernel distance.

The Fréchet distance compares means mu and covariances S,

    d(x, y) = |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)),

and is called FID only if the features are those of one particular network. The kernel distance is an unbiased estimate
of the squared maximum mean discrepancy of a cubic kernel on d-dimensional features, with means over pairs i != j within
a set,

    k(a, b) = (a.b / d + 1)^3,        MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j).

It compares means, covariances and third moments. It is unbiased for any number of points and can therefore be negative,
whereas the Fréchet distance is biased upward for few points. The kernel depends on the origin: if the mean is far from
0, it dominates the distance.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. A1 (FID); Gretton et al. 2012, Lemma 6; Bińkowski et al. 2018.
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
        mean: Mean, float64 ``[d]``.
        covariance: Covariance, float64 ``[d, d]``.
    """

    mean: Float64[Tensor, " feature"]
    covariance: Float64[Tensor, "feature feature"]

    @staticmethod
    def of(features: Float[Tensor, "sample feature"]) -> Normal:
        """Fit a normal distribution to features ``[n, d]``."""
        features = features.cpu().double()
        return Normal(features.mean(dim=0), torch.cov(features.T).reshape(features.shape[1], -1))

    def distance(self, features: Float[Tensor, "sample feature"]) -> float:
        """Return the Fréchet distance to the normal distribution fitted to other features ``[n, d]``."""
        other = Normal.of(features)
        return frechet_distance_of_moments(self.mean, self.covariance, other.mean, other.covariance)


def frechet_distance(x: Float[Tensor, "n feature"], y: Float[Tensor, "m feature"]) -> float:
    """Return the Fréchet distance between the normal distributions fitted to two sets of features.

    Args:
        x: Features of one set, float ``[n, d]``, n at least 2.
        y: Features of the other set, float ``[m, d]``, m at least 2.

    Returns:
        Distance in squared units of the features, nonnegative.

    Raises:
        ValueError: If the shapes do not match or a feature is not finite.

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
    """Return the Fréchet distance between two normal distributions.

    ``Tr (S_x S_y)^(1/2)`` is computed as the trace of the square root of the symmetric matrix ``R S_y R`` with
    ``R R = S_x``, which is real.

    Args:
        mean_x: Mean of one distribution, float64 ``[d]``.
        covariance_x: Covariance S_x of this distribution, float64 ``[d, d]``.
        mean_y: Mean of the other distribution, float64 ``[d]``.
        covariance_y: Covariance S_y of the other distribution, float64 ``[d, d]``.

    Returns:
        Distance in squared units of the means, nonnegative.

    Raises:
        ValueError: If the shapes do not match or a covariance is not finite.

    Source: Dowson and Landau 1982.
    """
    shapes = [tuple(moment.shape) for moment in (mean_x, covariance_x, mean_y, covariance_y)]
    d = mean_x.numel()
    if shapes != [(d,), (d, d), (d,), (d, d)]:
        raise ValueError(f"means and covariances must be [d] and [d, d] with the same d; got {shapes}")
    root = _take_square_root(covariance_x)
    shared = torch.linalg.eigvalsh(root @ covariance_y @ root).clamp(min=0).sqrt().sum()
    means = (mean_x - mean_y).square().sum()
    return max(0.0, float(means + covariance_x.trace() + covariance_y.trace() - 2 * shared))


def _take_square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix; negative rounding errors become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    if not math.isfinite(float(values.sum())):
        raise ValueError("the covariance of the features must be finite")
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy.

    Args:
        value: Unbiased estimate; around 0, of either sign, if both sets come from the same distribution.
        stderr: Jackknife standard error over the points of both sets. It is accurate if the sets are far apart, and
            too large by a factor of about sqrt(2) if they come from the same distribution.
    """

    value: float
    stderr: float


def kernel_distance(x: Float[Tensor, "n feature"], y: Float[Tensor, "m feature"]) -> KernelDistance:
    """Return the kernel distance between two sets of features, with its standard error.

    Args:
        x: Features of one set, float ``[n, d]``, n at least 3.
        y: Features of the other set, float ``[m, d]``, m at least 3.

    Raises:
        ValueError: If the shapes do not match or a feature is not finite.

    Source: Bińkowski et al. 2018; the standard error is the jackknife of Arvesen 1969.
    """
    x, y = check_features(x, y, min_count=3)
    n, m = len(x), len(y)
    within_x, within_y = _sum_kernel(x, x) - _compute_self_kernel(x), _sum_kernel(y, y) - _compute_self_kernel(y)
    across_x, across_y = _sum_kernel(x, y) / m, _sum_kernel(y, x) / n
    value = within_x.mean() / (n - 1) + within_y.mean() / (m - 1) - 2 * across_x.mean()
    variance = _estimate_set_variance(within_x, across_x) + _estimate_set_variance(within_y, across_y)
    return KernelDistance(float(value), math.sqrt(variance))


def _sum_kernel(points: Tensor, others: Tensor) -> Tensor:
    """Return, for each point, the sum of the kernel over the other set, ``[n]``."""
    return torch.cat([_apply_kernel(rows @ others.T, points.shape[1]).sum(dim=1) for rows in torch.split(points, ROWS)])


def _compute_self_kernel(points: Tensor) -> Tensor:
    return _apply_kernel(points.square().sum(dim=1), points.shape[1])


def _apply_kernel(products: Tensor, d: int) -> Tensor:
    return (products / d + 1) ** 3


def _estimate_set_variance(within: Tensor, across: Tensor) -> float:
    """Return the jackknife variance of the distance over the points of one set.

    Args:
        within: Sum of the kernel over the rest of the set, for each point, ``[n]``.
        across: Mean of the kernel over the other set, for each point, ``[n]``.
    """
    n = len(within)
    # Leaving out a point removes a row and a column of the pairs within the set, but only a row of the pairs across.
    without = (within.sum() - 2 * within) / ((n - 1) * (n - 2)) - 2 * (across.sum() - across) / (n - 1)
    return float((without - without.mean()).square().sum()) * (n - 1) / n
