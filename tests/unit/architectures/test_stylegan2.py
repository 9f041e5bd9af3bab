from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import generators
from gandissect.core.hooks import trace
from generators import ResidualDiscriminator, StyleGAN2
from generators.architectures.stylegan2 import ModulatedLayer, ResidualBlock, ToRGB, demodulation
from generators.training import GANSettings, train_generator

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _live(network, seed: int = 1):
    """Change parameters that start at zero or one, so that mistakes show."""
    rng = _rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.3)
    return network.eval().requires_grad_(False)


def _generator(size: int = 16) -> StyleGAN2:
    torch.manual_seed(size)
    return _live(StyleGAN2(size, width=4, max_width=8, z_dim=6, w_dim=5, mapping_depth=2))


def _double(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The full convolution of an image with a kernel, by definition: each pixel adds a copy of the kernel."""
    out = np.zeros(np.add(x.shape, kernel.shape) - 1)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i : i + kernel.shape[0], j : j + kernel.shape[1]] += x[i, j] * kernel
    return out


def _stretched(x: np.ndarray) -> np.ndarray:
    """Insert zeros between the pixels, then filter, preserving the mean."""
    out = np.zeros((2 * x.shape[0] - 1, 2 * x.shape[1] - 1))
    out[::2, ::2] = x
    return _convolve(out, 4 * FILTER)


def _enlarged(image: np.ndarray) -> np.ndarray:
    """``_stretched``, cropped to twice the size, each channel of a picture."""
    return np.stack([_stretched(channel)[1:-1, 1:-1] for channel in image])


def _affine(layer, w: Tensor) -> np.ndarray:
    """The styles ``[batch, unit]``: a weight is stored with unit variance, the bias as it is."""
    return _double(w) @ _double(layer.affine.weight).T / np.sqrt(w.shape[1]) + _double(layer.affine.bias)


@pytest.mark.parametrize("up", [False, True])
def test_a_layer_is_the_convolution_with_modulated_and_demodulated_weights(up: bool) -> None:
    """Eq. 1-3 of Karras et al. 2020, literally, image by image and kernel by kernel."""
    torch.manual_seed(0)
    layer = _live(ModulatedLayer(3, 2, 10 if up else 5, 4, up=up))
    x, w = torch.randn(2, 3, 5, 5, generator=_rng(2)), torch.randn(2, 4, generator=_rng(3))
    noise = torch.randn(2, 1, layer.noise.shape[2], layer.noise.shape[2], generator=_rng(4))
    styles = _affine(layer, w)
    for drawn in (None, noise):
        result = layer(x, w, drawn)
        for b in range(2):
            for j in range(2):
                modulated = styles[b][:, None, None] * _double(layer.weight[j]) / np.sqrt(27)
                demodulated = modulated / np.sqrt((modulated**2).sum() + 1e-8)
                if up:
                    grids = [_convolve(_stretched(_double(x[b, i])), demodulated[i])[2:-2, 2:-2] for i in range(3)]
                else:  # a convolution of the network's kind does not turn its kernel round
                    grids = [_convolve(_double(x[b, i]), demodulated[i, ::-1, ::-1])[1:-1, 1:-1] for i in range(3)]
                own = layer.noise[0, 0] if drawn is None else drawn[b, 0]
                before = sum(grids) + float(layer.noise_strength) * _double(own) + float(layer.bias[j])
                expected = np.sqrt(2) * np.where(before > 0, before, 0.2 * before)
                np.testing.assert_allclose(_double(result[b, j]), expected, atol=2e-5)


def test_activations_have_the_same_scale_whatever_the_style() -> None:
    """Unit noise in, unit noise before the leaky ReLU, whose mean square times its gain is 2 (1 + 0.2^2) / 2."""
    torch.manual_seed(0)
    layer = ModulatedLayer(64, 64, 16, 4)
    x, w = torch.randn(8, 64, 16, 16, generator=_rng(1)), 30 * torch.randn(8, 4, generator=_rng(2))
    w[0] = 0  # styles begin at one, not at zero
    with torch.no_grad():
        energy = layer(x, w, None)[:, :, 1:-1, 1:-1].square().mean(dim=(1, 2, 3))
    assert torch.allclose(energy, torch.full((8,), 1.04), rtol=0.12)


def test_demodulation_is_computed_in_float32_under_autocast() -> None:
    weight, style = torch.randn(5, 7, 3, 3, generator=_rng(0)), torch.randn(4, 7, generator=_rng(1)) + 1
    with torch.autocast("cpu", torch.bfloat16):
        result = demodulation(weight, style)
    assert result.dtype == torch.float32
    products = _double(style)[:, None, :, None, None] * _double(weight)[None]
    np.testing.assert_allclose(_double(result), (products**2).sum(axis=(2, 3, 4)) ** -0.5, rtol=1e-5)


def test_the_layers_are_those_of_the_paper() -> None:
    generator = StyleGAN2(64, width=8, max_width=32, z_dim=6, w_dim=5, mapping_depth=2)
    shapes = [(info.units, info.height) for info in generator.layers.values()]
    assert list(generator.layers) == [f"layer{i}" for i in range(1, 10)]
    assert shapes == [(32, 4), (32, 8), (32, 8), (32, 16), (32, 16), (16, 32), (16, 32), (8, 64), (8, 64)]
    assert generator.mapping.num_ws == 10
    assert generator.image_size == (64, 64)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_tail_of_head_is_the_image_bit_for_bit_for_z_and_for_ws(memory_format: torch.memory_format) -> None:
    generator = _generator().to(memory_format=memory_format)
    z = generator.sample_z(3, seed=2)
    ws = generator.mapping(z, truncation_psi=0.4, truncation_cutoff=3)
    for latent in (z, ws):
        image = generator(latent)
        for layer, info in generator.layers.items():
            activation = generator.head(latent, layer)
            assert activation.shape == (3, info.units, info.height, info.width)
            assert torch.equal(generator.tail(activation, layer, latent), image), layer
        with trace(generator, list(generator.layers)) as record:
            generator(latent)
        assert all(torch.equal(record[layer], generator.head(latent, layer)) for layer in generator.layers)
    assert torch.equal(generator.synthesis(ws), generator(ws))
    assert not torch.equal(generator(ws), generator(z))


def test_the_image_is_the_sum_of_the_enlarged_images_of_all_grids() -> None:
    generator = _generator(32)
    ws = torch.randn(2, 8, 5, generator=_rng(3))
    image = generator(ws)
    for b in range(2):
        total = np.zeros((3, 32, 32))
        for level, side in enumerate((4, 8, 16, 32)):
            to_rgb = generator.output if side == 32 else generator.to_rgb[str(side)]
            activation = _double(generator.head(ws, f"layer{2 * level + 1}")[b])
            style = _affine(to_rgb, ws[b : b + 1, 2 * level + 1])[0]
            weight = _double(to_rgb.weight[:, :, 0, 0]) / np.sqrt(len(style))
            own = np.tensordot(weight * style, activation, axes=1) + _double(to_rgb.bias)[:, None, None]
            while own.shape[1] < 32:
                own = _enlarged(own)
            total += own
        np.testing.assert_allclose(_double(image[b]), total, atol=5e-5)


def test_an_edited_activation_is_seen_in_the_image_of_its_own_grid() -> None:
    """If the next layer ignores its input, one pixel of one unit produces the filter in the color of its weights."""
    generator = _generator()
    generator.layer4.affine.weight.zero_()
    generator.layer4.affine.bias.zero_()
    z = generator.sample_z(2)
    before, activation = generator(z), generator.head(z, "layer3")
    edited = activation.clone()
    edited[:, 2, 4, 3] += 5
    difference = _double(generator.tail(edited, "layer3", z) - before)
    to_rgb = generator.to_rgb["8"]
    styles = _affine(to_rgb, generator.mapping(z)[:, 3])
    expected = np.zeros((2, 3, 16, 16))
    for b in range(2):
        color = 5 * styles[b, 2] * _double(to_rgb.weight[:, 2, 0, 0]) / np.sqrt(8)
        expected[b, :, 7:11, 5:9] = color[:, None, None] * 4 * FILTER
    np.testing.assert_allclose(difference, expected, atol=1e-5)
    assert abs(expected).max() > 0.1
    assert torch.equal(generator(z), before), "the edit leaked"


def test_one_image_does_not_depend_on_its_batch_mates() -> None:
    generator = _generator()
    z = generator.sample_z(4)
    other = torch.cat([z[:1], generator.sample_z(3, seed=9)])
    assert torch.equal(generator(z)[0], generator(other)[0])
    assert torch.allclose(generator(z[:1])[0], generator(z)[0], atol=1e-5)


def test_noise_changes_the_image_and_its_own_is_the_default() -> None:
    generator = _generator()
    ws = generator.mapping(generator.sample_z(2))
    own = [generator.get_submodule(layer).noise for layer in generator.layers]
    assert torch.equal(generator.synthesis(ws, own), generator(ws))
    assert not torch.equal(generator.synthesis(ws, generator.random_noise(2, _rng(0))), generator(ws))
    with pytest.raises(ValueError, match=r"sides \[4, 8, 8, 16, 16\]"):
        generator.synthesis(ws, own[1:])
    with pytest.raises(ValueError, match=r"ws of shape \[batch, 6, 5\]; got \[2, 5, 5\]"):
        generator(ws[:, 1:])


def test_each_latent_vector_reaches_its_layer_and_the_image_of_the_grid_before() -> None:
    """The style of a grid's image is that of the next layer: ``ws[:, 1]`` colors 4 x 4 and modulates layer2."""
    generator = _generator()
    ws = generator.mapping(generator.sample_z(2))
    for index in range(generator.mapping.num_ws):
        changed = ws.clone()
        changed[:, index] += 1
        same = [torch.equal(generator.head(ws, layer), generator.head(changed, layer)) for layer in generator.layers]
        assert same == [number < index for number in range(5)]
        assert not torch.equal(generator(ws), generator(changed))


def test_saved_and_loaded_it_is_the_same_up_to_half_precision(tmp_path: Path) -> None:
    generator = _generator()
    generators.save(generator, tmp_path / "mine.safetensors")
    loaded = generators.load(tmp_path / "mine.safetensors", device="cpu")
    z = generator.sample_z(3)
    assert isinstance(loaded, StyleGAN2)
    assert loaded.settings == generator.settings
    assert loaded.layers == generator.layers
    assert (loaded(z) - generator(z)).abs().max() < 0.02 * generator(z).abs().max()


def test_in_bfloat16_the_image_is_nearly_the_same_and_float32() -> None:
    generator = _generator(32).to(memory_format=torch.channels_last)
    z = generator.sample_z(3)
    with torch.autocast("cpu", torch.bfloat16):
        image = generator(z)
    assert image.dtype == torch.float32
    assert (image - generator(z)).square().mean() < 1e-3 * generator(z).square().mean()


def test_the_image_so_far_keeps_its_precision_in_bfloat16() -> None:
    to_rgb = _live(ToRGB(3, 4))
    x, w, image = torch.zeros(2, 3, 8, 8), torch.zeros(2, 4), torch.randn(2, 3, 4, 4, generator=_rng(0))
    to_rgb.bias.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        result = to_rgb(x, w, image)
    np.testing.assert_allclose(_double(result), [_enlarged(each) for each in _double(image)], atol=1e-6)


def test_the_gradient_of_a_layer_that_doubles_the_grid_is_the_one_of_finite_differences() -> None:
    torch.manual_seed(0)
    layer = _live(ModulatedLayer(2, 3, 6, 4, up=True)).double()
    x, w = torch.randn(2, 2, 3, 3, generator=_rng(1)).double(), torch.randn(2, 4, generator=_rng(2)).double()
    x.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: layer(x, w, None), x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, w, None).square(), x)


def test_a_residual_block_is_the_one_of_the_paper() -> None:
    """Inside the border: filter [1, 3, 3, 1], every second pixel, sum over sqrt(2)."""
    torch.manual_seed(0)
    block = ResidualBlock(2, 3)
    first, second, skip = (
        _double(each) for each in (block.residual[0].weight, block.residual[3].weight, block.skip[2].weight)
    )
    x = torch.randn(1, 2, 12, 12, generator=_rng(1))

    def correlated(grids: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
        """A 3 x 3 convolution with zeros outside, of unit gain, and leaky ReLU with gain sqrt(2)."""
        sums = [
            sum(_convolve(grid, kernel[::-1, ::-1])[1:-1, 1:-1] for grid, kernel in zip(grids, kernels, strict=True))
            for kernels in weights
        ]
        return [np.sqrt(2) * np.maximum(y, 0.2 * y) for y in np.array(sums) / np.sqrt(9 * len(grids))]

    x64 = list(_double(x[0]))
    filtered = [_convolve(grid, FILTER)[1:, 1:] for grid in correlated(x64, first)]  # starts between two pixels
    residual = [grid[1::2, 1::2][:6, :6] for grid in correlated(filtered, second)]
    small = [_convolve(grid, FILTER)[2::2, 2::2][:6, :6] for grid in x64]
    around = np.tensordot(skip[:, :, 0, 0], np.array(small), axes=1) / np.sqrt(2)
    expected = (np.array(residual) + around) / np.sqrt(2)
    with torch.no_grad():
        result = _double(block(x)[0])
    np.testing.assert_allclose(result[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5)


def test_the_discriminator_gives_each_image_a_logit_of_its_own_and_its_group() -> None:
    torch.manual_seed(0)
    discriminator = _live(ResidualDiscriminator(32, width=4, max_width=8))
    images = torch.randn(6, 3, 32, 32, generator=_rng(1))
    logits = discriminator(images)
    assert logits.shape == (6,)
    changed = images.clone()
    changed[5] = 0
    moved = discriminator(changed) != logits
    assert moved.tolist() == [False] * 4 + [True] * 2, "groups of four, the last of two"
    with pytest.raises(ValueError, match="power of two"):
        ResidualDiscriminator(48)


class Noise:
    """Colored noise pictures, the same for the same index."""

    name, size = "noise", 16

    def __len__(self) -> int:
        return 8

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        return SimpleNamespace(
            images=torch.stack([torch.randint(0, 256, (3, 16, 16), generator=_rng(i)) for i in indices]).byte()
        )


@pytest.mark.parametrize("bf16", [False, True])
def test_two_steps_of_training_move_every_weight(bf16: bool, tmp_path: Path) -> None:
    settings = GANSettings(
        architecture="stylegan2",
        resolution=16,
        width=4,
        max_width=8,
        z_dim=6,
        mapping_depth=2,
        batch_size=4,
        images=8,
        r1_gamma=1.0,
        r1_every=1,
        mixing=0.9,
        ema_half_life=1.0,
        beta1=0.0,
        bf16=bf16,
    )
    trained = generators.load(train_generator(settings, Noise(), tmp_path, device="cpu"), device="cpu")
    assert isinstance(trained, StyleGAN2)
    assert trained(trained.sample_z(2)).isfinite().all()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["task"]
    for optimizer in ("generator_optimizer", "discriminator_optimizer"):
        moments = state[optimizer]["state"].values()
        assert all(moment["exp_avg_sq"].abs().sum() > 0 for moment in moments)
        assert len(moments) == len(state[optimizer]["param_groups"][0]["params"])


def test_activations_are_limited_only_if_asked_for() -> None:
    sizes = {"size": 8, "width": 2, "max_width": 2, "z_dim": 2, "w_dim": 2}
    assert StyleGAN2(**sizes).settings == sizes | {"mapping_depth": 8}
    assert StyleGAN2(**sizes, clamp=256.0).settings == sizes | {"mapping_depth": 8, "clamp": 256.0}
    for clamp in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="clamp must be above 0"):
            StyleGAN2(**sizes, clamp=clamp)


def test_activations_are_limited_after_their_gain() -> None:
    """The unlimited output of the layer, clamped at the limit itself and not at sqrt(2) times it."""
    generator = _generator()
    limited = StyleGAN2(**generator.settings, clamp=0.5).eval()
    limited.load_state_dict(generator.state_dict())
    z = generator.sample_z(2)
    activation = generator.head(z, "layer1")
    assert (activation.abs() > 0.6).any()
    assert torch.equal(limited.head(z, "layer1"), activation.clamp(-0.5, 0.5))
    assert all(limited.head(z, layer).detach().abs().max() == 0.5 for layer in limited.layers)


def test_a_structure_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="structure must be one of skip, resnet, orig; got 'unet'"):
        StyleGAN2(8, width=2, max_width=2, structure="unet")
