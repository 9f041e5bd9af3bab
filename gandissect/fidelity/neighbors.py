"""How the nearest neighbors of generated and of real pictures mix, over features of any network.

A set of features stands for the region that it covers: the union of the closed balls around its points, each
reaching to the point's k-th nearest neighbor in the same set. With real features ``x_1 .. x_n``, generated ones
``y_1 .. y_m`` and ``B_k(x_i)`` the ball of a real one among the real ones,

    precision = 1/m  sum_j [y_j in some B_k(x_i)]        recall   = 1/n sum_i [x_i in some B_k(y_j)]
    density   = 1/km sum_j sum_i [y_j in B_k(x_i)]       coverage = 1/n sum_i [some y_j in B_k(x_i)]

All four depend on n, m and k even where both sets come from one distribution, so the same figures of real pictures
against real ones belong beside them.

Of one picture, `realism` says how far inside or outside the region of the real ones it is.

Source: Kynkaanniemi et al. 2019, Sec. 2 and 5; Naeem et al. 2020, Sec. 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

MANIFOLD_K, BALL_K = 3, 5
"""The k of precision and recall, and of density and coverage, that the papers settle on."""

ROWS = 256
"""Rows of a matrix of distances held at once: 8 MB of float64 against 4,000 others."""


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """How far two sets of pictures lie in each other's region.

    Args:
        precision: Share of the generated pictures in the region of the real ones, 0 to 1.
        recall: Share of the real pictures in the region of the generated ones, 0 to 1.
    """

    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class DensityCoverage:
    """How the balls of real pictures are filled with generated ones.

    Args:
        density: Mean number of real balls that a generated picture lies in, divided by k; 0 or more, about 1 where
            both sets come from one distribution.
        coverage: Share of the real balls that hold a generated picture, 0 to 1.
    """

    density: float
    coverage: float


def precision_recall(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = MANIFOLD_K
) -> PrecisionRecall:
    """Return the shares of generated and of real features that lie in the other set's region.

    Args:
        real: ``[n, d]``, n above k.
        fake: ``[m, d]``, m above k.
        k: Which neighbor a ball reaches to, 1 or more.

    Raises:
        ValueError: If the shapes do not fit, a feature is not finite, or k is out of range.

    Source: Kynkaanniemi et al. 2019, Sec. 2.
    """
    real, fake = check_features(real, fake)
    fake_in_real, _ = _count_contents(real, _measure_radii(real, k), fake)
    real_in_fake, _ = _count_contents(fake, _measure_radii(fake, k), real)
    return PrecisionRecall(_compute_share(fake_in_real), _compute_share(real_in_fake))


def density_coverage(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = BALL_K
) -> DensityCoverage:
    """Return how densely, and how completely, generated features fill the balls of real ones.

    Args:
        real: ``[n, d]``, n above k.
        fake: ``[m, d]``, m at least 1.
        k: Which neighbor a ball reaches to, 1 or more.

    Raises:
        ValueError: If the shapes do not fit, a feature is not finite, or k is out of range.

    Source: Naeem et al. 2020, Sec. 3.2.
    """
    real, fake = check_features(real, fake)
    balls_around, points_within = _count_contents(real, _measure_radii(real, k), fake)
    return DensityCoverage(float(balls_around.double().mean()) / k, _compute_share(points_within))


def realism(
    real: Float[Tensor, "real feature"], fake: Float[Tensor, "fake feature"], k: int = MANIFOLD_K
) -> Float64[Tensor, " fake"]:
    """Return how realistic each generated picture is: how deep it lies in the ball of a real one.

    With ``r_i`` the radius of the ball around ``x_i``,

        R(y) = max_i r_i / |y - x_i|,

    over those ``x_i`` only whose radius is no larger than the median: where real pictures are sparse the balls are
    wide and hold anything. R is 1 or more exactly for what lies in one of these balls.

    Args:
        real: ``[n, d]``, n above k.
        fake: ``[m, d]``, m at least 1.
        k: Which neighbor a ball reaches to, 1 or more.

    Returns:
        float64 ``[m]``, 0 or more; infinity for a copy of a real picture that counts, so take ranks or quantiles,
        not means.

    Raises:
        ValueError: If the shapes do not fit, a feature is not finite, or k is out of range.

    Source: Kynkaanniemi et al. 2019, Sec. 5.
    """
    real, fake = check_features(real, fake)
    radii = _measure_radii(real, k)
    small = radii <= radii.median()  # of an even number the lower one, so half of them
    real, radii = real[small], radii[small]
    return torch.cat([_score_depth(_measure_distances(rows, real), radii) for rows in torch.split(fake, ROWS)])


def nearest_ratio(
    fake: Float[Tensor, "fake feature"],
    train: Float[Tensor, "train feature"],
    held_out: Float[Tensor, "held_out feature"],
) -> float:
    """Return how much nearer generated pictures are to training pictures than to held-out ones.

    The median distance of a generated picture to its nearest training picture, divided by the median distance to
    its nearest held-out one. With as many training as held-out pictures, all of one distribution, it is about 1 for a
    generator that memorizes nothing. The more training pictures, the nearer is the nearest, and the ratio of an honest
    generator is smaller: read it beside the ratio of real pictures, in the place of ``fake``, that are in neither
    set. A generator whose pictures are copies of those in ``train`` has ratio 0; one that copies pictures which were
    left out of ``train`` shows nothing, so all that there are should be in it.

    Args:
        fake: ``[n, d]``, n at least 1.
        train: ``[m, d]``, m at least 1.
        held_out: ``[l, d]``, l at least 1.

    Returns:
        0 or more; 1 where both medians are 0, infinity where only the held-out one is.

    Raises:
        ValueError: If the shapes do not fit, or a feature is not finite.

    Source: the three samples of Meehan et al. 2020, compared by medians.
    """
    fake, train, held_out = check_features(fake, train, held_out)
    to_train, to_held_out = (float(_measure_nearest(fake, others).quantile(0.5)) for others in (train, held_out))
    if to_held_out == 0:
        return math.inf if to_train > 0 else 1.0
    return to_train / to_held_out


def check_features(*sets: Tensor, min_count: int = 1) -> list[Float64[Tensor, "_ feature"]]:
    """Return sets of features as float64 on the CPU, if they can be compared.

    Args:
        sets: Each ``[n, d]``, with the same d.
        min_count: The least n.

    Raises:
        ValueError: If the shapes do not fit, or a feature is not finite.
    """
    if any(
        features.ndim != 2 or len(features) < min_count or features.shape[1:] != sets[0].shape[1:] for features in sets
    ):
        shapes = ", ".join(str(list(features.shape)) for features in sets)
        raise ValueError(f"need features [n, d] with n at least {min_count} and the same d; got {shapes}")
    if not all(features.isfinite().all() for features in sets):
        raise ValueError("features are not finite; look at the images or the feature network")
    return [features.cpu().double() for features in sets]


def _measure_radii(points: Tensor, k: int) -> Tensor:
    """Return each point's distance to its k-th nearest other point."""
    if not 1 <= k < len(points):
        raise ValueError(f"k is 1 or more and below the number of features, {len(points)}; got {k}")
    # The point itself is the nearest of all, hence k + 1.
    return torch.cat([_measure_distances(rows, points).kthvalue(k + 1).values for rows in torch.split(points, ROWS)])


def _count_contents(centers: Tensor, radii: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return in how many balls each point lies, and how many points lie in each ball, int64."""
    per_point, per_ball = [], torch.zeros(len(centers), dtype=torch.int64, device="cpu")
    for rows in torch.split(points, ROWS):
        within = _measure_distances(rows, centers) <= radii
        per_point.append(within.sum(dim=1))
        per_ball += within.sum(dim=0)
    return torch.cat(per_point), per_ball


def _score_depth(distances: Tensor, radii: Tensor) -> Tensor:
    """Return the largest ratio of radius to distance in each row; a ball of radius 0 holds its own center."""
    return (radii / distances).masked_fill(distances == 0, math.inf).amax(dim=1)


def _measure_nearest(points: Tensor, others: Tensor) -> Tensor:
    return torch.cat([_measure_distances(rows, others).amin(dim=1) for rows in torch.split(points, ROWS)])


def _measure_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return Euclidean distances ``[n, m]``; by differences, so that equal points are at exactly 0."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _compute_share(counts: Tensor) -> float:
    return float((counts > 0).double().mean())
