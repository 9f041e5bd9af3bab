"""Spectral norm: the estimate against singular values, the paper's gradient, what eval mode keeps, and folding."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from generators.architectures.spectral_norm import SpectralNorm, fold, normalize_spectrally


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _norm(weight: Tensor) -> SpectralNorm:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return SpectralNorm(weight)


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 4))
        normalize_spectrally(network)
    return network


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 3, 3, 3), (1, 7)], ids=str)
def test_the_largest_singular_value_is_1_after_enough_steps(shape: tuple[int, ...]) -> None:
    weight = 3 * _draw(*shape)
    norm = _norm(weight)
    for _ in range(300):
        norm(weight)
    largest = torch.linalg.svdvals(weight.flatten(1).double())[0]
    torch.testing.assert_close(norm(weight), weight / largest.float())
    assert float(torch.linalg.svdvals(norm(weight).flatten(1))[0]) == pytest.approx(1, rel=1e-5)


def test_a_use_in_training_is_one_step_of_power_iteration_and_one_in_eval_mode_is_none() -> None:
    weight = _draw(6, 2, 3, 3)
    norm, matrix = _norm(weight), weight.flatten(1)
    before = norm.u.clone()
    v = functional.normalize(before @ matrix, dim=0)
    u = functional.normalize(matrix @ v, dim=0)
    norm(weight)
    torch.testing.assert_close(norm.u, u)
    after = norm.eval().u.clone()
    first = norm(weight)
    assert torch.equal(norm(weight), first)
    assert torch.equal(norm.u, after)
    torch.testing.assert_close(first, weight / (matrix.T @ after).norm(), msg="|W^T u| is the estimate for u")


def test_the_gradient_is_that_of_the_paper() -> None:
    """``(G - lambda u v^T) / sigma`` with ``lambda = <G, W / sigma>``: Miyato et al. 2018, Eq. 12."""
    weight = _draw(5, 7).double().requires_grad_()
    norm = _norm(weight.detach())
    for _ in range(500):
        norm(weight.detach())
    upper = _draw(5, 7, seed=1).double()
    (gradient,) = torch.autograd.grad((norm(weight) * upper).sum(), weight)
    with torch.no_grad():
        u, sigma, v = torch.linalg.svd(weight)
        rank_one = torch.outer(u[:, 0], v[0])
        expected = (upper - (upper * weight / sigma[0]).sum() * rank_one) / sigma[0]
    torch.testing.assert_close(gradient, expected)


def test_two_uses_before_a_backward_pass_are_allowed() -> None:
    weight = _draw(4, 3).requires_grad_()
    norm = _norm(weight.detach())
    (norm(weight).sum() - norm(weight).square().sum()).backward()
    assert weight.grad.isfinite().all()


def test_the_length_of_the_averaged_vector_makes_no_difference() -> None:
    weight = _draw(4, 3)
    norm = _norm(weight).eval()
    before = norm(weight)
    norm.u.mul_(0.3)
    torch.testing.assert_close(norm(weight), before)


def test_low_precision_leaves_the_norm_alone() -> None:
    weight = _draw(6, 5)
    norm = _norm(weight).eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = norm(weight)
        norm.train()(weight)
    assert low.dtype == norm.u.dtype == torch.float32
    assert torch.equal(low, _norm(weight).eval()(weight))


def test_every_layer_with_a_matrix_is_normalized_and_its_state_is_saved() -> None:
    network = _network()
    parametrized = [name for name, module in network.named_modules() if parametrize.is_parametrized(module)]
    assert parametrized == ["0", "3"]
    network(_draw(2, 3, 4, 4))
    other = _network()
    other.load_state_dict(network.state_dict())
    images = _draw(2, 3, 4, 4, seed=1)
    assert torch.equal(other(images), network(images)), "the next step starts from the same estimate"


def test_a_plain_network_with_folded_weights_computes_the_same() -> None:
    network = _network()
    network(_draw(2, 3, 4, 4))
    plain = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 4)).eval()
    before = deepcopy(network.state_dict())
    plain.load_state_dict(fold(network.eval()))
    images = _draw(2, 3, 4, 4, seed=1)
    assert torch.equal(plain(images), network(images))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again = fold(plain)
    assert again.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, again[name]) for name, value in plain.state_dict().items())
