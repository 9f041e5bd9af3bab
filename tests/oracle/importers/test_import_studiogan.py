"""Checkpoints of StudioGAN and mimicry, with and without spectral norm, against their forward pass in float64.

The forward passes here agree with the networks of those projects, filled with the same numbers: docs/guides/import.md.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor, nn
from torch.nn import functional

from generators.architectures.resnet import ResNet
from generators.architectures.stack import Stack
from generators.importers.families.studiogan import LAYOUTS

DEEP_CONV, RESNET, MIMICRY = LAYOUTS


def _map(draw: Draw, name: str, *shape: int, outputs: int = 0) -> dict[str, Tensor]:
    fan_in = torch.tensor(shape[1:]).prod().item() if not outputs else shape[0] * 4
    tensors = {f"{name}.weight": draw.normal(*shape, scale=(2 / fan_in) ** 0.5)}
    return tensors | {f"{name}.bias": draw.normal(outputs or shape[0], scale=0.2)}


def _deep_conv(units: list[int], z_dim: int = 6, colors: int = 3) -> dict[str, Tensor]:
    draw = Draw(0)
    t = _map(draw, "linear0", units[0] * 16, z_dim)
    for i, (before, after) in enumerate(pairwise(units)):
        t |= _map(draw, f"blocks.{i}.0.deconv0", before, after, 4, 4, outputs=after)
        t |= draw.norm(f"blocks.{i}.0.bn0", after)
    return t | _map(draw, "conv4", colors, units[-1], 3, 3)


def _resnet(
    units: list[int], z_dim: int = 6, bottom: int = 4, colors: int = 3, attended: int | None = None
) -> dict[str, Tensor]:
    """A file of StudioGAN; self-attention, if any, comes after a block, counted from 1, and is in the list itself."""
    draw = Draw(1)
    t = _map(draw, "linear0", units[0] * bottom**2, z_dim)
    for i, (before, after) in enumerate(pairwise(units)):
        if i == attended:
            t |= _attention(draw, f"blocks.{i}.0", before)
        block = f"blocks.{i + (attended is not None and i >= attended)}.0"
        t |= draw.norm(f"{block}.bn1", before) | draw.norm(f"{block}.bn2", after)
        t |= _map(draw, f"{block}.conv2d0", after, before, 1, 1) | _map(draw, f"{block}.conv2d1", after, before, 3, 3)
        t |= _map(draw, f"{block}.conv2d2", after, after, 3, 3)
    return t | draw.norm("bn4", units[-1]) | _map(draw, "conv2d5", colors, units[-1], 3, 3)


def _attention(draw: Draw, block: str, units: int) -> dict[str, Tensor]:
    shapes = {"theta": (units // 8, units), "phi": (units // 8, units), "g": (units // 2, units)}
    maps = {
        f"{block}.conv1x1_{name}.weight": draw.normal(*shape, 1, 1, scale=0.6 / units**0.5)
        for name, shape in shapes.items()
    }
    maps[f"{block}.conv1x1_attn.weight"] = draw.normal(units, units // 2, 1, 1, scale=0.6 / units**0.5)
    return maps | {f"{block}.sigma": torch.tensor([0.7])}


def _conditional(t: dict[str, Tensor], kind: str, classes: int = 5) -> dict[str, Tensor]:
    """The file with class-conditional norms in its blocks, in one of the three formats."""
    draw, made = Draw(2), {}
    for name, value in t.items():
        norm, _, leaf = name.rpartition(".")
        if ".bn" not in norm:
            made[name] = value
        elif leaf.startswith(("running", "num")):
            made[f"{norm}.bn.{leaf}"] = value
        elif leaf == "weight":
            units = len(value)
            table = draw.normal(classes, 2 * units, scale=0.4)
            if kind == "embed":
                made[f"{norm}.embed.weight"] = table + (torch.arange(2 * units) < units)
            elif kind == "embed0":
                made |= {f"{norm}.embed0.weight": table[:, :units], f"{norm}.embed1.weight": table[:, units:]}
            else:
                made |= {f"{norm}.gain.weight": table[:, :units].T, f"{norm}.bias.weight": table[:, units:].T}
    return made


def _mimicry(t: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file of StudioGAN's ResNet under the names of mimicry, where attention is outside the blocks."""
    attended = [int(name.split(".")[1]) for name in t if name.endswith("sigma")]
    blocks = sum(name.endswith(("conv2d0.weight", "conv2d0.weight_orig")) for name in t)
    parts = {"bn1": "b1", "bn2": "b2", "conv2d0": "c_sc", "conv2d1": "c1", "conv2d2": "c2"}
    parts |= {"conv1x1_theta": "theta", "conv1x1_phi": "phi", "conv1x1_g": "g", "conv1x1_attn": "o"}
    ends = {"linear0": "l1", "bn4": f"b{blocks + 2}", "conv2d5": f"c{blocks + 2}"}
    named = {}
    for name, value in t.items():
        match name.split("."):
            case ["blocks", _, "0", "sigma"]:
                named["attn_block.gamma"] = value.reshape(())
            case ["blocks", index, "0", part, leaf] if int(index) in attended:
                named[f"attn_block.{parts[part]}.{leaf}"] = value
            case ["blocks", index, "0", part, *leaves]:
                number = int(index) - sum(int(index) > each for each in attended)
                named[".".join([f"block{number + 2}", parts[part], *leaves])] = value
            case [part, leaf]:
                named[f"{ends[part]}.{leaf}"] = value
    return named


def _spectral(t: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The file with torch's own spectral norm on every map, and what torch computes with in eval mode."""
    draw, normal, plain = Draw(3), dict(t), dict(t)
    for name in [name.removesuffix(".weight") for name in t if name.endswith(".weight") and t[name].ndim > 1]:
        weight = t[f"{name}.weight"]
        module = {2: nn.Linear, 4: nn.ConvTranspose2d if "deconv" in name else nn.Conv2d}[weight.ndim]
        a, b = (weight.shape[0], weight.shape[1]) if "deconv" in name else (weight.shape[1], weight.shape[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            layer = torch.nn.utils.spectral_norm(module(a, b, *weight.shape[2:3]), eps=1e-6)
        layer.weight_orig.data = weight
        for _ in range(3):
            layer(draw.normal(2, a, *([5, 5] if weight.ndim == 4 else [])))
        layer.eval()(draw.normal(2, a, *([5, 5] if weight.ndim == 4 else [])))
        del normal[f"{name}.weight"]
        for leaf in ("weight_orig", "weight_u", "weight_v"):
            normal[f"{name}.{leaf}"] = layer.state_dict()[leaf].clone()
        plain[f"{name}.weight"] = layer.weight.detach().clone()
    return normal, plain


def _norm(t: dict[str, Tensor], name: str, x: Tensor, eps: float, shares: list[float] | None = None) -> Tensor:
    """Norm and ReLU; of classes, if they are given in shares and the norm knows any."""
    inner = f"{name}.bn" if f"{name}.bn.running_mean" in t else name
    mean, var = (t[f"{inner}.{leaf}"][:, None, None] for leaf in ("running_mean", "running_var"))
    if inner == name:
        scale, offset = t[f"{name}.weight"], t[f"{name}.bias"]
    else:
        of_each = [_of_class(t, name, number) for number in range(len(shares))]
        scale = sum(share * more for share, (more, _) in zip(shares, of_each, strict=True))
        scale = scale if f"{name}.embed.weight" in t else 1 + scale
        offset = sum(share * more for share, (_, more) in zip(shares, of_each, strict=True))
    return torch.relu((x - mean) / (var + eps).sqrt() * scale[:, None, None] + offset[:, None, None])


def _of_class(t: dict[str, Tensor], name: str, number: int) -> tuple[Tensor, Tensor]:
    """Scale (minus 1 in StudioGAN) and offset of one class in the file."""
    if f"{name}.embed.weight" in t:
        both = t[f"{name}.embed.weight"][number]
        return both[: len(both) // 2], both[len(both) // 2 :]
    if f"{name}.embed0.weight" in t:
        return t[f"{name}.embed0.weight"][number], t[f"{name}.embed1.weight"][number]
    return t[f"{name}.gain.weight"][:, number], t[f"{name}.bias.weight"][:, number]


def _attended(t: dict[str, Tensor], block: str, x: Tensor) -> Tensor:
    """Pixel by pixel: the largest of each 2 x 2 keys and values, weighted by exp(query . key)."""
    theta, phi, g, attn = (t[f"{block}.conv1x1_{name}.weight"][:, :, 0, 0] for name in ("theta", "phi", "g", "attn"))
    batch, _, side, _ = x.shape
    out = x.clone()
    for b in range(batch):
        keys, values = [], []
        for row in range(0, side, 2):
            for column in range(0, side, 2):
                pixels = [x[b, :, row + i, column + j] for i in (0, 1) for j in (0, 1)]
                keys.append(torch.stack([phi @ pixel for pixel in pixels]).amax(dim=0))
                values.append(torch.stack([g @ pixel for pixel in pixels]).amax(dim=0))
        for row in range(side):
            for column in range(side):
                query = theta @ x[b, :, row, column]
                shares = torch.exp(torch.stack([query @ key for key in keys]))
                mean = sum(share * value for share, value in zip(shares, values, strict=True)) / shares.sum()
                out[b, :, row, column] += t[f"{block}.sigma"] * (attn @ mean)
    return out


def _one(number: int, classes: int = 5) -> list[float]:
    return [float(each == number) for each in range(classes)]


def _deep_conv_images(tensors: dict[str, Tensor], z: Tensor, shares: list[float] | None = None) -> Tensor:
    t = doubles(tensors)
    x = (z.double() @ t["linear0.weight"].T + t["linear0.bias"]).reshape(len(z), -1, 4, 4)
    for i in range(sum(name.endswith("deconv0.weight") for name in t)):
        block = f"blocks.{i}.0"
        up = functional.conv_transpose2d(x, t[f"{block}.deconv0.weight"], t[f"{block}.deconv0.bias"], 2, 1)
        x = _norm(t, f"{block}.bn0", up, 1e-4, shares)
    return torch.tanh(functional.conv2d(x, t["conv4.weight"], t["conv4.bias"], padding=1))


def _resnet_images(tensors: dict[str, Tensor], z: Tensor, eps: float, doubled, shares=None) -> Tensor:
    t = doubles(tensors)
    units = t["blocks.0.0.conv2d0.weight"].shape[1]
    x = z.double() @ t["linear0.weight"].T + t["linear0.bias"]
    side = round((x.shape[1] / units) ** 0.5)
    x = x.reshape(len(z), units, side, side)

    def convolved(x: Tensor, name: str) -> Tensor:
        weight = t[f"{name}.weight"]
        return functional.conv2d(x, weight, t[f"{name}.bias"], padding=weight.shape[2] // 2)

    for i in range(sum(name.endswith(("conv2d0.weight", "sigma")) for name in t)):
        block = f"blocks.{i}.0"
        if f"{block}.sigma" in t:
            x = _attended(t, block, x)
            continue
        y = convolved(doubled(_norm(t, f"{block}.bn1", x, eps, shares)), f"{block}.conv2d1")
        y = convolved(_norm(t, f"{block}.bn2", y, eps, shares), f"{block}.conv2d2")
        x = y + convolved(doubled(x), f"{block}.conv2d0")
    return torch.tanh(convolved(_norm(t, "bn4", x, eps), "conv2d5"))


def _repeated(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _between(x: Tensor) -> Tensor:
    """Bilinear doubling: 3/4 of the pixel and 1/4 of the next one, the edge repeated."""
    for axis in (2, 3):
        index = torch.arange(x.shape[axis])
        before, after = (
            x.index_select(axis, (index - 1).clamp(0)),
            x.index_select(axis, (index + 1).clamp(max=len(index) - 1)),
        )
        pairs = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim=axis + 1)
        x = pairs.flatten(axis, axis + 1)
    return x


@pytest.mark.parametrize("units", [[6, 5], [8, 4, 3, 5]], ids=str)
def test_images_of_studiogans_dcgan(units: list[int], tmp_path) -> None:
    t = _deep_conv(units)
    generator = built(DEEP_CONV, t)
    assert isinstance(generator, Stack)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(2)
    assert_agree(generator(z), _deep_conv_images(t, z))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("bottom", [4, 3])
def test_images_of_studiogans_resnet(bottom: int, tmp_path) -> None:
    t = _resnet([6, 5, 4, 4], bottom=bottom)
    generator = built(RESNET, t)
    assert isinstance(generator, ResNet)
    assert generator.image_size == (8 * bottom, 8 * bottom)
    z = generator.sample_z(2)
    assert_agree(generator(z), _resnet_images(t, z, 1e-4, _repeated))
    assert_contract(generator, tmp_path)


def test_images_of_mimicrys_resnet(tmp_path) -> None:
    t = _resnet([6, 5, 4])
    generator = built(MIMICRY, _mimicry(t))
    z = generator.sample_z(2)
    assert_agree(generator(z), _resnet_images(t, z, 1e-5, _between))
    assert_contract(generator, tmp_path)


def test_spectral_norm_of_studiogan_is_folded_as_torch_does_in_eval_mode() -> None:
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    normal, plain = _spectral(_deep_conv([6, 5, 4]))
    assert_agree(built(DEEP_CONV, normal)(z), _deep_conv_images(plain, z))
    normal, plain = _spectral(_resnet([6, 5, 4]))
    assert_agree(built(RESNET, normal)(z), _resnet_images(plain, z, 1e-4, _repeated))


def test_spectral_norm_of_mimicry_is_folded() -> None:
    t = _resnet([6, 5])
    normal = _mimicry(t)
    sigmas = {
        name.removesuffix("weight"): 0.5 + index / 4 for index, name in enumerate(normal) if normal[name].ndim > 1
    }
    plain = dict(t)
    for theirs, ours in zip(normal, t, strict=True):
        if normal[theirs].ndim > 1:
            plain[ours] = t[ours] / sigmas[theirs.removesuffix("weight")]
    for name, sigma in sigmas.items():
        normal |= {f"{name}sn_sigma": torch.tensor([sigma]), f"{name}sn_u": torch.ones(1, 5)}
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    assert_agree(built(MIMICRY, normal)(z), _resnet_images(plain, z, 1e-5, _between))


@pytest.mark.parametrize("kind", ["gain", "embed0"])
@pytest.mark.parametrize("normal", [False, True])
def test_one_class_of_studiogan_is_chosen(kind: str, normal: bool, tmp_path) -> None:
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    for layout, t, images in (
        (DEEP_CONV, _conditional(_deep_conv([6, 5, 4]), kind), _deep_conv_images),
        (RESNET, _conditional(_resnet([6, 5, 4]), kind), lambda *x: _resnet_images(*x[:2], 1e-4, _repeated, *x[2:])),
    ):
        file, plain = _spectral(t) if normal else (t, t)
        for number in (0, 3):
            generator = layout.build(file, {}, {"c": number})
            assert_agree(generator(z), images(plain, z, _one(number)))
        assert_contract(generator, tmp_path)
        shares = [0.5, 0.0, 0.25, 0.0, -1.0]
        assert_agree(layout.build(file, {}, {"c": shares})(z), images(plain, z, shares))


def test_one_class_of_mimicry_is_chosen(tmp_path) -> None:
    t = _conditional(_resnet([6, 5, 4]), "embed")
    generator = MIMICRY.build(_mimicry(t), {}, {"c": 4})
    z = generator.sample_z(2)
    assert_agree(generator(z), _resnet_images(t, z, 1e-5, _between, _one(4)))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize("given", [None, -1, 5, True, "3", 1.0, [1.0, 0.0], ["a"] * 5])
def test_a_class_that_is_none_is_refused(given) -> None:
    options = {} if given is None else {"c": given}
    for layout, t in (
        (DEEP_CONV, _conditional(_deep_conv([6, 4]), "gain")),
        (RESNET, _spectral(_conditional(_resnet([6, 4]), "embed0"))[0]),
        (MIMICRY, _mimicry(_conditional(_resnet([6, 4]), "embed"))),
    ):
        assert layout.fit(t, {}).is_whole
        with pytest.raises(ValueError, match=r"5 classes: set the option c to a class in \[0, 4\], or to a list"):
            layout.build(t, {}, options)
    with pytest.raises(ValueError, match="c must be omitted, since the network has no classes; got 1"):
        RESNET.build(_resnet([6, 4]), {}, {"c": 1})


@pytest.mark.parametrize("after", [1, 2])
def test_self_attention_of_studiogan(after: int, tmp_path) -> None:
    t = _resnet([6, 8, 16, 4], attended=after)
    generator = built(RESNET, t)
    assert generator.settings["attention"] == [after + 1]
    z = generator.sample_z(2)
    assert_agree(generator(z), _resnet_images(t, z, 1e-4, _repeated))
    assert_contract(generator, tmp_path)


@pytest.mark.parametrize(("units", "after"), [([6, 8, 8, 4], 2), ([3, 3, 3, 8, 3, 3], 3)])
def test_self_attention_of_mimicry_after_the_block_of_its_networks(units: list[int], after: int) -> None:
    file, plain = _spectral(_conditional(_resnet(units, bottom=2, attended=after), "embed"))
    for name in [name for name in file if ".embed." in name]:  # has no spectral norm there
        del file[name]
    table = {name: value for name, value in _conditional(_resnet(units, bottom=2), "embed").items() if "embed" in name}
    table = {_moved(name, after): value for name, value in table.items()}
    generator = MIMICRY.build(_mimicry(file | table), {}, {"c": 1})
    z = generator.sample_z(1)
    assert_agree(generator(z), _resnet_images(plain | table, z, 1e-5, _between, _one(1)))


def _moved(name: str, after: int) -> str:
    """The name of a block's tensor in a file with attention after a block."""
    words = name.split(".")
    return ".".join([words[0], str(int(words[1]) + (int(words[1]) >= after)), *words[2:]])


def test_what_is_attended_to_elsewhere_and_a_part_of_a_biggan_is_refused_by_name() -> None:
    draw = Draw(5)
    t = _deep_conv([8, 8, 4])
    t = {name.replace("blocks.1.", "blocks.2."): value for name, value in t.items()} | _attention(draw, "blocks.1.0", 8)
    assert_says(DEEP_CONV, t, ["self-attention between up-convolutions is not supported"])
    biggan = _conditional(_resnet([6, 5, 4]), "gain") | {"shared.weight": torch.ones(10, 3)}
    assert_says(RESNET, biggan, ["unexpected shared.weight"])
    assert_says(RESNET, _conditional(_resnet([6, 5, 4]), "gain", classes=6), ["6 numbers", "parts of z"])
    narrow = _resnet([6, 4, 4], attended=1)
    assert_says(RESNET, narrow, ["attention must be numbers in [2, 3] of layers with at least 8 units"])
    first = {name.replace("blocks.1.", "blocks.0."): value for name, value in _resnet([8, 8], attended=0).items()}
    assert not RESNET.fit(first, {}).is_whole
    elsewhere = _mimicry(_resnet([8, 8, 8], attended=1))
    assert_says(MIMICRY, elsewhere, ["attn_block.theta.weight", "unexpected"])


def test_gray_images_are_gray() -> None:
    t, r = _deep_conv([6, 5], colors=1), _resnet([6, 5], colors=1)
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    assert_agree(built(DEEP_CONV, t)(z), _deep_conv_images(t, z).expand(-1, 3, -1, -1))
    assert_agree(built(RESNET, r)(z), _resnet_images(r, z, 1e-4, _repeated).expand(-1, 3, -1, -1))


def test_every_name_of_each_layout_counts() -> None:
    deep, residual = ({k: v for k, v in t.items() if "batches" not in k} for t in (_deep_conv([5, 4]), _resnet([5, 4])))
    optional = ["blocks.0.0.deconv0.bias"]
    assert_every_name_counts(DEEP_CONV, {name: deep[name] for name in deep if name not in optional})
    assert_every_name_counts(RESNET, residual)
    assert_every_name_counts(MIMICRY, _mimicry(residual))
    assert_every_name_counts(RESNET, {k: v for k, v in _resnet([8, 8, 4], attended=1).items() if "batches" not in k})
    for kind in ("gain", "embed0"):
        assert_every_name_counts(RESNET, _conditional(residual, kind))
    assert_every_name_counts(MIMICRY, _mimicry(_conditional(residual, "embed")))
    normal, _ = _spectral(deep)
    for name in ("linear0.weight_u", "blocks.0.0.deconv0.weight_v", "conv4.weight_v"):
        assert_says(DEEP_CONV, {key: normal[key] for key in normal if key != name}, [name, "missing"])
        assert_says(DEEP_CONV, {**normal, name: torch.ones(2, 2)}, [name, "[2, 2]"])


def test_what_is_wrong_is_said() -> None:
    t = _resnet([6, 5, 4])
    less = {name: value for name, value in t.items() if not name.startswith("blocks.0")}
    assert_says(RESNET, less, ["blocks.0.0.bn1.weight", "missing"])
    assert_says(RESNET, {**t, "linear0.weight": torch.ones(6 * 15, 6)}, ["output of linear0", "90 numbers", "6 units"])
    conditional = {**t, "blocks.0.0.bn1.gain.weight": torch.ones(6, 10)}
    assert_says(RESNET, conditional, ["missing blocks.0.0.bn1.bias.weight", "blocks.0.0.bn1.weight"])
    studiogan_d = {"blocks.0.0.conv2d1.weight": torch.ones(4, 3, 3, 3), "linear1.weight": torch.ones(1, 4)}
    assert_says(RESNET, studiogan_d, ["discriminator"])
    mimicry_d = {"block1.c1.weight": torch.ones(4, 3, 3, 3), "l5.weight": torch.ones(1, 4)}
    assert_says(MIMICRY, mimicry_d, ["discriminator"])
    assert not RESNET.fit(_deep_conv([6, 5]), {}).is_whole
    assert not DEEP_CONV.fit(t, {}).is_whole
    with pytest.raises(ValueError, match=r"doubling must be one of nearest, bilinear; got 'cubic'"):
        ResNet(4, [4, 4], doubling="cubic")
    with pytest.raises(ValueError, match="at least two numbers"):
        ResNet(4, [4])
    for layers in ([1], [3], [-1]):
        with pytest.raises(
            ValueError, match=r"attention must be numbers in \[2, 2\] of layers with at least 8 units; got"
        ):
            ResNet(4, [8, 8], attention=layers)
    assert "attention" not in ResNet(4, [8, 8]).settings
