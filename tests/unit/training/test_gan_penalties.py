"""Penalties against finite differences in float64, the average against its closed form, and gradients that are clipped."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_gans import Noise, draws, networks, tiny, tiny_task
from torch import Tensor, nn

from gandissect.storage.runs import ema_decay
from generators.architectures.spectral_norm import normalize_spectrally
from generators.training import GANTask, gan
from generators.training.engine import TrainingTask
from generators.training.families import FAMILIES
from generators.training.growth import Growth
from generators.training.losses import drift, gradient_penalty, orthogonal_penalty, r1_penalty
from generators.training.turns import Moment

every_family = pytest.mark.parametrize("architecture", FAMILIES)
STEP = 1e-3


def _images(count: int, seed: int) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _shares(count: int) -> SimpleNamespace:
    """Return random numbers that fit float64 images."""
    return SimpleNamespace(uniform=lambda *shape: draws(count).uniform(*shape).double())


def _slope(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Return the gradient of a function of a tensor, number by number, by central differences."""
    slope = torch.zeros_like(at)
    for place in range(at.numel()):
        ends = [at.clone(), at.clone()]
        ends[0].view(-1)[place] += STEP
        ends[1].view(-1)[place] -= STEP
        above, below = (function(end).detach() for end in ends)
        slope.view(-1)[place] = (above - below) / (2 * STEP)
    return slope


def _discriminator(kind: str) -> nn.Module:
    if kind == "growing":  # it compares images in float32, which is why figures agree to a thousandth only
        return networks(tiny("progan", resolution=8, width=2, max_width=2))[1].double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Softplus(), nn.Linear(4, 1), nn.Flatten(0)).double()


@pytest.mark.parametrize("kind", ["growing", "smooth"])
def test_r1_is_half_the_squared_slope_of_the_logits(kind: str) -> None:
    discriminator, real = _discriminator(kind), _images(2, 1)
    slope = _slope(lambda images: discriminator(images).sum(), real)
    assert slope.abs().max() > 1e-3
    expected = slope.square().sum() / 2 / 2
    torch.testing.assert_close(r1_penalty(discriminator, real).detach(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("penalty", ["r1", "gradient"])
def test_penalties_teach_the_weights_of_the_discriminator(penalty: str) -> None:
    """Their gradient, through that of the images, is the slope of the penalty in each weight."""
    discriminator, real, fake = _discriminator("smooth"), _images(2, 1), _images(2, 2)
    weight = discriminator[3].weight

    def value(replaced: Tensor) -> Tensor:
        def judge(images: Tensor) -> Tensor:
            return nn.functional.linear(discriminator[:3](images), replaced).squeeze(1)

        return r1_penalty(judge, real) if penalty == "r1" else gradient_penalty(judge, real, fake, _shares(2))

    (found,) = torch.autograd.grad(value(weight), weight)
    expected = _slope(value, weight.detach())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


def test_the_gradient_penalty_looks_between_real_and_generated_images() -> None:
    """For ``D(x) = |x|^2 / 2`` the gradient is x itself, so the penalty tells where it was taken."""
    real, fake = _images(6, 1), _images(6, 2)
    seen = []

    def discriminator(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.square().sum(dim=(1, 2, 3)) / 2

    found = gradient_penalty(discriminator, real, fake, _shares(6)).item()
    share = ((seen[0] - real) / (fake - real)).flatten(1)
    assert ((share > 0) & (share < 1)).all()
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=1e-5, atol=1e-5)
    assert len(share[:, 0].unique()) == 6, "each image has its own place"
    assert found == pytest.approx(((seen[0].flatten(1).norm(dim=1) - 1) ** 2).mean().item())


def test_drift_is_the_mean_square_of_the_real_logits_times_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.tensor([2.0, -1.0, 0.5])
    assert drift(logits).item() == pytest.approx((4 + 1 + 0.25) / 3)
    monkeypatch.setattr(gan, "gradient_penalty", lambda *_: torch.tensor(0.0))
    monkeypatch.setattr(gan, "drift", lambda real: real.mean() * 0 + 500)
    figures = GANTask(tiny("progan", loss="wgan-gp", r1_gamma=0.0), Noise(), device="cpu").step(0)
    expected = figures["logit_fake"] - figures["logit_real"] + 0.5
    assert figures["loss_discriminator"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("half_life", "batch"), [(100.0, 4), (10_000.0, 32), (64.0, 64), (3.0, 60)])
def test_an_average_keeps_half_after_its_half_life(half_life: float, batch: int) -> None:
    assert ema_decay(half_life, batch) ** (half_life / batch) == pytest.approx(0.5)
    assert ema_decay(half_life, batch) == pytest.approx(ema_decay(half_life, 1) ** batch), "whatever the batch"


@every_family
def test_everything_that_is_learned_or_measured_is_averaged(architecture: str) -> None:
    """Late in the training: ``kept * before + (1 - kept) * now``, heads of smaller sizes and the mean of w included."""
    phases = {"gan_images": 10**6 - 8} if architecture == "agecgan" else {}  # its generator learns in the first one
    task = tiny_task(architecture, images=10**6, ema_half_life=100.0, **phases)
    for index in (0, 1):  # in the smallest size, where there is one
        task.step(index)
    before = {name: value.clone() for name, value in task.average.state_dict().items()}
    task.step(9000)
    kept = 0.5 ** (8 / 100)
    now = task.network.state_dict()
    moved = 0
    for name, value in task.average.state_dict().items():
        expected = kept * before[name] + (1 - kept) * now[name] if value.is_floating_point() else now[name]
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
        moved += not torch.equal(value, before[name])
    assert moved >= 8


def _gradients(optimizer: torch.optim.Optimizer) -> Tensor:
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    return torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])


def _stepped(architecture: str, **changes: Any) -> TrainingTask[Any]:
    task = tiny_task(architecture, **changes)
    task.step(0)
    return task


@every_family
def test_gradients_are_clipped_to_a_norm_when_asked_for_and_left_alone_otherwise(architecture: str) -> None:
    free, loose = _stepped(architecture), _stepped(architecture, clip_gradient=1e6)
    first = free.turns[0].updates[0]
    whole = _gradients(free.optimizers[first])
    norm = float(whole.norm())
    tight = _stepped(architecture, clip_gradient=norm / 5)
    for one, other in zip(free.network.parameters(), loose.network.parameters(), strict=True):
        assert torch.equal(one, other), "a bound that is not reached changes nothing"
    clipped = _gradients(tight.optimizers[first])
    torch.testing.assert_close(clipped, whole / 5, rtol=1e-3, atol=1e-7)
    assert _gradients(tight.optimizers["generator"]).norm() <= norm / 5 * 1.0001


def _layers() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(5, 3), nn.Embedding(7, 2)).double()


def test_the_orthogonal_penalty_is_the_sum_of_squared_products_of_different_units() -> None:
    network, expected = _layers(), 0.0
    for layer in (network[0], network[2]):
        units = [weight.flatten() for weight in layer.weight.detach()]
        expected += sum(float(torch.dot(a, b)) ** 2 for a in units for b in units if a is not b)
    assert expected > 0.1
    assert float(orthogonal_penalty(network).detach()) == pytest.approx(expected)
    normalize_spectrally(network)
    assert float(orthogonal_penalty(network).detach()) == pytest.approx(expected), "the weights before they are divided"


def test_the_gradient_of_the_orthogonal_penalty_is_the_closed_form() -> None:
    """d/dW |W W^T * (1 - I)|^2 = 4 (W W^T * (1 - I)) W."""
    network = _layers()
    orthogonal_penalty(network).backward()
    weight = network[0].weight.detach().flatten(1)
    expected = 4 * (weight @ weight.T * (1 - torch.eye(4).double())) @ weight
    torch.testing.assert_close(network[0].weight.grad.flatten(1), expected)
    assert network[3].weight.grad is None


def test_units_of_any_length_that_are_orthogonal_cost_nothing() -> None:
    layer = nn.Linear(6, 4, bias=False)
    nn.init.orthogonal_(layer.weight)
    layer.weight.data *= torch.tensor([[0.1], [1], [3], [10]])
    assert float(orthogonal_penalty(layer).detach()) < 1e-9


def test_the_orthogonal_penalty_is_weighted_in_the_generators_loss() -> None:
    losses = []
    for weight in (0.0, 0.3):
        task = tiny_task("biggan", orthogonal_weight=weight)
        losses.append(float(task.generator_loss(Moment(0, Growth(16, 1.0)))[0].detach()))
    penalty = float(orthogonal_penalty(task.generator).detach())
    assert penalty > 0.1
    assert losses[1] - losses[0] == pytest.approx(0.3 * penalty, rel=1e-4)
