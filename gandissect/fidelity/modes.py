"""Which modes of a known mixture of Gaussians a generator of points covers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ModeCoverage:
    """How well points cover the modes of a mixture.

    Attributes:
        num_modes: Number of modes of the mixture.
        num_covered: Modes with at least one point within three standard deviations.
        num_well_covered: Modes with at least 20 such points.
        share_good: Share of the points within three standard deviations of a mode.
        divergence: Kullback-Leibler divergence of the histogram of good points over modes from uniform, in nats;
            infinite where no point is good.
        num_points: Number of points.
    """

    num_modes: int
    num_covered: int
    num_well_covered: int
    share_good: float
    divergence: float
    num_points: int


def measure_modes(
    points: Float[Tensor, "point axis"], centers: Float[Tensor, "mode axis"], sigma: float
) -> ModeCoverage:
    """Measure which modes of a mixture of Gaussians points cover.

    Args:
        points: Points, float ``[point, axis]``, at least 1.
        centers: Means of the modes, float ``[mode, axis]``.
        sigma: Standard deviation of every mode along each axis.

    Source: Metz et al. 2017, Sec. 3; Lin et al. 2018, Sec. 4 (good points, modes, divergence).
    """
    distance, nearest = torch.cdist(points.double(), centers.double()).min(1)
    counts = torch.bincount(nearest[distance <= 3 * sigma], minlength=len(centers))
    total = int(counts.sum())
    share = counts[counts > 0].double() / max(total, 1)
    divergence = float((share * (share * len(counts)).log()).sum()) if total else math.inf
    return ModeCoverage(
        num_modes=len(counts),
        num_covered=int((counts >= 1).sum()),
        num_well_covered=int((counts >= 20).sum()),
        share_good=total / len(points),
        divergence=divergence,
        num_points=len(points),
    )
