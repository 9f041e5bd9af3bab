"""A fingerprint tells networks apart by all that makes their images different, and is the same on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import generators
from gandissect import Ablation, Recipe, UnitSet
from gandissect.core import NetworkId, is_same_network
from generators import DCGAN, StyleGAN2
from generators.wrapping.exact_images import quantize_images


class Noisy(nn.Module):
    """Layers with fixed noise that is not saved, a plain tensor, a number and a function."""

    def __init__(self, noise: int = 0, plain: int = 0, gain: float = 1.0, function: Any = torch.tanh) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.up = nn.ConvTranspose2d(5, 6, 8)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 3, 3, padding=1)
        for parameter in self.parameters():
            parameter.data.normal_(0, 0.3, generator=rng)
        self.register_buffer("noise", _draw(noise), persistent=False)
        self.plain, self.gain, self.function = _draw(plain), gain, function

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(self.up(z[:, :, None, None])).relu() + self.noise
        return self.function(self.gain * self.last(x + 0.1 * self.plain))


def _draw(seed: int) -> Tensor:
    return 0.3 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def _wrap(**options: Any) -> generators.WrappedGenerator:
    return generators.wrap(Noisy(**options).eval(), z_dim=5)


@pytest.mark.parametrize(
    "change",
    [{"noise": 1}, {"plain": 1}, {"gain": 1.01}, {"function": torch.sin}],
    ids=lambda change: next(iter(change)),
)
def test_networks_that_make_other_images_have_other_fingerprints(change: dict[str, Any]) -> None:
    generator, other = _wrap(), _wrap(**change)
    assert generator.fingerprint == _wrap().fingerprint
    assert not is_same_network(generator.fingerprint, other.fingerprint)
    recipe = Recipe.of(generator, [Ablation(UnitSet("up", (1,)))])
    recipe.generate(_wrap())
    with pytest.raises(ValueError, match="the recipe belongs to"):
        recipe.generate(other)
    before = NetworkId(generator.name, generator.fingerprint[:64])  # as earlier versions wrote it: of the weights alone
    before.check(generator, "the recipe")


def test_a_fingerprint_does_not_depend_on_threads_or_on_where_the_network_is() -> None:
    generator = _wrap()
    wanted = generator.fingerprint
    assert len(wanted.split("-")) == 3
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert generator.fingerprint == wanted
    finally:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        assert generator.fingerprint == wanted
    torch.manual_seed(3)
    slightly = generator.module.last.weight * (1 + 1e-13 * torch.randn(6, 3, 3, dtype=torch.float64))

    def rounded_otherwise(copy: Any, z: Tensor) -> Tensor:
        copy.module.last.weight.copy_(slightly)
        return copy._run_module(z)

    runs = type(generator)._run_module, rounded_otherwise
    levels = [quantize_images(generator, run, generator.sample_z(2), (-1.0, 1.0)) for run in runs]
    assert levels[0] is not None and levels[1] is not None and torch.equal(*levels)
    assert levels[0].unique().numel() > 300


def test_a_fingerprint_leaves_the_network_as_it_is() -> None:
    generator = _wrap()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    z = generator.sample_z(2)
    images = generator(z)
    assert generator.fingerprint
    assert torch.equal(generator(z), images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


class Single(nn.Module):
    """Computes with float32, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Noisy()

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z.float() * 1.0).to(z.dtype)


def test_images_that_round_are_left_out() -> None:
    generator = generators.wrap(Single().eval(), z_dim=5)
    assert len(generator.fingerprint.split("-")) == 2
    assert is_same_network(generator.fingerprint, f"{generator.fingerprint}-{'0' * 16}")


class FixedNoise(DCGAN):
    """One of ours with a buffer that is not saved."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register_buffer("_noise", torch.zeros(3), persistent=False)


def test_buffers_of_ours_that_are_not_saved_count(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = FixedNoise(size=16, width=4, z_dim=5).eval()
    plain = generator.fingerprint
    generator._noise[0] = 1
    assert generator.fingerprint != plain
    assert generator.fingerprint.split("-")[0] == plain.split("-")[0]


def test_settings_of_ours_count_when_they_are_wrapped() -> None:
    networks = []
    for clamp in (None, 0.1):
        torch.manual_seed(0)
        networks.append(StyleGAN2(16, 4, 8, z_dim=5, w_dim=5, mapping_depth=2, clamp=clamp).eval())
    plain, clamped = (generators.wrap(network, 5).fingerprint for network in networks)
    assert plain[:64] == clamped[:64] and not is_same_network(plain, clamped)


def test_names_that_are_no_hashes_are_compared_whole() -> None:
    assert not is_same_network("version", "version-2")
    assert is_same_network("version-2", "version-2")
