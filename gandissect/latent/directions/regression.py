"""Ridge and logistic regression in float64, scored on held-out samples.

    min sum_i (y_i - a - b x_i)^2 + r |b|^2,
    min sum_i log(1 + exp(-t_i (a + b x_i))) + (r / 2) |b|^2,  t_i = 2 y_i - 1.

The penalty r is chosen on a third of the samples after fitting to the rest.

Source: Hastie et al. 2009, Sec. 3.4.1 and 4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import softplus

from ...core.sampling import make_rng
from ...stats.intervals import wilson_interval

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidate penalties, relative to the mean variance of a coordinate times the number of samples."""

VALIDATION = 3
"""Interval of the samples on which the penalty is chosen: every third."""

RESAMPLES = 1_000
"""Number of bootstrap resamples for the interval of R^2."""

NEWTON_STEPS = 50
"""Maximum number of Newton steps."""

MIN_STEP = 1e-6
"""Minimum fraction to which a Newton step is halved."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearFunction:
    """A linear function ``a + b x``.

    Args:
        weight: Weights b, float64 ``[length]``.
        bias: Bias a.
    """

    weight: Float64[Tensor, " length"]
    bias: float

    def __call__(self, x: Float[Tensor, "batch length"]) -> Float64[Tensor, " batch"]:
        """Return the values at ``x``, float64 ``[batch]``."""
        return x.double() @ self.weight + self.bias


def fit(x: Float[Tensor, "sample length"], y: Float64[Tensor, " sample"], *, logistic: bool) -> LinearFunction:
    """Fit a linear function, with the penalty that predicts every third sample best.

    Args:
        x: Inputs, ``[sample, length]``.
        y: Targets, float64 ``[sample]``; 0 or 1 for logistic regression.
        logistic: Use logistic instead of ridge regression.
    """
    x = x.double()
    method: Callable[[Tensor, Tensor, float], LinearFunction] = fit_logistic if logistic else fit_ridge
    scale = float(x.var(0).mean())
    held_out = torch.arange(len(x), device="cpu") % VALIDATION == 0

    def loss(penalty: float) -> float:
        prediction = method(x[~held_out], y[~held_out], penalty * scale * int((~held_out).sum()))(x[held_out])
        residual = prediction - y[held_out]
        losses = softplus(-(2 * y[held_out] - 1) * prediction) if logistic else residual.square()
        return float(losses.mean())

    return method(x, y, min(PENALTIES, key=loss) * scale * len(x))


def fit_ridge(x: Float64[Tensor, "sample length"], y: Float64[Tensor, " sample"], penalty: float) -> LinearFunction:
    """Fit a linear function by least squares with a penalty on the weights, but not on the bias.

    Source: Hoerl and Kennard 1970.
    """
    mean, center = x.mean(0), y.mean()
    centered = x - mean
    gram = centered.T @ centered + penalty * torch.eye(x.shape[1], dtype=x.dtype, device="cpu")
    weight = torch.linalg.solve(gram, centered.T @ (y - center))
    return LinearFunction(weight, float(center - mean @ weight))


def fit_logistic(x: Float64[Tensor, "sample length"], y: Float64[Tensor, " sample"], penalty: float) -> LinearFunction:
    """Fit a logistic regression with a penalty on the weights, by Newton's method with step halving.

    Source: Hastie et al. 2009, Sec. 4.4.1.
    """
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype, device="cpu")], 1)
    ridge = torch.full((ones.shape[1],), penalty, dtype=x.dtype, device="cpu")
    ridge[-1] = 0
    parameters = torch.zeros(ones.shape[1], dtype=x.dtype, device="cpu")

    def loss(b: Tensor) -> float:
        return float(softplus(-(2 * y - 1) * (ones @ b)).sum() + 0.5 * (ridge * b * b).sum())

    for _ in range(NEWTON_STEPS):
        probability = torch.sigmoid(ones @ parameters)
        gradient = ones.T @ (probability - y) + ridge * parameters
        curvature = ones.T @ (ones * (probability * (1 - probability))[:, None]) + ridge.diag()
        jitter = 1e-10 * curvature.diagonal().mean() * torch.eye(len(parameters), dtype=torch.float32, device="cpu")
        step = torch.linalg.solve(curvature + jitter, gradient)
        length = 1.0
        while length > MIN_STEP and loss(parameters - length * step) > loss(parameters):
            length /= 2
        parameters = parameters - length * step
        if float(step.abs().max()) <= 1e-10 * max(1.0, float(parameters.abs().max())):
            break
    return LinearFunction(parameters[:-1], float(parameters[-1]))


def judge(
    linear: LinearFunction,
    x: Float[Tensor, "sample length"],
    y: Float64[Tensor, " sample"],
    seed: int,
    *,
    logistic: bool,
) -> tuple[float, tuple[float, float], float]:
    """Return the score on held-out samples, its 95% interval, and the score of a constant prediction.

    The score is accuracy with Wilson's interval, or R^2 = 1 - sum (y - f)^2 / sum (y - mean y)^2 with the bootstrap
    percentile interval.

    Args:
        linear: Linear function to score.
        x: Inputs that it was not fitted to, ``[sample, length]``.
        y: Targets, float64 ``[sample]``.
        seed: Seed of the bootstrap.
        logistic: Score accuracy, for targets that are 0 or 1, instead of R^2.

    Raises:
        ValueError: If y is the same for all samples.

    Source: Wilson 1927; Efron and Tibshirani 1993, Ch. 13.
    """
    if float(y.max()) == float(y.min()):
        raise ValueError("held-out targets must differ to be scored; got the same for all; use more samples")
    if logistic:
        num_correct, positive_share = int(((linear(x) > 0) == (y > 0.5)).sum()), float(y.mean())
        return num_correct / len(y), wilson_interval(num_correct, len(y)), max(positive_share, 1 - positive_share)
    squared_errors = (y - linear(x)).square()
    resamples = torch.randint(len(y), (RESAMPLES, len(y)), generator=make_rng(seed, "judge"), device="cpu")
    scores = 1 - squared_errors[resamples].sum(1) / (y[resamples] - y[resamples].mean(1, keepdim=True)).square().sum(1)
    ends = scores.nan_to_num(neginf=0.0).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64, device="cpu"))
    return float(1 - squared_errors.sum() / (y - y.mean()).square().sum()), (float(ends[0]), float(ends[1])), 0.0
