"""Checkpoints of pytorch_GAN_zoo against their forward passes in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

import generators
from generators.architectures.dcgan import DCGAN
from generators.architectures.progan import ProGAN
from generators.architectures.stack import Stack
from generators.architectures.stylegan import StyleGAN
from generators.importers.families.gan_zoo import LAYOUTS

PROGAN, DCGAN_ZOO, STYLEGAN = LAYOUTS


def gan_zoo_progan(
    units: list[int], z_dim: int = 6, colors: int = 3, part: str = ".module", seed: int = 0
) -> dict[str, Tensor]:
    """An `avgG` of PGAN with these numbers of units at 4 x 4, 8 x 8, ..."""
    draw, t = Draw(seed), {}
    t |= _layer(draw, f"formatLayer{part}", 16 * units[0], z_dim)
    t |= _layer(draw, f"groupScale0.0{part}", units[0], units[0], 3, 3)
    for level, (before, after) in enumerate(itertools.pairwise(units)):
        t |= _layer(draw, f"scaleLayers.{level}.0{part}", after, before, 3, 3)
        t |= _layer(draw, f"scaleLayers.{level}.1{part}", after, after, 3, 3)
    for level, after in enumerate(units):
        t |= _layer(draw, f"toRGBLayers.{level}{part}", colors, after, 1, 1)
    return t


def _layer(draw: Draw, name: str, *shape: int) -> dict[str, Tensor]:
    return {f"{name}.weight": draw.normal(*shape), f"{name}.bias": draw.normal(shape[0])}


def _progan_images(tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    t = {name.replace(".module", ""): value for name, value in doubles(tensors).items()}
    x = _equalized(t, "formatLayer", _unit(z.double()))
    x = _unit(_leaky(x).reshape(len(z), -1, 4, 4))
    x = _unit(_leaky(_equalized(t, "groupScale0.0", x)))
    depth = sum(name.endswith(".0.weight") and name.startswith("scaleLayers") for name in t)
    for level in range(depth):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for index in (0, 1):
            x = _unit(_leaky(_equalized(t, f"scaleLayers.{level}.{index}", x)))
    return _equalized(t, f"toRGBLayers.{depth}", x)


def _equalized(t: dict[str, Tensor], name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    """The output of a layer, including the bias, times He's constant."""
    weight, bias = t[f"{name}.weight"], t[f"{name}.bias"]
    y = x @ weight.T + bias if weight.ndim == 2 else functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
    return y * (2 / weight[0].numel()) ** 0.5 * rate


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def gan_zoo_dcgan(units: list[int], z_dim: int = 6, colors: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """A `netG` of DCGAN with these numbers of units at 4 x 4, 8 x 8, ..."""
    draw = Draw(seed)
    t = {"formatLayer.weight": draw.normal(z_dim, units[0], 4, 4)} | draw.norm("main.batchNorm0", units[0])
    for index, (before, after) in enumerate(itertools.pairwise(units), start=1):
        t[f"main.convTranspose{index}.weight"] = draw.normal(before, after, 4, 4, scale=0.5)
        t |= draw.norm(f"main.batchNorm{index}", after)
    return t | {"main.outlayer.weight": draw.normal(units[-1], colors, 4, 4, scale=0.5)}


def _dcgan_images(tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    t = doubles(tensors)
    x = torch.einsum("bz,zuhw->buhw", z.double(), t["formatLayer.weight"])
    count = sum("convTranspose" in name for name in t)
    for index in range(count + 1):
        if index:
            x = functional.conv_transpose2d(x, t[f"main.convTranspose{index}.weight"], stride=2, padding=1)
        scale, offset, mean, var = (
            t[f"main.batchNorm{index}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = torch.relu((x - mean) / (var + 1e-5).sqrt() * scale + offset)
    return torch.tanh(functional.conv_transpose2d(x, t["main.outlayer.weight"], stride=2, padding=1))


def gan_zoo_stylegan(
    units: list[int], z_dim: int = 6, depth: int = 2, colors: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    """An `avgG` of StyleGAN; w is as long as the first grid has units."""
    draw, w_dim = Draw(seed), units[0]
    t = {"mean_w": draw.normal(1, w_dim), "baseScale0": draw.normal(1, w_dim, 4, 4)}
    for index in range(depth):
        t[f"mapping.FC.{index}.module.weight"] = draw.normal(w_dim, w_dim if index else z_dim, scale=100)
        t[f"mapping.FC.{index}.module.bias"] = draw.normal(w_dim, scale=100)
    for index in (0, 1):
        t |= _layer(draw, f"adain0{index}.styleModulator.module", 2 * w_dim, w_dim)
        t[f"noiseMod0{index}.module.weight"] = draw.normal(1, 1, 1, 1)
    t |= _layer(draw, "conv0.module", w_dim, w_dim, 3, 3)
    for level, (before, after) in enumerate(itertools.pairwise(units)):
        for index, inside in ((0, before), (1, after)):
            t |= _layer(draw, f"scaleLayers.{level}.{2 * index}.module", after, inside, 3, 3)
            t |= _layer(draw, f"scaleLayers.{level}.{2 * index + 1}.styleModulator.module", 2 * after, w_dim)
            t[f"noiseModulators.{level}.{index}.module.weight"] = draw.normal(1, 1, 1, 1)
        t |= _layer(draw, f"toRGBLayers.{level}.module", colors, after, 1, 1)
    return t


def _stylegan_images(tensors: dict[str, Tensor], z: Tensor, noise: list[Tensor], psi: float = 1.0) -> Tensor:
    t = {name.replace(".module", ""): value for name, value in doubles(tensors).items()}
    drawn = iter(noise)
    w = _unit(z.double())
    for index in range(sum("mapping" in name for name in t) // 2):
        w = _leaky(_equalized(t, f"mapping.FC.{index}", w, rate=0.01))
    w = t["mean_w"] + psi * (w - t["mean_w"])

    def styled(x: Tensor, strength: str, norm: str) -> Tensor:
        x = _leaky(x + t[f"{strength}.weight"] * next(drawn).double())
        mean = x.mean(dim=(2, 3), keepdim=True)
        normal = (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
        factor, offset = _equalized(t, f"{norm}.styleModulator", w)[:, :, None, None].chunk(2, dim=1)
        return factor * normal + offset

    x = styled(t["baseScale0"].expand(len(z), -1, -1, -1), "noiseMod00", "adain00")
    x = styled(_equalized(t, "conv0", x), "noiseMod01", "adain01")
    depth = sum(name.startswith("toRGB") for name in t) // 2
    for level in range(depth):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for index in (0, 1):
            x = _equalized(t, f"scaleLayers.{level}.{2 * index}", x)
            x = styled(x, f"noiseModulators.{level}.{index}", f"scaleLayers.{level}.{2 * index + 1}")
    return _equalized(t, f"toRGBLayers.{depth - 1}", x)


@pytest.mark.parametrize("part", [".module", ""])
@pytest.mark.parametrize("units", [[8, 4], [5, 7, 4]], ids=str)
def test_images_of_its_progan(units: list[int], part: str, tmp_path) -> None:
    t = gan_zoo_progan(units, part=part)
    generator = built(PROGAN, t)
    assert isinstance(generator, ProGAN)
    z = generator.sample_z(3)
    assert_agree(generator(z), _progan_images(t, z))
    assert_contract(generator, tmp_path)
    smaller = tuple(f"toRGBLayers.{level}." for level in range(len(units) - 1))
    assert_every_name_counts(PROGAN, t, [name for name in t if name.startswith(smaller)])


def test_the_linear_map_of_z_is_that_of_its_dense_layer() -> None:
    t = gan_zoo_progan([5, 4])
    (matrix,) = built(PROGAN, t).latent_maps()
    by_place = t["formatLayer.module.weight"].reshape(5, 16, 6) * (2 / 6) ** 0.5
    torch.testing.assert_close(matrix.reshape(5, 16, 6), by_place)


def test_images_of_its_dcgan(tmp_path) -> None:
    t = gan_zoo_dcgan([8, 4, 2])
    generator = built(DCGAN_ZOO, t)
    assert isinstance(generator, DCGAN)
    z = generator.sample_z(3)
    assert_agree(generator(z), _dcgan_images(t, z))
    assert_contract(generator, tmp_path)
    uneven = gan_zoo_dcgan([5, 4, 3], colors=1)
    generator = built(DCGAN_ZOO, uneven)
    assert isinstance(generator, Stack)
    assert_agree(generator(z), _dcgan_images(uneven, z).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("units", [[8, 4], [6, 5, 4, 3]], ids=str)
def test_images_of_its_stylegan(units: list[int], tmp_path) -> None:
    t = gan_zoo_stylegan(units)
    generator = built(STYLEGAN, t)
    assert isinstance(generator, StyleGAN)
    z = generator.sample_z(3)
    assert_agree(generator(z), _stylegan_images(t, z, generator.own_noise()))
    halfway = generator.synthesis(generator.mapping(z, truncation_psi=0.5))
    assert_agree(halfway, _stylegan_images(t, z, generator.own_noise(), psi=0.5))
    assert_contract(generator, tmp_path)


def test_every_name_of_dcgan_and_stylegan_counts() -> None:
    t = gan_zoo_dcgan([4, 2])
    assert_every_name_counts(
        DCGAN_ZOO, {name: t[name] for name in t if "num_batches" not in name and "Transpose" not in name} | UP
    )
    t = gan_zoo_stylegan([5, 4], depth=1)
    assert_every_name_counts(STYLEGAN, t)


UP = {"main.convTranspose1.weight": torch.ones(4, 2, 4, 4)}


@pytest.mark.parametrize("make", [gan_zoo_progan, gan_zoo_stylegan])
def test_gray_images_have_three_equal_channels(make) -> None:
    layout = PROGAN if make is gan_zoo_progan else STYLEGAN
    generator = built(layout, make([6, 4], colors=1))
    images = generator(generator.sample_z(2))
    assert torch.equal(images[:, 0], images[:, 2])
    assert images.std() > 0.02


CRITIC = {"fromRGBLayers.0.module.weight": torch.ones(4, 3, 1, 1), "decisionLayer.module.weight": torch.ones(1, 4)}


class BaseConfig:
    """The configuration in a file."""

    def __init__(self, **settings: object) -> None:
        vars(self).update(settings)


def test_the_averaged_generator_of_a_file_is_taken_and_a_discriminator_is_none(tmp_path) -> None:
    plain, averaged = gan_zoo_progan([4, 3], seed=1), gan_zoo_progan([4, 3])
    file = {"config": BaseConfig(lossCriterion="WGANGP", categoryVectorDim=0), "netG": plain, "netD": CRITIC}
    torch.save(file | {"avgG": averaged}, tmp_path / "theirs.pth")
    generator = generators.load(tmp_path / "theirs.pth", device="cpu")
    z = generator.sample_z(2)
    assert_agree(generator(z), _progan_images(averaged, z))
    assert_says(PROGAN, CRITIC, ["discriminator"])


@pytest.mark.parametrize(
    ("make", "config", "words"),
    [
        (gan_zoo_progan, {"lossCriterion": "MSE"}, "loss MSE; networks of this kind that end in a tanh"),
        (gan_zoo_stylegan, {"lossCriterion": "DCGAN"}, "loss DCGAN; networks of this kind that end in a tanh"),
        (gan_zoo_dcgan, {"lossCriterion": "WGANGP"}, "loss WGANGP; networks of this kind that end without a tanh"),
        (gan_zoo_progan, {"categoryVectorDim": 3}, "class-conditional with the class as a part of z"),
    ],
)
def test_a_network_that_the_file_says_is_another_is_refused(make, config: dict, words: str, tmp_path) -> None:
    torch.save({"config": BaseConfig(**config, steps=[[1], [2]]), "avgG": make([9, 3])}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=words):
        generators.load(tmp_path / "theirs.pth")


def test_a_dense_layer_to_another_grid_is_refused() -> None:
    assert_says(PROGAN, {**gan_zoo_progan([4, 3]), "formatLayer.module.weight": torch.ones(36, 6)}, ["formatLayer"])
