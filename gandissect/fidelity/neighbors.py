"""Compare generated and real pictures by their nearest neighbors in the feature space of any network.

A set of features covers the union of the closed balls around its points, each with the distance to the point's k-th
nearest neighbor in the same set as its radius. With real features ``x_1 .. x_n``, generated features ``y_1 .. y_m`` and
``B_k(x_i)`` the ball around ``x_i``,

    precision = 1/m  sum_j [y_j in some B_k(x_i)]        recall   = 1/n sum_i [x_i in some B_k(y_j)]
    density   = 1/km sum_j sum_i [y_j in B_k(x_i)]       coverage = 1/n sum_i [some y_j in B_k(x_i)]

All four depend on n, m and k even if both sets come from the same distribution, so report them with the same scores of
real pictures against real pictures.

`realism` scores how far inside or outside the region of the real pictures a single picture is.

Source: Kynkäänniemi et al. 2019, Sec. 2 and 5; Naeem et al. 2020, Sec. 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

MANIFOLD_K, BALL_K = 3, 5
"""The k of precision and recall, and of density and coverage, recommended by their papers."""

ROWS = 256
"""Rows of a distance matrix computed per block: 8 MB of float64 against 4,000 other points."""


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall of generated pictures.

    Args:
        precision: Share of the generated pictures in the region of the real ones, 0 to 1.
        recall: Share of the real pictures in the region of the generated ones, 0 to 1.
    """

    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """Density and coverage of generated pictures.

    Args:
        density: Mean number of balls of real pictures that contain a generated picture, divided by k; nonnegative,
            about 1 if both sets come from the same distribution.
        coverage: Share of the balls of real pictures that contain a generated picture, 0 to 1.
    """

    density: float
    coverage: float


def precision_recall(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = MANIFOLD_K
) -> PrecisionRecall:
    """Return the shares of generated and of real features that are in the other set's region.

    Args:
        real: Features of real pictures, float ``[n, d]``, n above k.
        fake: Features of generated pictures, float ``[m, d]``, m above k.
        k: Rank of the neighbor that sets the radius of a ball, at least 1.

    Raises:
        ValueError: If the shapes do not match, a feature is not finite, or k is out of range.

    Source: Kynkäänniemi et al. 2019, Sec. 2.
    """
    real, fake = check_features(real, fake)
    fake_in_real, _ = _count_contents(real, _measure_radii(real, k), fake)
    real_in_fake, _ = _count_contents(fake, _measure_radii(fake, k), real)
    return PrecisionRecall(_compute_share(fake_in_real), _compute_share(real_in_fake))


def density_coverage(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = BALL_K
) -> DensityCoverage:
    """Return how densely and how completely generated features fill the balls of real features.

    Args:
        real: Features of real pictures, float ``[n, d]``, n above k.
        fake: Features of generated pictures, float ``[m, d]``, m at least 1.
        k: Rank of the neighbor that sets the radius of a ball, at least 1.

    Raises:
        ValueError: If the shapes do not match, a feature is not finite, or k is out of range.

    Source: Naeem et al. 2020, Sec. 3.2.
    """
    real, fake = check_features(real, fake)
    balls_around, points_within = _count_contents(real, _measure_radii(real, k), fake)
    return DensityCoverage(float(balls_around.double().mean()) / k, _compute_share(points_within))


def realism(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = MANIFOLD_K
) -> Float64[Tensor, " fake"]:
    """Return the realism of each generated picture: how deep it is inside the ball of a real picture.

    With ``r_i`` the radius of the ball around ``x_i``,

        R(y) = max_i r_i / |y - x_i|,

    over the ``x_i`` whose radius is at most the median radius, because balls are wide, and contain almost anything,
    where real pictures are sparse. R is at least 1 if and only if ``y`` is in one of these balls.

    Args:
        real: Features of real pictures, float ``[n, d]``, n above k.
        fake: Features of generated pictures, float ``[m, d]``, m at least 1.
        k: Rank of the neighbor that sets the radius of a ball, at least 1.

    Returns:
        Realism, float64 ``[m]``, nonnegative; infinite for a copy of one of these ``x_i``, so use ranks or quantiles,
            not means.

    Raises:
        ValueError: If the shapes do not match, a feature is not finite, or k is out of range.

    Source: Kynkäänniemi et al. 2019, Sec. 5.
    """
    real, fake = check_features(real, fake)
    radii = _measure_radii(real, k)
    small = radii <= radii.median()  # the lower median of an even number, so half of the radii
    real, radii = real[small], radii[small]
    return torch.cat([_score_depth(_measure_distances(rows, real), radii) for rows in torch.split(fake, ROWS)])


def nearest_ratio(
    fake: Float[Tensor, "fake feature"],
    train: Float[Tensor, "train feature"],
    held_out: Float[Tensor, "held_out feature"],
) -> float:
    """Return how much nearer generated pictures are to training pictures than to held-out pictures.

    The ratio is the median distance from a generated picture to its nearest training picture, divided by the median
    distance to its nearest held-out picture. If the two sets have equal sizes and the same distribution, it is about 1
    for a generator that does not memorize. With more training pictures the nearest one is nearer and the ratio is
    smaller, so compare it with the ratio of real pictures that are in neither set, passed as ``fake``. A generator that
    copies pictures in ``train`` has ratio 0; copies of training pictures that are missing from ``train`` go unnoticed,
    so pass all training pictures.

    Args:
        fake: Features of generated pictures, float ``[n, d]``, n at least 1.
        train: Features of training pictures, float ``[m, d]``, m at least 1.
        held_out: Features of held-out pictures, float ``[l, d]``, l at least 1.

    Returns:
        Ratio, nonnegative; 1 if both medians are 0, infinite if only the median to the held-out pictures is 0.

    Raises:
        ValueError: If the shapes do not match or a feature is not finite.

    Source: Meehan et al. 2020 (the three-sample comparison), here by medians.
    """
    fake, train, held_out = check_features(fake, train, held_out)
    to_train, to_held_out = (float(_measure_nearest(fake, others).quantile(0.5)) for others in (train, held_out))
    if to_held_out == 0:
        return math.inf if to_train > 0 else 1.0
    return to_train / to_held_out


def check_features(*sets: Tensor, min_count: int = 1) -> list[Float64[Tensor, "_ feature"]]:
    """Return sets of features as float64 on the CPU, after checking that they can be compared.

    Args:
        sets: Sets of features, float ``[n, d]`` each, with the same d.
        min_count: Minimum n.

    Raises:
        ValueError: If the shapes do not match or a feature is not finite.
    """
    if any(
        features.ndim != 2 or len(features) < min_count or features.shape[1:] != sets[0].shape[1:] for features in sets
    ):
        shapes = ", ".join(str(list(features.shape)) for features in sets)
        raise ValueError(f"features must be [n, d] with n at least {min_count} and the same d; got {shapes}")
    if not all(features.isfinite().all() for features in sets):
        raise ValueError("features must be finite; check the images and the feature network")
    return [features.cpu().double() for features in sets]


def _measure_radii(points: Tensor, k: int) -> Tensor:
    """Return each point's distance to its k-th nearest other point."""
    if not 1 <= k < len(points):
        raise ValueError(f"k must be at least 1 and below the number of points, {len(points)}; got {k}")
    # Each point is its own nearest neighbor, hence k + 1.
    return torch.cat([_measure_distances(rows, points).kthvalue(k + 1).values for rows in torch.split(points, ROWS)])


def _count_contents(centers: Tensor, radii: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many balls contain each point, and how many points each ball contains, int64."""
    per_point, per_ball = [], torch.zeros(len(centers), dtype=torch.int64, device="cpu")
    for rows in torch.split(points, ROWS):
        within = _measure_distances(rows, centers) <= radii
        per_point.append(within.sum(dim=1))
        per_ball += within.sum(dim=0)
    return torch.cat(per_point), per_ball


def _score_depth(distances: Tensor, radii: Tensor) -> Tensor:
    """Return the largest ratio of radius to distance in each row; a ball of radius 0 contains its own center."""
    return (radii / distances).masked_fill(distances == 0, math.inf).amax(dim=1)


def _measure_nearest(points: Tensor, others: Tensor) -> Tensor:
    return torch.cat([_measure_distances(rows, others).amin(dim=1) for rows in torch.split(points, ROWS)])


def _measure_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return Euclidean distances ``[n, m]``, from differences, so that equal points have distance exactly 0."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _compute_share(counts: Tensor) -> float:
    return float((counts > 0).double().mean())
