"""StyleGAN against what the paper says: mapping, truncation, mixing, adaptive instance normalization, noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tiny_gans import enliven
from torch import Tensor, nn

from gandissect.core.types import LayerInfo
from generators.architectures.blocks import Blur, EqualizedConv2d
from generators.architectures.progan import ProGAN
from generators.architectures.stylegan import MappingNetwork, StyleGAN, StyleLayer


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        yield


@pytest.fixture
def generator(_seeded: None) -> StyleGAN:
    made = StyleGAN(size=16, width=3, max_width=8, z_dim=6, w_dim=5, mapping_depth=3)
    return enliven(made).eval().requires_grad_(False)


def test_the_layers_are_those_of_the_papers() -> None:
    shapes = [(32, 4), (32, 4), (16, 8), (16, 8), (8, 16), (8, 16)]
    expected = {f"layer{i + 1}": LayerInfo(units, side, side) for i, (units, side) in enumerate(shapes)}
    for architecture in (ProGAN, StyleGAN):
        assert dict(architecture(size=16, width=8, max_width=512, z_dim=4).layers) == expected
    narrow = StyleGAN(size=16, width=8, max_width=10, z_dim=4)
    assert [info.units for info in narrow.layers.values()] == [10, 10, 10, 10, 8, 8]
    assert narrow.mapping.num_ws == 6


def test_the_mapping_is_a_network_with_a_hundredth_of_the_learning_rate() -> None:
    """Pixel norm of z; then, layer by layer, ``leaky(sqrt(2 / fan_in) / 100 W x + b / 100)`` with W of scale 100."""
    mapping = enliven(MappingNetwork(z_dim=6, w_dim=5, depth=3, num_ws=4))
    z = torch.randn(7, 6, generator=_rng(0))
    x = z.double().numpy()
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
    for layer in list(mapping.network)[1:]:
        weight, bias = (parameter.detach().double().numpy() for parameter in layer[0].parameters())
        assert 50 < weight.std() < 150
        x = x @ weight.T * math.sqrt(2 / x.shape[1]) / 100 + bias / 100
        x = np.where(x > 0, x, 0.2 * x)
    ws = mapping(z)
    assert ws.shape == (7, 4, 5)
    np.testing.assert_allclose(ws.detach().double().numpy(), np.repeat(x[:, None], 4, axis=1), rtol=1e-4, atol=1e-5)


def test_truncation_by_1_is_the_identity_and_by_0_the_average(generator: StyleGAN) -> None:
    z = generator.sample_z(9)
    w, average = generator.mapping.network(z), generator.mapping.w_avg
    assert average.abs().min() > 0
    assert not torch.allclose(w, average)
    for cutoff in (None, 0, 3, 6):
        assert torch.equal(generator.mapping(z, 1.0, cutoff), w[:, None].expand(-1, 6, -1))
    assert torch.equal(generator.mapping(z, truncation_psi=0.0), average.expand(9, 6, -1))
    assert torch.equal(generator.synthesis(generator.mapping(z, truncation_psi=1.0)), generator(z))
    one = generator.synthesis(generator.mapping(z, truncation_psi=0.0))
    assert torch.equal(one, one[:1].expand_as(one)), "all are the average image"


@pytest.mark.parametrize("psi", [0.0, 0.3, 0.7, 1.5, -1.0])
@pytest.mark.parametrize("cutoff", [None, 0, 1, 4, 6])
def test_truncation_moves_the_layers_before_the_cutoff_towards_the_average(
    generator: StyleGAN, psi: float, cutoff: int | None
) -> None:
    z = generator.sample_z(4)
    w, average = generator.mapping.network(z).double(), generator.mapping.w_avg.double()
    found = generator.mapping(z, truncation_psi=psi, truncation_cutoff=cutoff)
    for layer in range(6):
        moved = cutoff is None or layer < cutoff
        expected = average + psi * (w - average) if moved else w
        torch.testing.assert_close(found[:, layer].double(), expected, rtol=1e-5, atol=1e-6)


def test_mixing_takes_a_range_of_layers_from_another_image(generator: StyleGAN) -> None:
    one, other = (generator.mapping(generator.sample_z(3, seed=seed)) for seed in (0, 1))
    names = list(generator.layers)
    for start, stop in ((2, 2), (0, 0), (6, 6), (0, 6), (0, 2), (2, 4), (3, 6)):
        ws = one.clone()
        ws[:, start:stop] = other[:, start:stop]
        image = generator.synthesis(ws)
        assert torch.equal(image, generator(one)) is (start == stop)
        assert torch.equal(image, generator(other)) is (stop - start == 6)
        same = [torch.equal(generator.head(ws, name), generator.head(one, name)) for name in names]
        assert same == [start == stop or index < start for index in range(6)], "what is not yet mixed is as before"


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng)


def _convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Slide a 3 x 3 kernel ``[unit, 3, 3]`` over ``[unit, h, w]`` with zeros outside."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros(x.shape[1:])
    for row, column in np.ndindex(*out.shape):
        out[row, column] = (padded[:, row : row + 3, column : column + 3] * weight).sum()
    return out


@pytest.mark.parametrize("kind", ["first", "same", "up"])
@pytest.mark.parametrize("own_noise", [True, False])
def test_a_layer_is_the_one_of_the_paper(kind: str, own_noise: bool) -> None:
    """Convolution, noise of learned strength, bias, leaky ReLU, AdaIN: image by image, unit by unit, in float64."""
    side = 8 if kind == "up" else 4
    plain = EqualizedConv2d(3, 3, 3, 1, resample="up" if kind == "up" else "none", bias=False)
    convolution = {"first": None, "same": plain, "up": nn.Sequential(plain, Blur())}[kind]
    layer = enliven(StyleLayer(convolution, 3, side, w_dim=5)).requires_grad_(False)
    rng = _rng(0)
    x, w, drawn = _normal(rng, 2, 3, 4, 4), _normal(rng, 2, 5), _normal(rng, 2, 1, side, side)
    found = layer(x, w, None if own_noise else drawn)
    weight = plain.weight.detach().double().numpy() * math.sqrt(2 / 27)
    affine, base = (parameter.detach().double().numpy() for parameter in layer.affine.parameters())
    for image in range(2):
        grids = x[image].double().numpy()
        if kind == "up":
            grids = grids.repeat(2, axis=1).repeat(2, axis=2)
        if kind != "first":
            grids = np.stack([_convolved(grids, weight[unit]) for unit in range(3)])
        if kind == "up":
            binomial = np.outer([1, 2, 1], [1, 2, 1])[None] / 16
            grids = np.stack([_convolved(grid[None], binomial) for grid in grids])
        style = w[image].double().numpy() @ affine.T / math.sqrt(5) + base
        noise = (layer.noise[0, 0] if own_noise else drawn[image, 0]).double().numpy()
        for unit in range(3):
            y = grids[unit] + noise * float(layer.noise_strength[unit]) + float(layer.bias[unit])
            y = np.where(y > 0, y, 0.2 * y)
            y = (y - y.mean()) / math.sqrt(((y - y.mean()) ** 2).mean() + 1e-8)
            y = y * (style[unit] + 1) + style[unit + 3]
            np.testing.assert_allclose(found[image, unit].detach().double().numpy(), y, rtol=1e-4, atol=1e-4)


def test_each_unit_has_the_mean_and_deviation_of_its_style(generator: StyleGAN) -> None:
    """Mean and standard deviation of AdaIN's output do not depend on its input."""
    z = generator.sample_z(4)
    ws = generator.mapping(z)
    for index, name in enumerate(generator.layers):
        r = generator.head(z, name).double()
        scale, offset = generator.get_submodule(name).affine(ws[:, index]).double().chunk(2, dim=1)
        torch.testing.assert_close(r.mean(dim=(2, 3)), offset, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(r.std(dim=(2, 3), correction=0), (1 + scale).abs(), rtol=1e-3, atol=1e-3)


def test_one_z_is_one_image_and_other_noise_another(generator: StyleGAN) -> None:
    z = generator.sample_z(3)
    ws = generator.mapping(z)
    assert torch.equal(generator.synthesis(ws), generator(z))
    noise = generator.random_noise(3, _rng(5))
    assert [tuple(each.shape) for each in noise] == [(3, 1, side, side) for side in (4, 4, 8, 8, 16, 16)]
    assert torch.cat([each.flatten() for each in noise]).std().item() == pytest.approx(1, rel=0.1)
    image = generator.synthesis(ws, noise)
    assert not torch.allclose(image, generator(z), atol=0.01)
    assert torch.equal(image, generator.synthesis(ws, generator.random_noise(3, _rng(5))))
    assert not torch.equal(image, generator.synthesis(ws, generator.random_noise(3, _rng(6))))
    own = [generator.get_submodule(name).noise for name in generator.layers]
    assert torch.equal(generator.synthesis(ws, own), generator(z)), "one for all images is as good"
    assert torch.equal(generator(z), generator(z))


def test_layerwise_latent_vectors_are_taken_wherever_z_is(generator: StyleGAN) -> None:
    one, other = (generator.mapping(generator.sample_z(3, seed=seed)) for seed in (0, 1))
    ws = torch.cat([one[:, :2], other[:, 2:]], dim=1)
    image = generator(ws)
    assert torch.equal(image, generator.synthesis(ws))
    assert torch.equal(image, generator(ws.double()))
    for name, info in generator.layers.items():
        activation = generator.head(ws, name)
        assert activation.shape == (3, info.units, info.height, info.width)
        assert torch.equal(generator.tail(activation, name, ws), image)
    assert not torch.allclose(generator.tail(generator.head(ws, "layer2"), "layer2", one), image, atol=0.01)


@pytest.mark.wrong_shape
def test_wrong_shapes_say_what_is_allowed(generator: StyleGAN) -> None:
    z = generator.sample_z(2)
    ws = generator.mapping(z)
    for wrong in (ws[:, :5], ws[:, :, :4]):
        for call in (generator, generator.synthesis, lambda given: generator.head(given, "layer1")):
            with pytest.raises(ValueError, match=r"ws of shape \[batch, 6, 5\]; got \[2, \d, \d\]"):
                call(wrong)
    with pytest.raises(ValueError, match=r"z of shape \[batch, 6\]; got \[2, 5\]"):
        generator(z[:, :5])
    with pytest.raises(ValueError, match=r"z must have shape \[batch, 6\]; got \[2, 5\]"):
        generator.mapping(z[:, :5])
    assert torch.equal(generator.mapping(z.double()), ws)
    for cutoff in (-1, 7):
        with pytest.raises(ValueError, match=rf"truncation_cutoff must be in \[0, 6\]; got {cutoff}"):
            generator.mapping(z, 0.5, cutoff)
    with pytest.raises(TypeError, match=r"rng must be a torch\.Generator, .*manual_seed\(0\); got 5"):
        generator.random_noise(2, 5)
    noise = generator.random_noise(2, _rng(0))
    other_batch = [each.repeat(2, 1, 1, 1) for each in noise]
    for broken in (noise[:-1], [*noise[:-1], noise[0]], [each[:, 0] for each in noise], other_batch):
        with pytest.raises(ValueError, match=r"\[2 or 1, 1, side, side\] per layer, with sides \[4, 4, 8, 8, 16, 16\]"):
            generator.synthesis(ws, broken)
    with pytest.raises(ValueError, match=r"w_dim must be at least 1, mapping_depth in \[1, 64\]; got 5 and 0"):
        StyleGAN(size=8, w_dim=5, mapping_depth=0)
    with pytest.raises(ValueError, match="power of two"):
        StyleGAN(size=24)


@pytest.mark.wrong_shape
@pytest.mark.parametrize("shape", [(2, 6), (10, 6), (6,)])
def test_what_is_no_ws_is_not_taken_for_z(shape: tuple[int, ...]) -> None:
    generator = StyleGAN(size=16, width=3, max_width=8, z_dim=6)
    with pytest.raises(ValueError, match=r"ws must be \[batch, .*\], as returned by mapping"):
        generator.synthesis(torch.zeros(shape))
