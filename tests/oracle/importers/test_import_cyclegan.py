"""Checkpoints of pytorch-CycleGAN-and-pix2pix against forward passes in float64 that read the file's own names.

The nesting of the U-Net is followed as the paper draws it: each level halves, runs the level inside, doubles, and puts
its own input beside the result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

import generators
from apps import cli
from gandissect import Ablation, UnitSet, generate
from generators.architectures.translator import Translator
from generators.importers.families.cyclegan import LAYOUTS
from generators.importers.importing import import_network

RESNET, UNET = LAYOUTS
Tensors = dict[str, Tensor]


def _conv(draw: Draw, name: str, *shape: int, bias: bool, outputs: int = 0) -> Tensors:
    """A convolution whose outputs are about as large as its inputs."""
    scale = (2 / (shape[1 - outputs] * shape[2] ** 2)) ** 0.5 * (2 if outputs else 1)
    tensors = {f"{name}.weight": draw.normal(*shape, scale=scale)}
    return tensors | ({f"{name}.bias": draw.normal(shape[outputs], scale=0.3)} if bias else {})


def _norm(draw: Draw, name: str, units: int, kind: str) -> Tensors:
    """The tensors of a norm: none of an instance norm, statistics of one of torch 0.3, all of a batch norm."""
    tensors = draw.norm(name, units) if kind != "instance" else {}
    return {key: value for key, value in tensors.items() if kind == "batch" or not key.endswith(("weight", "bias"))}


def resnet_checkpoint(
    blocks: int = 2, kind: str = "instance", width: int = 3, dropout: bool = False, colors: tuple[int, int] = (3, 3)
) -> Tensors:
    """A `latest_net_G_A.pth` of CycleGAN; ``kind`` is instance, instance with statistics, or batch."""
    draw, bias = Draw(1), kind != "batch"
    tensors = _conv(draw, "model.1", width, colors[0], 7, 7, bias=bias) | _norm(draw, "model.2", width, kind)
    for index, units in ((4, 2 * width), (7, 4 * width)):
        tensors |= _conv(draw, f"model.{index}", units, units // 2, 3, 3, bias=bias)
        tensors |= _norm(draw, f"model.{index + 1}", units, kind)
    for block in range(10, 10 + blocks):
        for place in (1, 5 + dropout):
            name = f"model.{block}.conv_block"
            convolution = _conv(draw, f"{name}.{place}", 4 * width, 4 * width, 3, 3, bias=bias)
            tensors |= {key: value / 2 for key, value in convolution.items()}  # the blocks add up
            tensors |= _norm(draw, f"{name}.{place + 1}", 4 * width, kind)
    for index, units in ((10 + blocks, 2 * width), (13 + blocks, width)):
        tensors |= _conv(draw, f"model.{index}", 2 * units, units, 3, 3, bias=bias, outputs=1)
        tensors |= _norm(draw, f"model.{index + 1}", units, kind)
    last = _conv(draw, f"model.{17 + blocks}", colors[1], width, 7, 7, bias=True)
    return tensors | {name: value / 10 for name, value in last.items()}  # without saturating the tanh


def unet_checkpoint(
    depth: int = 5, kind: str = "batch", width: int = 2, colors: tuple[int, int] = (3, 3), with_bias: bool | None = None
) -> Tensors:
    """A `latest_net_G.pth` of pix2pix, levels within levels."""
    draw, bias = Draw(2), kind != "batch" if with_bias is None else with_bias
    units = [width * min(2**level, 8) for level in range(depth)]

    def level(name: str, number: int) -> Tensors:
        """Everything from a level's first convolution to its last norm; the first level is number 0."""
        before, after = units[number - 1], units[number]
        tensors = _conv(draw, f"{name}.1", after, before, 4, 4, bias=bias)
        if number == depth - 1:
            tensors |= _conv(draw, f"{name}.3", after, before, 4, 4, bias=bias, outputs=1)
            return tensors | _norm(draw, f"{name}.4", before, kind)
        tensors |= _norm(draw, f"{name}.2", after, kind) | level(f"{name}.3.model", number + 1)
        tensors |= _conv(draw, f"{name}.5", 2 * after, before, 4, 4, bias=bias, outputs=1)
        return tensors | _norm(draw, f"{name}.6", before, kind)

    tensors = _conv(draw, "model.model.0", width, colors[0], 4, 4, bias=bias) | level("model.model.1.model", 1)
    return tensors | _conv(draw, "model.model.3", 2 * width, colors[1], 4, 4, bias=True, outputs=1)


def _normalized(t: Tensors, name: str, x: Tensor, by_picture: bool) -> Tensor:
    """Subtract the mean and divide by the deviation: of each map, or the running ones of a batch norm."""
    scale, offset = t.get(f"{name}.weight"), t.get(f"{name}.bias")
    if scale is None or by_picture:
        centered = x - x.mean((2, 3), keepdim=True)
        x = centered / (centered.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    else:
        x = (x - t[f"{name}.running_mean"][:, None, None]) / (t[f"{name}.running_var"][:, None, None] + 1e-5).sqrt()
    return x if scale is None or offset is None else x * scale[:, None, None] + offset[:, None, None]


def _resnet_images(
    tensors: Tensors, x: Tensor, blocks: int, *, dropout: bool = False, by_picture: bool = False
) -> Tensor:
    t = doubles(tensors)

    def apply(name: str, x: Tensor, norm: str, pad: int = 0, **geometry: int) -> Tensor:
        x = functional.pad(x, (pad,) * 4, mode="reflect") if pad else x
        convolve = functional.conv_transpose2d if "output_padding" in geometry else functional.conv2d
        return _normalized(t, norm, convolve(x, t[f"{name}.weight"], t.get(f"{name}.bias"), **geometry), by_picture)

    x = apply("model.1", x, "model.2", pad=3).relu()
    x = apply("model.4", x, "model.5", stride=2, padding=1).relu()
    x = apply("model.7", x, "model.8", stride=2, padding=1).relu()
    for index in range(10, 10 + blocks):
        name, second = f"model.{index}.conv_block", 6 if dropout else 5
        inside = apply(f"{name}.1", x, f"{name}.2", pad=1).relu()
        x = x + apply(f"{name}.{second}", inside, f"{name}.{second + 1}", pad=1)
    for index in (10 + blocks, 13 + blocks):
        x = apply(f"model.{index}", x, f"model.{index + 1}", stride=2, padding=1, output_padding=1).relu()
    last, x = f"model.{17 + blocks}", functional.pad(x, (3,) * 4, mode="reflect")
    return torch.tanh(functional.conv2d(x, t[f"{last}.weight"], t[f"{last}.bias"]))


def _unet_images(tensors: Tensors, x: Tensor, *, by_picture: bool = False) -> Tensor:
    t = doubles(tensors)

    def down(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, t[f"{name}.weight"], t.get(f"{name}.bias"), 2, 1)

    def up(name: str, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x.relu(), t[f"{name}.weight"], t.get(f"{name}.bias"), 2, 1)

    def level(name: str, x: Tensor) -> Tensor:
        """The level's input, after its leaky ReLU, beside what comes back up."""
        x = functional.leaky_relu(x, 0.2)
        below = down(f"{name}.1", x)
        if f"{name}.5.weight" not in t:
            return torch.cat([x, _normalized(t, f"{name}.4", up(f"{name}.3", below), by_picture)], 1)
        below = level(f"{name}.3.model", _normalized(t, f"{name}.2", below, by_picture))
        return torch.cat([x, _normalized(t, f"{name}.6", up(f"{name}.5", below), by_picture)], 1)

    return torch.tanh(up("model.model.3", level("model.model.1.model", down("model.model.0", x))))


def _pictures(height: int, width: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(5)) * 2 - 1


def _agree(T: Translator, pictures: Tensor, wanted: Tensor) -> Translator:
    G = T.on(pictures)
    assert_agree(G(G.sample_z(2)), wanted)
    return G


@pytest.mark.parametrize("kind", ["instance", "instance with statistics", "batch"])
@pytest.mark.parametrize(("blocks", "dropout"), [(6, False), (9, False), (2, True)])
def test_residual_translators_agree(kind: str, blocks: int, dropout: bool, tmp_path: Path) -> None:
    tensors = resnet_checkpoint(blocks, kind, dropout=dropout)
    T, pictures = built(RESNET, tensors), _pictures(16, 20)
    assert T.settings["blocks"] == blocks and T.settings["size"] == 256
    G = _agree(T, pictures, _resnet_images(tensors, pictures.double(), blocks, dropout=dropout))
    assert_contract(G, tmp_path)


@pytest.mark.parametrize("kind", ["instance", "instance with statistics", "batch"])
@pytest.mark.parametrize("depth", [5, 7, 8])
def test_unets_agree(kind: str, depth: int, tmp_path: Path) -> None:
    """Depth 7 and 8 are the project's unet_128 and unet_256."""
    tensors = unet_checkpoint(depth, kind)
    T, side = built(UNET, tensors), 2**depth
    assert (T.settings["depth"], T.image_size) == (depth, (side, side))
    pictures = _pictures(side, 2 * side if depth == 5 else side)
    G = _agree(T, pictures, _unet_images(tensors, pictures.double()))
    if depth == 5:
        assert_contract(G, tmp_path)


def test_a_bias_before_a_batch_norm_is_part_of_its_mean() -> None:
    tensors = unet_checkpoint(with_bias=True)
    assert "model.model.1.model.1.bias" in tensors
    _agree(built(UNET, tensors), _pictures(32, 32), _unet_images(tensors, _pictures(32, 32).double()))


def test_batch_norms_can_use_each_picture_as_the_projects_tests_do() -> None:
    for layout, tensors, images in (
        (UNET, unet_checkpoint(), _unet_images),
        (RESNET, resnet_checkpoint(2, "batch"), lambda t, x, **how: _resnet_images(t, x, 2, **how)),
    ):
        pictures = _pictures(32, 32)
        T = layout.build(tensors, {}, {"statistics": "picture"})
        _agree(T, pictures, images(tensors, pictures.double(), by_picture=True))
        running = layout.build(tensors, {}, {"statistics": "running"}).on(pictures)
        assert_agree(running(running.sample_z(2)), images(tensors, pictures.double()))
        assert '{"statistics": "picture"}' in layout.fit(tensors, {}).assumed
    assert RESNET.fit(resnet_checkpoint(), {}).assumed == ""
    assert_says(UNET, unet_checkpoint(), ["statistics must be running or picture; got 'mine'"], statistics="mine")
    assert_says(RESNET, resnet_checkpoint(), ["these are instance norms; omit it"], statistics="picture")


def test_gray_pictures_in_and_out() -> None:
    """Gray pictures are 0.299 red + 0.587 green + 0.114 blue, and gray images become three equal channels."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]
    for layout, tensors, images in (
        (UNET, unet_checkpoint(colors=(1, 1)), _unet_images),
        (RESNET, resnet_checkpoint(colors=(1, 1)), lambda t, x: _resnet_images(t, x, 2)),
    ):
        pictures = _pictures(32, 32)
        gray = (pictures.double() * weights).sum(1, keepdim=True)
        _agree(built(layout, tensors), pictures, images(tensors, gray).expand(-1, 3, -1, -1))


def test_inputs_of_other_channels() -> None:
    tensors, pictures = unet_checkpoint(colors=(5, 3)), _pictures(32, 32, channels=5)
    _agree(built(UNET, tensors), pictures, _unet_images(tensors, pictures.double()))
    assert not RESNET.fit(resnet_checkpoint(colors=(3, 2)), {}).is_whole, "images have one or three channels"


@pytest.mark.parametrize(("layout", "make"), [(RESNET, resnet_checkpoint), (UNET, unet_checkpoint)])
def test_every_name_counts(layout: Any, make: Callable[..., Tensors]) -> None:
    tensors = make(kind="batch")
    optional = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert_every_name_counts(layout, {name: value for name, value in tensors.items() if name not in optional})
    assert layout.fit(tensors, {}).is_whole
    instance = make(kind="instance")
    unused = [name for name in instance if name.endswith(".bias") and _precedes_norm(name, instance, layout is UNET)]
    less = {name: value for name, value in instance.items() if name not in unused}
    assert len(unused) >= 6 and layout.fit(less, {}).is_whole, "instance norm subtracts these"


def _precedes_norm(name: str, tensors: Tensors, is_unet: bool) -> bool:
    """Whether a bias is of a convolution before a norm: all but the first, the innermost and the last of a U-Net."""
    if not is_unet:
        return name != list(tensors)[-1]
    innermost = max((key for key in tensors if key.endswith(".1.bias")), key=len)
    return name not in {"model.model.0.bias", "model.model.3.bias", innermost}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_are_imported_by_their_content_and_loaded_again(prefix: str, tmp_path: Path) -> None:
    """As `latest_net_G.pth` is saved, with or without the prefix of several devices."""
    for number, (tensors, images) in enumerate(
        ((unet_checkpoint(), _unet_images), (resnet_checkpoint(), lambda t, x: _resnet_images(t, x, 2)))
    ):
        path, pictures = tmp_path / f"latest_net_{number}.pth", _pictures(32, 32)
        torch.save({prefix + name: value for name, value in tensors.items()}, path)
        T = generators.load(path, device="cpu")
        assert isinstance(T, Translator) and T.name == str(path)
        _agree(T, pictures, images(tensors, pictures.double()))
        saved = tmp_path / f"{number}.safetensors"
        generators.save(T, saved, half=False)
        _agree(generators.load(saved, device="cpu"), pictures, images(tensors, pictures.double()))
    assert import_network(tmp_path / "latest_net_1.pth").layout == "CycleGAN and pix2pix ResNet"


def test_the_command_reports_pictures_and_takes_a_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "latest_net_G_A.pth", tmp_path / "mine.safetensors"
    torch.save(resnet_checkpoint(), path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["import", str(path), "--out", str(out), "--size", "64"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert (
        "CycleGAN and pix2pix ResNet (torch)\nresnet-translator, 64 x 64 px, pictures of 3 channels, 7 layers"
        in printed
    )
    assert generators.load(out, device="cpu").image_size == (64, 64)


def test_units_of_an_imported_encoder_are_switched_off_in_both_ways() -> None:
    """A channel of the file's second level, set to 0 after its leaky ReLU, by scale and offset of its norm."""
    tensors, pictures = unet_checkpoint(), _pictures(32, 32)
    G = built(UNET, tensors).on(pictures)
    edited = generate(G, G.sample_z(2), [Ablation(UnitSet("encoder2", (1,)))])
    silent = {name: value.clone() for name, value in tensors.items()}
    for leaf in ("weight", "bias"):
        silent[f"model.model.1.model.2.{leaf}"][1] = 0
    assert_agree(edited, _unet_images(silent, pictures.double()))
    assert not torch.allclose(edited, G(G.sample_z(2)), atol=1e-3)


def test_a_patch_discriminator_is_refused_by_name(tmp_path: Path) -> None:
    shapes = {0: (4, 3), 2: (8, 4), 5: (16, 8), 8: (32, 16), 11: (1, 32)}
    torch.save({f"model.{index}.weight": torch.ones(*pair, 4, 4) for index, pair in shapes.items()}, tmp_path / "D.pth")
    with pytest.raises(ValueError, match=r"a PatchGAN, which judges patches of pictures; pass the generator"):
        generators.load(tmp_path / "D.pth")
