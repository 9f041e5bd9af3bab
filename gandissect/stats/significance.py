"""Tail probabilities of Student's t, and which of many p-values are discoveries.

Source: Benjamini and Hochberg 1995, Sec. 3.1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

FALSE_DISCOVERY_RATE = 0.01
"""Expected share, at most, of agreements called real that are luck."""


_MAX_GROUPS = 256  # as many as the quadrature of `student_t_tail` has nodes for


def benjamini_hochberg(p: Tensor, rate: float = FALSE_DISCOVERY_RATE) -> Tensor:
    """Say which of all p-values are discoveries, so that at most ``rate`` of these are false on average.

    With the m values in rising order, the first k are discoveries, k the largest with ``p_k <= k rate / m``; equal
    values share their fate.

    Args:
        p: Of any shape, 0 to 1; all entries are one family.
        rate: Above 0, below 1.

    Returns:
        bool, of the shape of ``p``.

    Raises:
        ValueError: If a p-value is NaN or no probability, or the rate is out of range.

    Source: Benjamini and Hochberg 1995, Sec. 3.1.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is the share of discoveries that may be false, above 0 and below 1; got {rate}")
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise ValueError("p-values lie between 0 and 1; got others, or NaN")
    values = p.double()
    rising = values.flatten().sort().values
    rank = torch.arange(1, len(rising) + 1, dtype=torch.float64, device=p.device)
    passed = rising[rising * len(rising) <= rate * rank]
    return values <= passed[-1] if len(passed) else torch.zeros_like(values, dtype=torch.bool)


def student_t_tail(t: Tensor, freedom: Tensor | int) -> Tensor:
    """Return the probability that Student's t exceeds a value, with the same relative accuracy in the far tail.

    With t = sqrt(n) cot a, it is the integral of ``sin^(n - 1)`` from 0 to a by that from 0 to pi. All terms of the
    quadrature are positive, so that no digits are lost where it is small.

    Args:
        t: Of any shape; may be infinite.
        freedom: Degrees of freedom n, whole, 1 to 255; broadcasts with ``t``.

    Returns:
        float64, 0 to 1.
    """
    degrees = torch.as_tensor(freedom, dtype=torch.float64, device=t.device)
    return _angle_share(torch.atan2(degrees.sqrt(), t.double()), degrees)


def _angle_share(angle: Tensor, freedom: Tensor) -> Tensor:
    """Return the integral of ``sin^(n - 1)`` from 0 to an angle, by that from 0 to pi."""
    total = torch.zeros_like(angle)
    for node, weight in zip(*np.polynomial.legendre.leggauss(_MAX_GROUPS // 2), strict=True):
        total += weight * torch.sin(angle * ((1 + node) / 2)) ** (freedom - 1)
    scale = torch.exp(torch.lgamma((freedom + 1) / 2) - torch.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return (total * angle / 2 * scale).clamp(0, 1)


@lru_cache(maxsize=16)
def _t_quantiles(tail: float, most: int) -> Tensor:
    """Return the values that Student's t exceeds with a probability, for 1 to ``most`` degrees of freedom."""
    with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
        freedom = torch.arange(1, most + 1, dtype=torch.float64)
        low, high = torch.zeros_like(freedom), torch.full_like(freedom, math.pi)
        for _ in range(52):
            middle = (low + high) / 2
            above = _angle_share(middle, freedom) > tail
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return freedom.sqrt() / torch.tan(low)
