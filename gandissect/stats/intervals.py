"""Means with standard errors, and the confidence intervals used throughout the toolkit.

Source: Wilson 1927, JASA 22(158), pp. 209-212, for shares of trials; Student 1908 for means of few values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..core.display import Displayed
from ..storage.saved import check_tensor, detached_copy
from .significance import student_t_quantile
from .streaming import AreaMoments

CONFIDENCE = 0.95
"""Confidence level of all intervals."""

Z_95 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Half-width of the 95% interval of a normally distributed estimate, in standard errors: 1.96."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shares(Displayed):
    """Share of the pixels that belong to each concept, or a difference of such shares, averaged over images.

    Args:
        mean: float64 ``[concept]``, means over images.
        stderr: float64 ``[concept]``, standard errors of the means.
    """

    mean: Float64[Tensor, " concept"]
    stderr: Float64[Tensor, " concept"]

    def __post_init__(self) -> None:
        check_tensor("mean", self.mean, torch.float64, (None,))
        check_tensor("stderr", self.stderr, torch.float64, (len(self.mean),))
        if not bool(self.mean.isfinite().all() & (self.stderr >= 0).all()):
            raise ValueError("means must be finite and standard errors at least 0; got others, or NaN")
        for name in ("mean", "stderr"):
            object.__setattr__(self, name, detached_copy(getattr(self, name)))

    def _summarize(self) -> str:
        reach = f"{float(self.mean.min()):.3g} to {float(self.mean.max()):.3g}" if len(self.mean) else "none"
        return f"{len(self.mean)} means, {reach}"


def summarize_shares(moments: AreaMoments) -> Shares:
    """Return mean shares with their standard errors."""
    values = moments.compute()
    return Shares(values["mean"], (values["covariance"].diagonal() / int(moments.num_images)).clamp(min=0).sqrt())


def half_width(stderr: float, degrees: int) -> float:
    """Return the half-width of a mean's 95% interval, by Student's t.

    Args:
        stderr: Standard error of the mean.
        degrees: Degrees of freedom of the standard error, at least 1.
    """
    return student_t_quantile((1 + CONFIDENCE) / 2, degrees) * stderr


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95% interval (low, high) of a share.

    Args:
        successes: Number of successes, from 0 to ``trials``.
        trials: Number of trials, at least 1.

    Source: Wilson 1927, JASA 22(158), pp. 209-212.
    """
    share, z2 = successes / trials, Z_95**2
    middle = share + z2 / (2 * trials)
    reach = (z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) ** 0.5
    low, high = ((middle + side) / (1 + z2 / trials) for side in (-reach, reach))
    return (0.0 if successes == 0 else low, 1.0 if successes == trials else high)  # exact up to rounding


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measurement repeated on several sets of pictures.

    Args:
        mean: Mean over the sets.
        std: Standard deviation over the sets.
    """

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Return the mean and standard deviation of two or more values."""
        figures = torch.tensor(values, dtype=torch.float64, device="cpu")
        return cls(float(figures.mean()), float(figures.std()))

    def __str__(self) -> str:
        larger = max(abs(self.mean), self.std)
        if 0 < larger < 1e-4:
            return f"{self.mean:.1e} ± {self.std:.1e}"
        digits = 1 - math.floor(math.log10(larger)) if 0 < larger < 0.1 else 2  # two significant digits
        return f"{self.mean:.{digits}f} ± {self.std:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Change:
    """A mean paired difference over sets of images.

    Args:
        mean: Mean of after minus before.
        low: Lower end of the 95% interval of the mean.
        high: Upper end of the 95% interval of the mean.
    """

    mean: float
    low: float
    high: float

    @staticmethod
    def of(differences: Float[Tensor, " pair"]) -> Change:
        """Return the mean of two or more differences, with Student's interval."""
        mean, num_sets = float(differences.mean()), len(differences)
        reach = half_width(float(differences.std()) / math.sqrt(num_sets), num_sets - 1)
        return Change(mean, mean - reach, mean + reach)

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"
