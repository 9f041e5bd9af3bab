"""Checkpoints of StyleGAN in two layouts, each against its own forward pass in float64."""

from __future__ import annotations

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

from generators.architectures.stylegan import StyleGAN
from generators.importers.families.stylegan import LAYOUTS

GENFORCE, ROSINALITY = LAYOUTS
ROW = torch.tensor([0.25, 0.5, 0.25]).double()


def _genforce(units: list[int], z_dim: int = 6, w_dim: int = 5, depth: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """A `generator_smooth` with these numbers of units at 4 x 4, 8 x 8, ..."""
    draw, t, before = Draw(seed), {"truncation.w_avg": torch.arange(w_dim) / 7}, z_dim
    for i in range(depth):
        t[f"mapping.dense{i}.weight"] = draw.normal(w_dim, before, scale=100)
        t[f"mapping.dense{i}.bias"] = draw.normal(w_dim, scale=30)
        before = w_dim
    before = units[0]
    for j in range(2 * len(units)):
        name, after, side = f"synthesis.layer{j}", units[j // 2], 4 * 2 ** (j // 2)
        if j == 0:
            t[f"{name}.const"] = draw.normal(1, after, 4, 4)
        else:
            t[f"{name}.weight"] = draw.normal(after, before, 3, 3)
        if j and j % 2 == 0:
            t[f"{name}.blur.kernel"] = torch.outer(ROW, ROW).float().expand(after, 1, 3, 3)
        t[f"{name}.bias"] = draw.normal(after, scale=0.3)
        t[f"{name}.apply_noise.weight"] = draw.normal(after)
        t[f"{name}.apply_noise.noise"] = draw.normal(1, 1, side, side)
        t[f"{name}.style.weight"] = draw.normal(2 * after, w_dim)
        t[f"{name}.style.bias"] = draw.normal(2 * after, scale=0.3)
        before = after
    for level, after in enumerate(units):
        t[f"synthesis.output{level}.weight"] = draw.normal(3, after, 1, 1)
        t[f"synthesis.output{level}.bias"] = draw.normal(3, scale=0.3)
    return t | {"synthesis.lod": torch.tensor(0.0)}


def _genforce_images(tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    t, w = doubles(tensors), _unit(z.double())
    for i in range(sum(name.startswith("mapping.dense") for name in t) // 2):
        weight, bias = t[f"mapping.dense{i}.weight"], t[f"mapping.dense{i}.bias"]
        w = _leaky(w @ weight.T * (0.01 * (2 / weight.shape[1]) ** 0.5) + 0.01 * bias)
    layers = sum(name.endswith("style.bias") for name in t)
    for j in range(layers):
        name = f"synthesis.layer{j}"
        if j == 0:
            x = t[f"{name}.const"].expand(len(z), -1, -1, -1)
        else:
            weight = t[f"{name}.weight"] * (2 / (9 * x.shape[1])) ** 0.5
            x = _convolved(x, weight) if j % 2 else _blurred(_doubled(x, weight))
        x = x + t[f"{name}.apply_noise.noise"] * _along(t[f"{name}.apply_noise.weight"]) + _along(t[f"{name}.bias"])
        style = w @ t[f"{name}.style.weight"].T / w.shape[1] ** 0.5 + t[f"{name}.style.bias"]
        units = x.shape[1]
        x = _normal(_leaky(x), 1e-8) * (style[:, :units, None, None] + 1) + style[:, units:, None, None]
    output = f"synthesis.output{layers // 2 - 1}"
    return _mixed(x, t[f"{output}.weight"] / x.shape[1] ** 0.5, t[f"{output}.bias"])


def _doubled(x: Tensor, weight: Tensor) -> Tensor:
    """Below 128 pixels doubling, then convolution; from there one transposed convolution with a 4 x 4 kernel."""
    if x.shape[2] * 2 < 128:
        return _convolved(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight)
    wide = functional.pad(weight, (1, 1, 1, 1))
    kernel = wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]
    return functional.conv_transpose2d(x, kernel.transpose(0, 1), stride=2, padding=1)


def _rosinality(units: list[int], trained: int, code: int = 5, depth: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """A `g_running` whose images were trained up to a grid, counted from 4 x 4."""
    draw, t = Draw(seed), {}
    for i in range(depth):
        t[f"style.{2 * i + 1}.linear.weight_orig"] = draw.normal(code, code)
        t[f"style.{2 * i + 1}.linear.bias"] = draw.normal(code, scale=0.3)
    for k, after in enumerate(units):
        block, before = f"generator.progression.{k}", units[max(k - 1, 0)]
        if k == 0:
            t[f"{block}.conv1.input"] = draw.normal(1, after, 4, 4)
        elif k < 5:
            t[f"{block}.conv1.1.conv.weight_orig"] = draw.normal(after, before, 3, 3)
            t[f"{block}.conv1.1.conv.bias"] = draw.normal(after, scale=0.3)
        else:
            t[f"{block}.conv1.0.weight"] = draw.normal(before, after, 3, 3)
            t[f"{block}.conv1.0.bias"] = draw.normal(after, scale=0.3)
        if k:
            blur = f"{block}.conv1.{2 if k < 5 else 1}"
            t[f"{blur}.weight"] = t[f"{blur}.weight_flip"] = torch.outer(ROW, ROW).float().expand(after, 1, 3, 3)
        t[f"{block}.conv2.conv.weight_orig"] = draw.normal(after, after, 3, 3)
        t[f"{block}.conv2.conv.bias"] = draw.normal(after, scale=0.3)
        for part in (1, 2):
            t[f"{block}.noise{part}.weight_orig"] = draw.normal(1, after, 1, 1)
            t[f"{block}.adain{part}.style.linear.weight_orig"] = draw.normal(2 * after, code)
            t[f"{block}.adain{part}.style.linear.bias"] = draw.normal(2 * after, scale=0.3)
        t[f"generator.to_rgb.{k}.conv.weight_orig"] = draw.normal(3, after, 1, 1)
        t[f"generator.to_rgb.{k}.conv.bias"] = draw.normal(3, scale=0.3) * (k <= trained)
    return t


def _rosinality_images(tensors: dict[str, Tensor], z: Tensor, last: int, noise: list[Tensor]) -> Tensor:
    """Every weight times sqrt(2 / numbers that go in); normalization with 1e-5; the offset before the blur.

    The noise of a grid, one tensor each, is added in both of its layers.
    """
    t, w, noise = doubles(tensors), _unit(z.double()), [each.double() for each in noise]
    for i in range(sum(name.startswith("style.") for name in t) // 2):
        w = _leaky(_linear(w, t, f"style.{2 * i + 1}.linear"))
    for k in range(last + 1):
        block = f"generator.progression.{k}"
        if k == 0:
            x = t[f"{block}.conv1.input"].expand(len(z), -1, -1, -1)
        elif k < 5:
            x = _convolved(x.repeat_interleave(2, 2).repeat_interleave(2, 3), _equal(t, f"{block}.conv1.1.conv"))
            x = _blurred(x + _along(t[f"{block}.conv1.1.conv.bias"]))
        else:
            weight = t[f"{block}.conv1.0.weight"]
            wide = functional.pad(weight * (2 / (9 * len(weight))) ** 0.5, (1, 1, 1, 1))
            kernel = (wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]) / 4
            x = functional.conv_transpose2d(x, kernel, t[f"{block}.conv1.0.bias"], stride=2, padding=1)
            x = _blurred(x)
        for part in (1, 2):
            if part == 2:
                x = _convolved(x, _equal(t, f"{block}.conv2.conv")) + _along(t[f"{block}.conv2.conv.bias"])
            x = _leaky(x + noise[k] * _equal(t, f"{block}.noise{part}"))
            factor, offset = _linear(w, t, f"{block}.adain{part}.style.linear").chunk(2, dim=1)
            x = _normal(x, 1e-5) * factor[:, :, None, None] + offset[:, :, None, None]
    image = f"generator.to_rgb.{last}.conv"
    return _mixed(x, _equal(t, image), t[f"{image}.bias"])


def _equal(t: dict[str, Tensor], name: str) -> Tensor:
    weight = t[f"{name}.weight_orig"]
    return weight * (2 / weight[0].numel()) ** 0.5


def _linear(x: Tensor, t: dict[str, Tensor], name: str) -> Tensor:
    return x @ _equal(t, name).T + t[f"{name}.bias"]


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def _along(values: Tensor) -> Tensor:
    return values[:, None, None]


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight, padding=1)


def _blurred(x: Tensor) -> Tensor:
    wide = functional.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    return sum(ROW[i] * ROW[j] * wide[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3))


def _normal(x: Tensor, eps: float) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + eps).sqrt()


def _mixed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x) + _along(bias)


def _noise(generator: StyleGAN) -> list[Tensor]:
    """The noise of each grid: that of its first layer."""
    return generator.own_noise()[::2]


@pytest.mark.parametrize("units", [[8, 4], [6, 6, 5], [3, 2, 2, 2, 2, 3]], ids=str)
def test_images_of_genforces_stylegan_are_those_of_the_paper(units: list[int], tmp_path) -> None:
    t = _genforce(units)
    generator = built(GENFORCE, t)
    assert isinstance(generator, StyleGAN)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(2)
    assert_agree(generator(z), _genforce_images(t, z))
    assert torch.equal(generator.mapping.w_avg, t["truncation.w_avg"])
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("units", [[8, 4], [6, 6, 5], [3, 2, 2, 2, 2, 3]], ids=str)
def test_images_of_rosinalitys_stylegan_are_those_of_its_own_rules(units: list[int], tmp_path) -> None:
    t, last = _rosinality(units, trained=len(units) - 1), len(units) - 1
    generator = built(ROSINALITY, t)
    assert generator.settings["bias_before_blur"]
    assert generator.settings["norm_eps"] == 1e-5
    z = generator.sample_z(2)
    assert_agree(generator(z), _rosinality_images(t, z, last, _noise(generator)))
    assert_contract(generator, tmp_path)
    w = generator.mapping(generator.sample_z(3000, seed=4))[:, 0]
    assert ((generator.mapping.w_avg - w.mean(dim=0)).abs() < 5 * w.std(dim=0) / 3000**0.5).all()


def test_the_largest_trained_image_is_taken_or_the_size_that_is_given() -> None:
    t = _rosinality([4, 4, 3, 3], trained=2)
    generator = built(ROSINALITY, t)
    assert generator.image_size == (16, 16)
    z = generator.sample_z(2)
    assert_agree(generator(z), _rosinality_images(t, z, 2, _noise(generator)))
    smaller = ROSINALITY.build(t, {}, {"size": 8})
    assert_agree(smaller(z), _rosinality_images(t, z, 1, _noise(smaller)))
    assert ROSINALITY.build(t, {}, {"size": 32}).image_size == (32, 32)
    for size in (64, 12, "8", True):
        with pytest.raises(ValueError, match=r"size must be one of 8, 16, 32; got"):
            ROSINALITY.build(t, {}, {"size": size})
    untrained = _rosinality([4, 4, 3, 3], trained=-1)
    with pytest.raises(ValueError, match=r"size of images is not in the file: pass one of 8, 16, 32"):
        ROSINALITY.build(untrained, {}, {})


def test_every_number_of_genforces_file_is_in_the_network_bit_for_bit() -> None:
    t = _genforce([3, 2, 2, 2, 2, 3])
    state = built(GENFORCE, t).state_dict()
    values = {
        name: value.flip(2, 3) if name == "layer11.convolution.0.weight" else value for name, value in state.items()
    }
    left = [value for value in values.values()]
    for name, value in t.items():
        smaller = any(f"output{level}." in name for level in range(5))
        if not smaller and not name.endswith(("kernel", "lod")):
            assert any(value.shape == other.shape and torch.equal(value, other) for other in left), name


def test_every_name_of_each_layout_counts() -> None:
    t = {name: value for name, value in _genforce([4, 3], depth=1).items() if "kernel" not in name}
    optional = ["truncation.w_avg", "synthesis.lod", "synthesis.output0.weight", "synthesis.output0.bias"]
    assert_every_name_counts(GENFORCE, t, optional)
    t = {name: value for name, value in _rosinality([4, 3], 1, depth=1).items() if "conv1.2." not in name}
    optional = [f"generator.to_rgb.0.conv.{leaf}" for leaf in ("weight_orig", "bias")]
    assert_every_name_counts(ROSINALITY, t, optional)


def test_what_is_wrong_is_said() -> None:
    t = _genforce([4, 4, 3])
    with pytest.raises(ValueError, match=r"synthesis.lod must be 0, .* got 0.5"):
        GENFORCE.build({**t, "synthesis.lod": torch.tensor(0.5)}, {}, {})
    with pytest.raises(ValueError, match=r"layer2.blur.kernel must be the filter"):
        GENFORCE.build({**t, "synthesis.layer2.blur.kernel": torch.ones(1, 1, 3, 3)}, {}, {})
    less = {name: value for name, value in t.items() if not name.startswith("synthesis.layer2")}
    assert_says(GENFORCE, less, ["synthesis.layer2.weight", "missing"])
    assert_says(
        GENFORCE, {**t, "synthesis.layer2.weight": torch.ones(5, 4, 3, 3)}, ["synthesis.layer2.weight [5, 4, 3, 3]"]
    )
    assert_says(GENFORCE, {"input2.weight": torch.ones(4, 3, 1, 1), "layer0.weight": torch.ones(1)}, ["discriminator"])
    assert_says(ROSINALITY, {"from_rgb.0.conv.weight_orig": torch.ones(4, 3, 1, 1)}, ["discriminator"])
    assert_says(GENFORCE, t, ["no options", "size"], size=16)


@pytest.mark.parametrize("setting", [{"norm_eps": 0.0}, {"norm_eps": float("nan")}])
def test_a_normalization_without_a_floor_is_refused(setting) -> None:
    with pytest.raises(ValueError, match="norm_eps must be above 0"):
        StyleGAN(size=8, width=2, max_width=2, z_dim=2, w_dim=2, **setting)


def test_settings_that_are_as_ever_are_not_mentioned() -> None:
    settings = StyleGAN(size=8, width=2, max_width=2, z_dim=2, w_dim=2).settings
    assert settings == {"size": 8, "width": 2, "max_width": 2, "z_dim": 2, "w_dim": 2, "mapping_depth": 8}
