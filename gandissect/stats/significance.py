"""Tail probabilities of Student's t, and control of the false discovery rate.

Source: Benjamini and Hochberg 1995, Sec. 3.1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

FALSE_DISCOVERY_RATE = 0.01
"""Upper bound on the expected share of discoveries that are due to chance."""


MAX_DEGREES = 255
"""Largest number of degrees of freedom for which the quadrature of `student_t_tail` is exact up to rounding."""

LARGE_DEGREES = 10_000
"""Number of degrees of freedom from which Student's t is practically normal."""


def benjamini_hochberg(p: Float[Tensor, "*family"], rate: float = FALSE_DISCOVERY_RATE) -> Bool[Tensor, "*family"]:
    """Select the p-values that are discoveries, of which at most a share ``rate`` is false on average.

    With the m values in ascending order, the first k are discoveries, where k is the largest with
    ``p_k <= k rate / m``; equal values are treated alike.

    Args:
        p: p-values in [0, 1], of any shape; all entries are one family.
        rate: False discovery rate, in (0, 1).

    Returns:
        bool, with the shape of ``p``.

    Raises:
        ValueError: If a p-value is NaN or outside [0, 1], or the rate is out of range.

    Source: Benjamini and Hochberg 1995, Sec. 3.1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate, the share of discoveries that may be false, must be in (0, 1); got {rate}")
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise ValueError("p-values must be in [0, 1]; got others, or NaN")
    values = p.cpu().double()
    rising = values.flatten().sort().values
    rank = torch.arange(1, len(rising) + 1, dtype=torch.float64, device="cpu")
    passed = rising[rising * len(rising) <= rate * rank]
    discovered = values <= passed[-1] if len(passed) else torch.zeros_like(values, dtype=torch.bool)
    return discovered.to(p.device)


def q_values(p: Float[Tensor, "*family"]) -> Float64[Tensor, "*family"]:
    """Return the lowest false-discovery rate at which each p-value is a discovery.

    With the m values in rising order, ``q_k = min over j >= k of p_j m / j``.

    Args:
        p: p-values of any shape, 0 to 1; all entries are one family.

    Returns:
        float64, of the shape of ``p``, 0 to 1, on CPU.

    Source: Benjamini and Hochberg 1995, Sec. 3.1; Storey 2002 (the q value).
    """
    rising, order = p.detach().cpu().double().flatten().sort()
    rank = torch.arange(1, len(rising) + 1, dtype=torch.float64, device="cpu")
    lowest = (rising * len(rising) / rank).flip(0).cummin(0).values.flip(0) if len(rising) else rising
    return torch.empty_like(rising).scatter(0, order, lowest).reshape(p.shape)


def student_t_tail(t: Float[Tensor, "*table"], freedom: Int[Tensor, "*#table"] | int) -> Float64[Tensor, "*table"]:
    """Return the probability that Student's t exceeds a value, to the same relative accuracy in the far tail.

    With t = sqrt(n) cot a, it is the integral of ``sin^(n - 1)`` from 0 to a, divided by the integral from 0 to pi. All
    terms of the quadrature are positive, so small values lose no digits.

    Args:
        t: Values of t, of any shape; may be infinite.
        freedom: Degrees of freedom n, integers in [1, 255]; broadcasts with ``t``.

    Returns:
        float64 in [0, 1], on CPU.
    """
    degrees = torch.as_tensor(freedom, dtype=torch.float64, device="cpu")
    return _angle_share(torch.atan2(degrees.sqrt(), t.cpu().double()), degrees)


@lru_cache(maxsize=1)
def _gauss_legendre() -> list[tuple[float, float]]:
    """Return the nodes and weights of the quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss((MAX_DEGREES + 1) // 2)
    return list(zip(nodes.tolist(), weights.tolist(), strict=True))


def _angle_share(angle: Float64[Tensor, "*#table"], freedom: Float64[Tensor, "*#table"]) -> Float64[Tensor, "*table"]:
    """Return the integral of ``sin^(n - 1)`` from 0 to an angle, divided by the integral from 0 to pi."""
    total = torch.zeros_like(angle)
    for node, weight in _gauss_legendre():
        total += weight * torch.sin(angle * ((1 + node) / 2)) ** (freedom - 1)
    scale = torch.exp(torch.lgamma((freedom + 1) / 2) - torch.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return (total * angle / 2 * scale).clamp(0, 1)


@lru_cache(maxsize=16)
def student_t_critical_values(tail: float, max_degrees: int) -> Float64[Tensor, " degrees"]:
    """Return the values that Student's t exceeds with a probability, for 1 to ``max_degrees`` degrees of freedom.

    Args:
        tail: Probability that t exceeds the value, in (0, 1).
        max_degrees: Largest number of degrees of freedom, from 1 to `MAX_DEGREES`.

    Returns:
        float64 ``[degrees]``; treat it as read-only, since later calls return the same tensor.
    """
    with torch.inference_mode(False):  # the cached result outlives the caller, who may be in inference mode
        degrees = torch.arange(1, max_degrees + 1, dtype=torch.float64, device="cpu")
        low, high = torch.zeros_like(degrees), torch.full_like(degrees, math.pi)
        for _ in range(52):
            middle = (low + high) / 2
            above = _angle_share(middle, degrees) > tail
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return degrees.sqrt() / torch.tan(low)


@lru_cache(maxsize=256)
def student_t_quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t.

    Args:
        probability: Probability that t is below the quantile, in (0, 1).
        degrees: Degrees of freedom, at least 1.

    Returns:
        The quantile, to a relative accuracy of 1e-9. For more than `LARGE_DEGREES` degrees of freedom it is the
            quantile at `LARGE_DEGREES`, which is larger by less than 4 in 10,000.

    Raises:
        ValueError: If an argument is out of range.

    Source: Student 1908.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"probability must be in (0, 1) and degrees at least 1; got {probability} and {degrees}")
    if probability < 0.5:  # the integrand of the upper tail peaks where nodes are dense
        return -student_t_quantile(1 - probability, degrees)
    freedom = torch.tensor(min(degrees, LARGE_DEGREES), dtype=torch.float64, device="cpu")
    low, high = 0.0, math.pi / 2
    for _ in range(52):
        middle = (low + high) / 2
        above = float(_angle_share(torch.tensor(middle, dtype=torch.float64, device="cpu"), freedom)) > 1 - probability
        low, high = (low, middle) if above else (middle, high)
    return math.sqrt(freedom) / math.tan((low + high) / 2)
