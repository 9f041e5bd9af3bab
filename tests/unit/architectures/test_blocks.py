"""Each part of the growing and the style generators against float64 loops that read like the papers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn
from torch.nn import functional

from generators.architectures.blocks import (
    SIZES,
    SQRT2,
    Blur,
    EqualizedConv2d,
    EqualizedLinear,
    MinibatchStd,
    PixelNorm,
    adaptive_instance_norm,
    depth_of,
    double,
    draw_normal,
    units_of,
    width_of,
)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _alive(module: nn.Module, seed: int = 0) -> nn.Module:
    """Redraw weights and biases, so that no bias is zero."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=rng)
    return module


def _he(weight: Tensor, gain: float) -> Tensor:
    """Return a convolution's weight at run time, float64: ``w gain / sqrt(fan_in)``."""
    return weight.double() * gain / math.sqrt(weight[0].numel())


def _assert_equal(found: Tensor, expected: Tensor | np.ndarray) -> None:
    torch.testing.assert_close(found.double(), torch.as_tensor(expected).double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (3, 0), (4, 0), (4, 3)])
def test_a_convolution_is_the_sum_over_its_window(kernel: int, padding: int) -> None:
    layer = _alive(EqualizedConv2d(3, 2, kernel, padding, gain=0.7))
    x = _normal(2, 3, 5, 6, seed=1)
    weight, bias = _he(layer.weight.detach(), 0.7).numpy(), layer.bias.detach().double().numpy()
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = padded.shape[2] - kernel + 1, padded.shape[3] - kernel + 1
    expected = np.zeros((2, 2, height, width))
    for image, unit, row, column in np.ndindex(*expected.shape):
        window = padded[image, :, row : row + kernel, column : column + kernel]
        expected[image, unit, row, column] = (window * weight[unit]).sum() + bias[unit]
    _assert_equal(layer(x), expected)


def _upsampled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.conv2d(functional.interpolate(x, scale_factor=2, mode="nearest"), weight, bias, padding=1)


def _downsampled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    whole = functional.conv2d(x, weight, bias, padding=1)
    return (whole[:, :, ::2, ::2] + whole[:, :, 1::2, ::2] + whole[:, :, ::2, 1::2] + whole[:, :, 1::2, 1::2]) / 4


@pytest.mark.parametrize(("resample", "slow"), [("up", _upsampled), ("down", _downsampled)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_resampling_convolution_is_the_two_steps_in_one(resample: str, slow, bias: bool) -> None:
    """Values and gradients of the fused kernel equal those of separate resampling and convolution."""
    layer = _alive(EqualizedConv2d(3, 5, 3, 1, gain=1.3, resample=resample, bias=bias))
    x, exact = (
        _normal(2, 3, 6, 8, seed=1).requires_grad_(True),
        _normal(2, 3, 6, 8, seed=1).double().requires_grad_(True),
    )
    weight = layer.weight.detach().double().requires_grad_(True)
    added = layer.bias.detach().double() if bias else torch.zeros(5, dtype=torch.float64)
    found, expected = layer(x), slow(exact, _he(weight, 1.3), added)
    assert (layer.bias is None) is not bias
    _assert_equal(found, expected)
    outer = _normal(*found.shape, seed=2)
    gradients = torch.autograd.grad((found * outer).sum(), (x, layer.weight))
    wanted = torch.autograd.grad((expected * outer.double()).sum(), (exact, weight))
    for gradient, true in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient.double(), true, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "gain"), [(1, 1.0), (3, SQRT2), (4, SQRT2 / 4)])
def test_a_fresh_convolution_has_the_scale_of_he(kernel: int, gain: float) -> None:
    """The response to single pixels is the weight at run time: standard deviation ``gain / sqrt(fan_in)``, bias 0."""
    layer = EqualizedConv2d(40, 60, kernel, padding=kernel - 1, gain=gain)
    with torch.no_grad():
        weight = layer(torch.eye(40)[:, :, None, None])
    assert weight.shape == (40, 60, kernel, kernel)
    assert weight.std().item() == pytest.approx(gain / math.sqrt(40 * kernel**2), rel=0.05)
    assert weight.mean().abs() < 0.1 * weight.std()
    assert not layer.bias.any()


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_a_linear_map_has_the_scale_of_he_whatever_its_rate(rate: float) -> None:
    layer = EqualizedLinear(200, 150, gain=0.5, rate=rate, bias=2.0)
    with torch.no_grad():
        bias = layer(torch.zeros(1, 200))
        weight = layer(torch.eye(200)) - bias
    assert torch.allclose(bias, torch.full((1, 150), 2.0))
    assert weight.std().item() == pytest.approx(0.5 / math.sqrt(200), rel=0.05)
    layer.bias.data.normal_()
    x = _normal(3, 200, seed=1)
    expected = x.double() @ (layer.weight.detach().double().T * rate * 0.5 / math.sqrt(200))
    _assert_equal(layer(x), expected + layer.bias.detach().double() * rate)


def test_the_rate_is_a_factor_on_the_learning_rate() -> None:
    """Adam's first step moves every parameter by the learning rate, and biases at run time by ``rate`` times that."""
    probes = torch.eye(6, dtype=torch.float64), torch.zeros(1, 6, dtype=torch.float64)
    for rate in (1.0, 0.25):
        layer = EqualizedLinear(6, 4, gain=1.0, rate=rate).double()
        before = [layer(probe).detach() for probe in probes]
        layer(_normal(9, 6).double()).square().sum().backward()
        torch.optim.Adam(layer.parameters(), lr=1e-3).step()
        weight, bias = (layer(probe).detach() - was for probe, was in zip(probes, before, strict=True))
        torch.testing.assert_close(bias.abs(), torch.full_like(bias, 1e-3 * rate), rtol=1e-4, atol=0)
        step = (weight - bias).abs()
        torch.testing.assert_close(step, torch.full_like(step, 1e-3 * rate / math.sqrt(6)), rtol=1e-4, atol=0)


def test_pixel_norm_divides_each_pixel_by_its_root_mean_square() -> None:
    x = _normal(2, 5, 3, 4) * 30
    expected = x.double().numpy().copy()
    for image, row, column in np.ndindex(2, 3, 4):
        vector = expected[image, :, row, column]
        expected[image, :, row, column] = vector / math.sqrt((vector**2).mean() + 1e-8)
    _assert_equal(PixelNorm()(x), expected)
    assert torch.equal(PixelNorm()(x[:, :, 0, 0]), PixelNorm()(x)[:, :, 0, 0]), "vectors are pixels without a grid"
    assert not PixelNorm()(torch.zeros(1, 5, 2, 2)).any()


def _instance_norm(x: Tensor) -> Tensor:
    return adaptive_instance_norm(x, torch.ones(x.shape[:2]), torch.zeros(x.shape[:2]))


@pytest.mark.parametrize("norm", [PixelNorm(), _instance_norm])
def test_norms_are_computed_in_float32_and_keep_the_dtype(norm) -> None:
    """The square of 1,000 exceeds half precision."""
    x = _normal(2, 6, 4, 4).mul(1000).half()
    found = norm(x)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), norm(x.float()), rtol=2e-3, atol=1e-4)


def test_each_unit_of_each_image_gets_a_mean_and_a_standard_deviation_of_its_own() -> None:
    x, scale, offset = _normal(3, 2, 4, 5) * 7 + 3, _normal(3, 2, seed=1), _normal(3, 2, seed=2)
    expected = x.double().numpy().copy()
    for image, unit in np.ndindex(3, 2):
        grid = expected[image, unit]
        normal = (grid - grid.mean()) / math.sqrt(((grid - grid.mean()) ** 2).mean() + 1e-8)
        expected[image, unit] = normal * float(scale[image, unit]) + float(offset[image, unit])
    _assert_equal(adaptive_instance_norm(x, scale, offset), expected)
    quiet = adaptive_instance_norm(torch.full((3, 2, 4, 4), 2.0), scale, offset)
    assert (quiet - offset[:, :, None, None]).abs().max() < 0.01, "a unit that says nothing stays quiet"


def test_blur_is_the_binomial_filter_with_zeros_outside() -> None:
    x = _normal(2, 3, 5, 4)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros(x.shape)
    for image, unit, row, column in np.ndindex(*x.shape):
        expected[image, unit, row, column] = (padded[image, unit, row : row + 3, column : column + 3] * kernel).sum()
    _assert_equal(Blur()(x), expected)


def test_blur_has_the_gradients_of_a_linear_map_also_of_gradients() -> None:
    """R1 differentiates the discriminator twice."""
    x = _normal(2, 3, 4, 5).double().requires_grad_(True)
    assert torch.autograd.gradcheck(Blur(), (x,))
    assert torch.autograd.gradgradcheck(lambda given: Blur()(given).square(), (x,))


def _spread(group: np.ndarray) -> float:
    """Average, over units and pixels, the standard deviation over the images of a group."""
    total, count = 0.0, 0
    for place in np.ndindex(*group.shape[1:]):
        values = [image[place] for image in group]
        mean = sum(values) / len(values)
        total += math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-8)
        count += 1
    return total / count


@given(batch=st.integers(1, 11), seed=st.integers(0, 99))
def test_minibatch_std_says_how_much_each_four_images_differ(batch: int, seed: int) -> None:
    """The last group may be smaller; a single image has a standard deviation of 0."""
    x = _normal(batch, 2, 2, 3, seed=seed)
    found = MinibatchStd()(x)
    assert torch.equal(found[:, :2], x)
    assert found.shape == (batch, 3, 2, 3)
    for start in range(0, batch, 4):
        expected = _spread(x[start : start + 4].double().numpy())
        for value in found[start : start + 4, 2].flatten().tolist():
            assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)
    if batch % 4 == 1:
        assert found[-1, 2, 0, 0].item() == pytest.approx(1e-4, rel=1e-3)


def test_minibatch_std_is_the_same_on_processes_with_whole_groups() -> None:
    x = _normal(24, 3, 4, 4)
    whole = MinibatchStd()(x)
    for share in (4, 8, 12):
        assert torch.equal(torch.cat([MinibatchStd()(part) for part in x.split(share)]), whole)
    assert not torch.equal(torch.cat([MinibatchStd()(part) for part in x.split(6)]), whole)


def test_doubling_repeats_each_pixel() -> None:
    x = _normal(2, 3, 4, 5)
    large = double(x)
    assert large.shape == (2, 3, 8, 10)
    for row, column in np.ndindex(8, 10):
        assert torch.equal(large[:, :, row, column], x[:, :, row // 2, column // 2])


@given(depth=st.integers(1, 8), width=st.integers(1, 70), room=st.integers(0, 600))
def test_units_double_towards_the_input_until_there_are_enough(depth: int, width: int, room: int) -> None:
    units = units_of(4 * 2**depth, width, width + room)
    assert len(units) == depth + 1 == depth_of(4 * 2**depth) + 1
    assert units[-1] == width
    for before, after in pairwise(units):
        assert before == min(2 * after, width + room)


def test_wrong_arguments_say_what_is_allowed() -> None:
    assert SIZES == (8, 16, 32, 64, 128, 256, 512, 1024)
    for size in (0, 4, 12, 48, 2048):
        with pytest.raises(ValueError, match=f"power of two from 8 to 1024; got {size}"):
            depth_of(size)
    with pytest.raises(ValueError, match=r"width must be in \[1, max_width\]; got 9, max_width 8"):
        units_of(16, 9, 8)
    with pytest.raises(ValueError, match="got 0"):
        units_of(16, 0, 8)
    for kernel, padding in ((4, 1), (1, 0), (3, 0)):
        with pytest.raises(ValueError, match=f"3 x 3 kernel and padding 1; got {kernel}, {padding}"):
            EqualizedConv2d(2, 2, kernel, padding, resample="up")


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_numbers_are_drawn_as_torch_draws_them_and_not_at_all_where_there_are_none(rate: float) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ours = draw_normal(3, 4, rate=rate)
        torch.manual_seed(5)
        assert torch.equal(ours, torch.randn(3, 4) / rate)
    with torch.device("meta"):
        assert draw_normal(3, 4, rate=rate).shape == (3, 4)


def test_units_may_be_given_for_every_grid() -> None:
    assert units_of(16, [7, 5, 6], 7) == [7, 5, 6]
    for units in ([4, 4], [4, 4, 4, 4], [4, 0, 4], [4, 9, 4]):
        with pytest.raises(ValueError, match=r"width must be 3 numbers in \[1, max_width\]"):
            units_of(16, units, 8)
    for units in ([8, 4, 2], [8, 8, 8], [6, 6, 4], [2, 4, 8], [5, 7, 4]):
        assert units_of(16, **width_of(units)) == units
    assert width_of([8, 8, 4]) == {"width": 4, "max_width": 8}
