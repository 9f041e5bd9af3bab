"""L-BFGS for many pictures at once: exact minima, as many steps as PyTorch's, and pictures that do not mix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gandissect.latent.inversion.lbfgs import descend_lbfgs


def _rosenbrock(free: Tensor) -> Tensor:
    """The standard test of optimizers, ``[picture]``; its minimum is 0, at all ones."""
    first, second = free[:, :-1], free[:, 1:]
    return (100 * (second - first.square()).square() + (1 - first).square()).sum(1)


def _matrices(number: int, size: int) -> Tensor:
    """Positive definite matrices of condition 1 to 100."""
    rng = torch.Generator().manual_seed(3)
    turns = torch.linalg.qr(torch.randn(number, size, size, generator=rng, dtype=torch.float64))[0]
    return turns @ torch.diag(torch.logspace(0, 2, size, dtype=torch.float64)) @ turns.mT


def test_quadratics_end_at_the_solution_of_their_equations() -> None:
    matrices, right = _matrices(4, 6), torch.arange(24.0, dtype=torch.float64).reshape(4, 6) - 11

    def loss(free: Tensor) -> Tensor:
        return torch.einsum("pi,pij,pj->p", free, matrices, free) / 2 - (free * right).sum(1)

    found = descend_lbfgs(loss, torch.zeros(4, 6, dtype=torch.float64), 60, "", quiet=True)
    torch.testing.assert_close(found.free, torch.linalg.solve(matrices, right), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.loss_end, loss(found.free))
    assert torch.equal(found.loss_start, torch.zeros(4, dtype=torch.float64))


def test_it_needs_about_as_many_steps_as_pytorchs() -> None:
    start = torch.tensor([[-1.2, 1.0, -0.5, 0.8]], dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    solver = torch.optim.LBFGS([theirs], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> Tensor:
        solver.zero_grad()
        loss = _rosenbrock(theirs).sum()
        loss.backward()
        return loss

    solver.step(closure)
    steps = solver.state[theirs]["n_iter"]
    found = descend_lbfgs(_rosenbrock, start, 2 * steps, "", quiet=True)
    torch.testing.assert_close(found.free, theirs.detach(), atol=1e-3, rtol=0)
    assert float(found.loss_end) < 1e-8 < float(found.loss_start)


def test_the_first_step_goes_down_the_slope_with_length_one_at_most() -> None:
    start = torch.tensor([[3.0, 4.0], [0.3, 0.0]], dtype=torch.float64)
    found = descend_lbfgs(lambda free: free.square().sum(1) / 2, start, 1, "", quiet=True)
    torch.testing.assert_close(found.free, torch.tensor([[2.4, 3.2], [0.0, 0.0]], dtype=torch.float64))


def test_pictures_do_not_mix() -> None:
    """One is at its minimum at once, one needs many steps, and one has a hundredth of the slope."""
    start = torch.tensor([[1.0, 1.0, 1.0], [-1.2, 1.0, 2.0], [0.9, 0.8, 0.7]], dtype=torch.float64)
    scale = torch.tensor([1.0, 1.0, 0.01], dtype=torch.float64)
    together = descend_lbfgs(lambda free: _rosenbrock(free) * scale, start, 15, "", quiet=True)
    for row in range(3):
        alone = descend_lbfgs(lambda free, s=scale[row]: _rosenbrock(free) * s, start[row : row + 1], 15, "", True)
        torch.testing.assert_close(together.free[row], alone.free[0], atol=1e-9, rtol=0)
    assert torch.equal(together.free[0], start[0])


def test_no_loss_rises_and_steps_end_when_none_falls() -> None:
    calls = 0

    def flat(free: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return free.sum(1) * 0

    found = descend_lbfgs(flat, torch.ones(2, 3), 1_000, "", quiet=True)
    assert torch.equal(found.free, torch.ones(2, 3))
    assert calls < 20, "or it would go on without any progress"


def test_variables_keep_their_shape() -> None:
    found = descend_lbfgs(lambda x: (x - 2).square().flatten(1).sum(1), torch.zeros(2, 3, 2, 2), 20, "", quiet=True)
    torch.testing.assert_close(found.free, torch.full((2, 3, 2, 2), 2.0))


def test_a_loss_that_is_not_finite_is_named() -> None:
    with pytest.raises(ValueError, match="the loss of picture 1 is not finite at step 0"):
        descend_lbfgs(lambda free: free.sum(1).log(), torch.tensor([[1.0], [-1.0]]), 3, "", quiet=True)
