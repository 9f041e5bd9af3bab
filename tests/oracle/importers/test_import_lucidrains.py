"""Checkpoints of lucidrains' StyleGAN2 against its forward pass in float64, with weights modulated one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor

import generators
from gandissect.core.sampling import make_rng
from gandissect.latent import noise_effects
from generators.architectures.stylegan2_bilinear import BilinearStyleGAN2
from generators.importers.families.lucidrains import LAYOUTS

STYLEGAN2, _ = LAYOUTS


def lucidrains(
    units: list[int], w_dim: int = 5, depth: int = 2, colors: int = 3, version: str = "new", seed: int = 0
) -> dict[str, Tensor]:
    """The `S` and `G` of a file with these numbers of units at 4 x 4, 8 x 8, ...; old ones have no first convolution, no blur."""
    draw, t = Draw(seed), {}
    for index in range(depth):
        t[f"S.net.{2 * index}.weight"] = draw.normal(w_dim, w_dim, scale=4)
        t[f"S.net.{2 * index}.bias"] = draw.normal(w_dim, scale=2)
    t["G.initial_block"] = draw.normal(1, units[0], 4, 4)
    if version == "new":
        t |= {"G.initial_conv.weight": draw.normal(units[0], units[0], 3, 3, scale=0.3)}
        t |= {"G.initial_conv.bias": draw.normal(units[0])}
    for level, (before, after) in enumerate(pairwise([units[0], *units])):
        block = f"G.blocks.{level}"
        for part, inside in ((1, before), (2, after)):
            t |= {f"{block}.to_style{part}.weight": draw.normal(inside, w_dim, scale=0.5)}
            t |= {f"{block}.to_style{part}.bias": draw.normal(inside, scale=0.3)}
            t |= {
                f"{block}.to_noise{part}.weight": draw.normal(after, 1),
                f"{block}.to_noise{part}.bias": draw.normal(after),
            }
            t |= {f"{block}.conv{part}.weight": draw.normal(after, inside, 3, 3)}
        t |= {f"{block}.to_rgb.to_style.weight": draw.normal(after, w_dim, scale=0.5)}
        t |= {f"{block}.to_rgb.to_style.bias": draw.normal(after, scale=0.3)}
        t |= {f"{block}.to_rgb.conv.weight": draw.normal(colors, after, 1, 1, scale=0.2)}
        if version == "new" and level < len(units) - 1:
            t[f"{block}.to_rgb.upsample.1.f"] = torch.tensor([1.0, 2.0, 1.0])
    return t


def _mapped(t: dict[str, Tensor], z: Tensor, rate: float = 0.1) -> Tensor:
    w = z.double() / z.double().norm(dim=1, keepdim=True)
    for index in range(sum(name.startswith("S.") for name in t) // 2):
        w = w @ (t[f"S.net.{2 * index}.weight"] * rate).T + t[f"S.net.{2 * index}.bias"] * rate
        w = torch.where(w > 0, w, 0.2 * w)
    return w


def _images(tensors: dict[str, Tensor], z: Tensor, noise: Tensor, rate: float = 0.1) -> Tensor:
    """Images in [0, 1] and beyond, one by one, of noise ``[size, size]``."""
    t = doubles(tensors)
    return torch.cat([_image(t, w, noise.double()) for w in _mapped(t, z, rate)])


def _image(t: dict[str, Tensor], w: Tensor, noise: Tensor) -> Tensor:
    x, image = t["G.initial_block"], None
    if "G.initial_conv.weight" in t:
        x = _convolved(x, t["G.initial_conv.weight"]) + t["G.initial_conv.bias"][:, None, None]
    depth = sum(name.endswith("conv1.weight") for name in t)
    for level in range(depth):
        block = f"G.blocks.{level}"
        x = _between(x) if level else x
        for part in (1, 2):
            weight = t[f"{block}.conv{part}.weight"] * (_style(t, f"{block}.to_style{part}", w)[:, None, None] + 1)
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            corner = noise[: x.shape[2], : x.shape[3]]
            own = (
                t[f"{block}.to_noise{part}.weight"][:, :, None] * corner
                + t[f"{block}.to_noise{part}.bias"][:, None, None]
            )
            x = _convolved(x, weight) + own
            x = torch.where(x > 0, x, 0.2 * x)
        weight = t[f"{block}.to_rgb.conv.weight"] * (_style(t, f"{block}.to_rgb.to_style", w)[:, None, None] + 1)
        picture = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x)
        image = picture if image is None else picture + image
        if level < depth - 1:
            image = _between(image)
            image = _blurred(image) if f"{block}.to_rgb.upsample.1.f" in t else image
    return image


def _style(t: dict[str, Tensor], name: str, w: Tensor) -> Tensor:
    return t[f"{name}.weight"] @ w + t[f"{name}.bias"]


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    height, width = x.shape[2:]
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return sum(
        torch.einsum("oi,bihw->bohw", weight[:, :, i, j], wide[:, :, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )


def _between(x: Tensor) -> Tensor:
    """Each pixel becomes four, each with 3/4 of it and 1/4 of the nearest neighbor, along each axis."""
    for axis in (2, 3):
        size = x.shape[axis]
        before = x.index_select(axis, torch.arange(-1, size - 1).clamp(min=0))
        after = x.index_select(axis, torch.arange(1, size + 1).clamp(max=size - 1))
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim=axis + 1).flatten(axis, axis + 1)
    return x


def _blurred(x: Tensor) -> Tensor:
    """[1, 2, 1] / 4 along each axis, mirrored at the border without the border itself."""
    for axis in (2, 3):
        size = x.shape[axis]
        before = x.index_select(axis, torch.tensor([1, *range(size - 1)]))
        after = x.index_select(axis, torch.tensor([*range(1, size), size - 2]))
        x = 0.25 * before + 0.5 * x + 0.25 * after
    return x


def _noise(generator: BilinearStyleGAN2) -> Tensor:
    """The noise of the last layer; the noise of earlier layers must be a corner of it."""
    *others, last = generator.own_noise()
    assert all(torch.equal(other, last[:, :, : other.shape[2], : other.shape[3]]) for other in others)
    assert 0 <= last.min() < 0.1
    assert 0.9 < last.max() <= 1
    return last[0, 0]


@pytest.mark.parametrize("version", ["new", "old"])
@pytest.mark.parametrize("units", [[8, 4], [6, 6, 5, 3]], ids=str)
def test_images_are_those_of_its_rules(units: list[int], version: str, tmp_path) -> None:
    t = lucidrains(units, version=version)
    generator = built(STYLEGAN2, t)
    assert isinstance(generator, BilinearStyleGAN2)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(3)
    torch.testing.assert_close(generator.mapping(z)[:, 0].double(), _mapped(doubles(t), z), rtol=1e-5, atol=1e-5)
    assert_agree(generator(z), 2 * _images(t, z, _noise(generator)) - 1)
    assert_contract(generator, tmp_path)
    named = {name: value for name, value in t.items() if not name.endswith(".f") and "initial_conv" not in name}
    assert_every_name_counts(STYLEGAN2, named)


def test_the_averaged_pair_of_a_file_is_taken(tmp_path) -> None:
    plain, averaged = lucidrains([6, 4], seed=1), lucidrains([6, 4])
    critic = {"blocks.0.conv_res.weight": torch.ones(4, 3, 1, 1), "to_logit.weight": torch.ones(1, 16)}
    trained = plain | {f"{name[0]}E{name[1:]}": value for name, value in averaged.items()}
    trained |= {f"{head}.{name}": value for head in ("D", "D_aug.D") for name, value in critic.items()}
    for file in ({"GAN": trained, "version": "1.8.9"}, {"GAN": {f"module.{name}": trained[name] for name in trained}}):
        torch.save(file, tmp_path / "model_7.pt")
        generator = generators.load(tmp_path / "model_7.pt", device="cpu")
        z = generator.sample_z(2)
        assert_agree(generator(z), 2 * _images(averaged, z, _noise(generator)) - 1)
    torch.save({"GAN": plain}, tmp_path / "model_8.pt")
    generator = generators.load(tmp_path / "model_8.pt", device="cpu")
    assert_agree(generator(z), 2 * _images(plain, z, _noise(generator)) - 1)


def test_another_rate_of_the_mapping_is_an_option() -> None:
    t = lucidrains([6, 4])
    generator = STYLEGAN2.build(t, {}, {"lr_mlp": 1.0})
    z = generator.sample_z(2)
    assert_agree(generator(z), 2 * _images(t, z, _noise(generator), rate=1.0) - 1)
    for wrong in (0, -1, "1", True, float("nan")):
        with pytest.raises(ValueError, match="lr_mlp must be a number above 0; got"):
            STYLEGAN2.build(t, {}, {"lr_mlp": wrong})


def test_the_mean_w_is_that_of_many_z_and_given_noise_is_seen() -> None:
    generator = built(STYLEGAN2, lucidrains([6, 4]))
    w = generator.mapping(generator.sample_z(3000, seed=4))[:, 0]
    assert ((generator.mapping.w_avg - w.mean(dim=0)).abs() < 5 * w.std(dim=0) / 3000**0.5).all()
    z, rng = generator.sample_z(2), torch.Generator().manual_seed(3)
    noise = generator.random_noise(2, rng)
    images = generator.synthesis(generator.mapping(z), noise)
    t = lucidrains([6, 4])
    wanted = torch.cat([_images(t, z[i : i + 1], noise[-1][i, 0]) for i in range(2)])
    assert_agree(images, 2 * wanted - 1)


def test_effects_of_noise_are_those_of_noise_in_0_to_1() -> None:
    generator = built(STYLEGAN2, lucidrains([6, 4]))
    draws = torch.cat([generator.draw_noise(1, 8, torch.Generator().manual_seed(seed)) for seed in range(40)])
    assert draws.min() >= 0
    assert draws.max() <= 1
    assert abs(float(draws.mean()) - 0.5) < 4 * (1 / 12 / draws.numel()) ** 0.5
    effects = noise_effects(generator, generator.sample_z(2), num_draws=4, seed=3)
    rngs = [make_rng(3, "noise of a layer", "layer4", index) for index in range(4)]
    maps = [generator.draw_noise(1, 8, rng) for rng in rngs]
    ws = generator.mapping(generator.sample_z(2))
    images = torch.stack([generator.synthesis(ws, [None, None, None, noise]) for noise in maps]).double()
    wanted = images.var(dim=0).mean(dim=(0, 1)).sqrt()
    torch.testing.assert_close(effects.stds[3].double(), wanted, rtol=1e-4, atol=1e-6)


def test_every_style_meets_the_layers_that_the_linear_maps_say() -> None:
    """A change of one w in the null space of its linear maps changes no image."""
    generator = built(STYLEGAN2, lucidrains([3, 2], w_dim=9))
    ws = generator.mapping(generator.sample_z(1))
    for index, matrix in enumerate(generator.latent_maps()):
        _, _, directions = torch.linalg.svd(matrix.double())
        unseen, seen = directions[-1].float(), directions[0].float()
        moved = [ws.index_add(1, torch.tensor([index]), step[None, None]) for step in (unseen, seen)]
        still, changed = (float((generator(other) - generator(ws)).abs().max()) for other in moved)
        assert still < 1e-4 < changed


def test_what_is_wrong_is_named() -> None:
    t = lucidrains([6, 4])
    assert_says(STYLEGAN2, {**t, "G.attns.1.0.fn.fn.to_q.weight": torch.ones(2)}, ["attns", "unexpected"])
    assert_says(STYLEGAN2, lucidrains([6, 4], colors=4), ["to_rgb.conv.weight [4, 4, 1, 1]", "[3, 4, 1, 1]"])
    with pytest.raises(ValueError, match=r"must be filtered with \[1, 2, 1\]"):
        STYLEGAN2.build({**t, "G.blocks.0.to_rgb.upsample.1.f": torch.ones(3)}, {}, {})
    critic = {"blocks.0.conv_res.weight": torch.ones(4, 3, 1, 1), "to_logit.weight": torch.ones(1, 16)}
    assert_says(STYLEGAN2, critic, ["discriminator"])
