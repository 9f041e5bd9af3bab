"""Where a network recomputes activations for its gradients, edits give the right ones or are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

import generators
from gandissect import Ablation, Scaling, UnitSet, intervene, trace


class Recomputed(torch.autograd.Function):
    """A part of a network that is run without gradients, and again for them, as projects do it by hand."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.run, ctx.x = run, x.detach()
        return run(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        with torch.enable_grad():
            output = ctx.run(ctx.x.requires_grad_())
        return None, torch.autograd.grad(output, ctx.x, gradient)[0]


class Net(nn.Module):
    """A generator of 4 x 4 images, part of which may be recomputed.

    Args:
        mode: None, "reentrant", "other" (the non-reentrant one), "by hand" or "offloaded".
    """

    def __init__(self, mode: str | None) -> None:
        super().__init__()
        self.first, self.middle, self.last = (nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1))
        self.mode = mode
        rng = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng)
        self.eval().requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z.reshape(-1, 4, 1, 1).expand(-1, -1, 4, 4))
        if self.mode is None:
            return torch.tanh(self._rest(x))
        if self.mode == "offloaded":
            with save_on_cpu():
                return torch.tanh(self._rest(x))
        if self.mode == "by hand":
            return torch.tanh(Recomputed.apply(self._rest, x))
        return torch.tanh(checkpoint(self._rest, x, use_reentrant=self.mode == "reentrant"))

    def _rest(self, x: Tensor) -> Tensor:
        return self.last(torch.sin(self.middle(x)))


pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
MODES = ["reentrant", "other", "by hand"]
EDIT = Scaling(UnitSet("middle", (0, 2)), 3.0)


def gradient_of_tail(mode: str | None) -> Tensor:
    generator = generators.wrap(Net(mode), 4, ["first", "middle"])
    z = generator.sample_z(2, seed=1)
    activation = generator.head(z, "middle").detach().requires_grad_()
    generator.tail(activation, "middle", z).square().sum().backward()
    assert activation.grad is not None
    return activation.grad


def gradient_of_edited(mode: str | None) -> Tensor:
    network, z = Net(mode), torch.linspace(-1, 1, 8).reshape(2, 4).requires_grad_()
    with intervene(network, [EDIT]):
        image = network(z)
    image.square().sum().backward()
    assert z.grad is not None
    return z.grad


def test_offloaded_activations_give_the_same_gradients() -> None:
    assert torch.equal(gradient_of_tail("offloaded"), gradient_of_tail(None))
    assert torch.equal(gradient_of_edited("offloaded"), gradient_of_edited(None))


@pytest.mark.parametrize("mode", MODES)
def test_gradients_past_an_edit_are_refused(mode: str) -> None:
    for compute in (gradient_of_tail, gradient_of_edited):
        with pytest.raises(
            RuntimeError, match=r"recomputes activations .torch\.(utils.checkpoint|autograd.function).*turn activation"
        ):
            compute(mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_edit_that_a_recomputation_would_pick_up_is_refused(mode: str) -> None:
    network, z = Net(mode), torch.ones(1, 4, requires_grad=True)
    loss = network(z).sum()
    with pytest.raises(RuntimeError, match="recomputes activations"), intervene(network, [EDIT]):
        loss.backward()


@pytest.mark.parametrize("mode", MODES)
def test_images_and_traces_need_no_gradient_and_are_right(mode: str) -> None:
    plain, network, z = Net(None), Net(mode), torch.ones(1, 4)
    for edit in (EDIT, Ablation(UnitSet("middle", (1,)))):
        with torch.no_grad():
            with intervene(plain, [edit]):
                expected = plain(z)
            with intervene(network, [edit]):
                assert torch.equal(network(z), expected)
    with trace(network, "middle") as record:
        network(z.requires_grad_())
    with trace(plain, "middle") as expected_record:
        plain(z)
    assert torch.equal(record.output, expected_record.output)
