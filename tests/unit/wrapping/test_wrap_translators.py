"""Third-party networks from pictures to pictures, wrapped: networks written as the public code of pix2pix and CycleGAN writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_generators import draw_pictures
from torch import Tensor, nn

from gandissect import Ablation, Translation, UnitSet, dissect, generate, latent, repair
from gandissect.core.types import Concept
from generators import WrappedGenerator, wrap


class Skip(nn.Module):
    """One level of a nested U-Net; its activations are written to in place."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, *, dropout: bool = False) -> None:
        super().__init__()
        before = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, 2, 1)]
        norm = [nn.BatchNorm2d(inner)] if inside is not None else []
        after = [nn.ReLU(inplace=True), nn.ConvTranspose2d(inner * (1 if inside is None else 2), outer, 4, 2, 1)]
        after += [nn.BatchNorm2d(outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*before, *norm, *([] if inside is None else [inside]), *after)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class UNet(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        inside = Skip(4, 6, Skip(6, 8, None), dropout=True)
        self.down, self.inside = nn.Conv2d(channels, 4, 4, 2, 1), inside
        self.up = nn.Sequential(nn.ReLU(True), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        images: Tensor = self.up(self.inside(self.down(x)))
        return images


class Residual(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        parts = [nn.ReflectionPad2d(1), nn.Conv2d(units, units, 3), nn.InstanceNorm2d(units)]
        self.body = nn.Sequential(*parts, nn.ReLU(True), nn.ReflectionPad2d(1), nn.Conv2d(units, units, 3))

    def forward(self, x: Tensor) -> Tensor:
        images: Tensor = x + self.body(x)
        return images


def _cycle() -> nn.Sequential:
    down = [nn.Conv2d(3, 4, 3, 2, 1), nn.InstanceNorm2d(4), nn.ReLU(True)]
    return nn.Sequential(*down, Residual(4), nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, 1, 1), nn.Tanh())


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make().eval().requires_grad_(False)


class Halves:
    name, fingerprint = "halves", "version 1"
    concepts = (Concept(0, "light", (250, 220, 80)), Concept(1, "dark", (40, 40, 60)))

    def __call__(self, images: Tensor) -> Tensor:
        return (images.mean(1) < 0).long()


@pytest.mark.parametrize("make", [UNet, _cycle])
def test_a_wrapped_translator_is_a_generator_on_pictures(make: Callable[[], nn.Module]) -> None:
    module, pictures = _seeded(make), draw_pictures()
    G = wrap(module, inputs=pictures, name="mine")
    assert isinstance(G, Translation)
    assert (G.name, G.image_size, G.z_dim, G.noise_dim) == ("mine on 12 pictures", (16, 16), 768, 0)
    z, floats = G.sample_z(5, seed=4, start=2), pictures.float() / 127.5 - 1
    torch.testing.assert_close(G(z), module(floats[2:7]), atol=1e-6, rtol=1e-5)
    for layer, info in G.layers.items():
        activation = G.head(z, layer)
        assert activation.shape == (5, info.units, info.height, info.width)
        assert torch.equal(G.tail(activation, layer, z), G(z)), layer
    assert len(G.layers) >= 4
    with pytest.raises(ValueError, match="12 in all; got 13 samples"):
        G.sample_z(13)
    with pytest.raises(ValueError, match="without noise, so there is no latent space"):
        latent.generate_grid(G, G.sample_z(4), 2, 2)


def test_it_is_dissected_edited_and_repaired() -> None:
    module = _seeded(UNet)
    G = wrap(module, inputs=draw_pictures())
    D = dissect(G, Halves(), ["inside", "inside.model.1"], num_samples=12, progress=False)
    assert D.provenance.generator.name == "UNet on 12 pictures"
    units, z = UnitSet("inside.model.1", (0, 3)), G.sample_z(4)

    def off(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output.index_fill(1, torch.tensor(units.units), 0)

    handle = module.inside.model[1].register_forward_hook(off)
    wanted = module(z.reshape(4, 3, 16, 16))
    handle.remove()
    assert not torch.equal(wanted, G(z))
    assert torch.equal(generate(G, z, [Ablation(units)]), wanted)
    assert torch.equal(repair(G, units)(z), wanted)


def test_other_pictures_of_any_size_and_their_fingerprints() -> None:
    module = _seeded(_cycle)
    G = wrap(module, inputs=draw_pictures(), layers=["3", "0"])
    other = G.on(draw_pictures(3, 32))
    assert (other.name, other.image_size, list(other.layers)) == ("Sequential on 3 pictures", (32, 32), ["0", "3"])
    assert other.module is module
    prints = {G.fingerprint, other.fingerprint, G.on(draw_pictures(seed=9)).fingerprint}
    assert len(prints) == 3
    assert G.on(draw_pictures()).fingerprint == G.fingerprint
    changed = _seeded(_cycle)
    changed[0].weight[0, 0, 0, 0] += 1
    assert wrap(changed, inputs=draw_pictures(), layers=["3", "0"]).fingerprint not in prints


def test_float_pictures_with_any_channels_are_passed_as_they_are() -> None:
    module, planes = _seeded(lambda: UNet(5)), torch.rand(4, 5, 16, 32, generator=torch.Generator().manual_seed(0))
    G = wrap(module, inputs=planes)
    torch.testing.assert_close(G(G.sample_z(4)), module(planes), atol=1e-6, rtol=1e-5)
    assert G.image_size == (16, 32)


class Shared(nn.Module):
    """Subtracts the mean of the batch, so its images depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        images: Tensor = y - y.mean()
        return images


@pytest.mark.parametrize("count", [1, 2, 12])
def test_pictures_of_a_batch_that_affect_each_other_are_found_with_any_number_of_pictures(count: int) -> None:
    with pytest.raises(ValueError, match="lets images of a batch affect each other"):
        wrap(_seeded(Shared), inputs=draw_pictures(count))
    assert isinstance(wrap(_seeded(_cycle), inputs=draw_pictures(count)), WrappedGenerator)


def test_what_does_not_fit_is_refused() -> None:
    module, pictures = _seeded(UNet), draw_pictures()
    with pytest.raises(ValueError, match="either latent vectors or pictures; omit z_dim and z_shape, or inputs"):
        wrap(module, 5, inputs=pictures)
    with pytest.raises(ValueError, match=r"UNet does not take pictures of shape \[2, 3, 12, 12\]"):
        wrap(module, inputs=draw_pictures(4, 12))
    with pytest.raises(ValueError, match=r"its first convolution .* takes 3 channels\. Pass pictures with inputs="):
        wrap(module, 768)
    with pytest.raises(ValueError, match="in training mode"):
        wrap(UNet(), inputs=pictures)
    latents = wrap(nn.Sequential(nn.ConvTranspose2d(4, 4, 4), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval(), 4)
    with pytest.raises(ValueError, match="takes latent vectors; wrap a module that takes pictures with inputs="):
        latents.on(pictures)
