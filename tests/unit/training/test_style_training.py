"""What only the training of generators with styles does: the average of w, mixing regularization, fresh noise."""

from __future__ import annotations

import pytest
import torch
from tiny_gans import Noise, draws, networks, tiny
from torch import Tensor

from gandissect.core.sampling import make_rng
from generators.architectures.stylegan import StyleGenerator, Styles
from generators.training import GANTask
from generators.training.families import FAMILIES, build_networks
from generators.training.growth import Growth
from generators.training.networks import TrainedGenerator

STYLED = [
    name
    for name in FAMILIES
    if isinstance(build_networks(tiny(name), Noise.classes)["generator"].generator, StyleGenerator)
]
styled = pytest.mark.parametrize("architecture", STYLED)
GROWN = Growth(16, 1.0)


def _latents(count: int, seed: int = 2) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def _contexts(monkeypatch: pytest.MonkeyPatch, network: TrainedGenerator) -> list[Styles]:
    """Return a list that will hold what the generator's stages are given besides activations, run by run."""
    seen: list[Styles] = []
    run = network.generator.run

    def remember(x: Tensor, context: Styles, start: int, stop: int) -> Tensor:
        seen.append(context)
        return run(x, context, start, stop)

    monkeypatch.setattr(network.generator, "run", remember)
    return seen


@styled
def test_the_average_of_w_is_an_exponential_one(architecture: str) -> None:
    """After n batches: ``sum_i 0.005 0.995^(n - 1 - i) mean(w_i)``, begun at zero."""
    network, _ = networks(tiny(architecture))
    mapping = network.generator.mapping
    mapping.w_avg.zero_()
    batches = [_latents(7, seed) for seed in range(30)]
    for z in batches:
        network.observe(z)
    means = [mapping.network(z).detach().double().mean(dim=0) for z in batches]
    expected = sum(0.005 * 0.995 ** (29 - i) * mean for i, mean in enumerate(means))
    torch.testing.assert_close(mapping.w_avg.double(), expected, rtol=1e-4, atol=1e-7)


@styled
def test_training_moves_the_average_of_w_to_that_of_its_own_latent_vectors(architecture: str) -> None:
    task = GANTask(tiny(architecture), Noise(), device="cpu")
    expected = torch.zeros(6)
    for index in range(3):
        task.step(index)
        z = torch.randn(8, 6, generator=make_rng(task.settings.seed, "z-generator", index))
        with torch.no_grad():
            expected = 0.995 * expected + 0.005 * task.generator.mapping.network(z).mean(dim=0)
        torch.testing.assert_close(task.generator.mapping.w_avg, expected)
    assert expected.abs().max() > 0


@styled
def test_long_observed_the_average_of_w_is_its_mean(architecture: str) -> None:
    """What is left of single batches is a noise of about ``sqrt(0.005 / 2 / batch)`` standard deviations of w."""
    network, _ = networks(tiny(architecture))
    for seed in range(1500):
        network.observe(_latents(16, seed))
    with torch.no_grad():
        w = network.generator.mapping.network(_latents(20_000, seed=9999))
    assert ((network.generator.mapping.w_avg - w.mean(dim=0)).abs() < 0.08 * w.std(dim=0) + 1e-3).all()


@styled
def test_mixed_images_take_their_first_layers_from_one_and_the_rest_from_another(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = networks(tiny(architecture, mixing=0.7))
    seen, count = _contexts(monkeypatch, network), 600
    z = _latents(count)
    with torch.no_grad():
        network(z, GROWN, draws(count))
        own = network.generator.mapping(z)
    ws, num_layers = seen[0].ws, len(network.generator.layers)
    taken = (ws == own).all(dim=2)
    lengths = taken.sum(dim=1)
    assert torch.equal(taken, torch.arange(ws.shape[1]) < lengths[:, None]), "what is taken are the first layers"
    mixed = lengths < ws.shape[1]
    assert abs(int(mixed.sum()) - 0.7 * count) < 4 * (0.7 * 0.3 * count) ** 0.5
    assert set(lengths[mixed].tolist()) == set(range(1, num_layers)), "the crossover is anywhere between two layers"
    rest = ws[mixed][:, -1]
    assert torch.equal(ws[mixed][:, num_layers - 1], rest), "there is one other latent vector, not one a layer"
    assert len(rest.unique(dim=0)) == len(rest)


@styled
@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_none_or_all_images_are_mixed(architecture: str, mixing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = networks(tiny(architecture, mixing=mixing))
    seen = _contexts(monkeypatch, network)
    z = _latents(40)
    with torch.no_grad():
        network(z, GROWN, draws(40))
        mixed = (seen[0].ws != network.generator.mapping(z)).flatten(1).any(dim=1)
    assert mixed.float().mean() == mixing


@styled
def test_noise_is_fresh_for_each_image_and_follows_its_seed(architecture: str) -> None:
    network, _ = networks(tiny(architecture, mixing=0.0))
    z = _latents(1).expand(4, -1)
    with torch.no_grad():
        images, again, other = (network(z, GROWN, draws(4, seed)) for seed in (0, 0, 1))
        assert torch.equal(images, again)
        assert len(torch.cat([images, other]).unique(dim=0)) == 8
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
        quiet = network(z, GROWN, draws(4))
    torch.testing.assert_close(quiet, quiet[:1].expand_as(quiet))


@styled
def test_every_step_has_noise_of_its_own_and_the_same_when_it_is_done_again(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    for _ in range(2):
        task = GANTask(tiny(architecture), Noise(), device="cpu")
        seen = _contexts(monkeypatch, task.network)
        task.step(0)
        task.step(1)
        drawn.append([torch.cat([each.flatten() for each in context.noise]) for context in seen])
    first, again = drawn
    assert len(first) == 4, "the discriminator's and the generator's images of two steps"
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    for one in range(4):
        assert not any(torch.equal(first[one], first[other]) for other in range(one))
