"""L-BFGS for many pictures at once, each with a curvature and a step length of its own.

A direction is ``-H g``, with the gradient g and an approximation H of the inverse Hessian from the last `MEMORY` steps.
The step is halved until the loss falls by at least `SUFFICIENT` of what its slope promises.

Source: Nocedal and Wright 2006, "Numerical Optimization", Algorithms 3.1 (backtracking), 7.4 and 7.5 (L-BFGS).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.progress import track
from .descent import DescentResult, Loss, Unknowns, check_loss

MEMORY = 10
"""Number of steps that the curvature is estimated from."""

SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises, which a step must achieve."""

MAX_HALVINGS = 12
"""Halvings of a step after which a picture stays where it is."""


class Point(NamedTuple):
    """Variables of all pictures, flattened to ``[picture, number]``, with each picture's loss and gradient."""

    free: Float[Tensor, "picture number"]
    loss: Float[Tensor, " picture"]
    slope: Float[Tensor, "picture number"]


class Bend(NamedTuple):
    """How the gradient changed over a step; ``inverse`` is ``1 / (change . difference)``, or 0 to leave it out."""

    change: Float[Tensor, "picture number"]
    difference: Float[Tensor, "picture number"]
    inverse: Float[Tensor, "picture 1"]


def descend_lbfgs(loss: Loss, start: Unknowns, num_steps: int, title: str, quiet: bool) -> DescentResult:
    """Minimize each picture's loss with L-BFGS; the result for each is independent of the others.

    Args:
        loss: Function of the variables that returns each picture's loss.
        start: Variables to start from.
        num_steps: Largest number of steps; no more are made when no loss falls any further.
        title: Title of the progress bar.
        quiet: Show no progress bar.

    Raises:
        ValueError: If a loss is not finite, naming the picture and the step.

    Source: Nocedal and Wright 2006, Algorithm 7.5.
    """
    point = _evaluate(loss, start, start.flatten(1), 0)
    loss_start, bends = point.loss, deque[Bend](maxlen=MEMORY)
    for step in track(range(num_steps), title, show=not quiet, unit="step"):
        direction = -_times_inverse_hessian(point.slope, bends)
        if not bends:
            direction = direction / point.slope.norm(dim=1, keepdim=True).clamp(min=1)
        following = _search_line(loss, start, point, direction, step + 1)
        change, difference = following.free - point.free, following.slope - point.slope
        point = following
        if not change.any():
            break
        bends.append(Bend(change, difference, _invert_positive(_dot(change, difference))))
    return DescentResult(point.free.reshape(start.shape), loss_start.cpu().double(), point.loss.cpu().double())


def _search_line(loss: Loss, start: Tensor, point: Point, direction: Tensor, step: int) -> Point:
    """Return the point after each picture's longest sufficient step; it stays where none is found."""
    promised = SUFFICIENT * _dot(direction, point.slope)[:, 0]
    rate = torch.ones_like(promised)
    for _ in range(MAX_HALVINGS):
        tried = _evaluate(loss, start, point.free + rate[:, None] * direction, step)
        falls = (tried.loss <= point.loss + rate * promised) & (promised < 0)
        if bool(falls.all()):
            return tried
        rate = torch.where(falls, rate, rate / 2)
    return Point(
        *(torch.where(falls.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in zip(tried, point, strict=True))
    )


def _times_inverse_hessian(slope: Tensor, bends: Sequence[Bend] | Iterable[Bend]) -> Tensor:
    """Return ``H g`` by the two-loop recursion."""
    weights, bends = [], list(bends)
    for bend in reversed(bends):
        weights.append(bend.inverse * _dot(bend.change, slope))
        slope = slope - weights[-1] * bend.difference
    if bends:
        slope = slope * _scale(bends)
    for bend, weight in zip(bends, reversed(weights), strict=True):
        slope = slope + bend.change * (weight - bend.inverse * _dot(bend.difference, slope))
    return slope


def _scale(bends: Sequence[Bend]) -> Tensor:
    """Return the inverse curvature along each picture's last valid step, 1 before any."""
    scale = torch.ones_like(bends[0].inverse)
    for bend in bends:
        latest = _invert_positive(bend.inverse * _dot(bend.difference, bend.difference))
        scale = torch.where(bend.inverse > 0, latest, scale)
    return scale


def _evaluate(loss: Loss, start: Tensor, free: Tensor, step: int) -> Point:
    free = free.detach().requires_grad_()
    losses = loss(free.reshape(start.shape))
    check_loss(losses, step)
    (slope,) = torch.autograd.grad(losses.sum(), free)
    return Point(free.detach(), losses.detach(), slope)


def _invert_positive(x: Tensor) -> Tensor:
    """Return ``1 / x`` where x is positive and not tiny, and 0 elsewhere."""
    return torch.where(x > 1e-12, 1 / x, 0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return each picture's inner product, ``[picture, 1]``."""
    return (a * b).sum(1, keepdim=True)
