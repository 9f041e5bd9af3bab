"""Networks that are known and not imported are refused by name, with the reason; their names and shapes are their projects'."""

from __future__ import annotations

import pytest
import torch
from foreign import Draw
from test_import_layouts import FILES
from test_import_lucidrains import lucidrains
from torch import Tensor, nn

import generators
from generators.importers.unread import find_reason, takes_image


def _replicated_translator() -> dict[str, Tensor]:
    """A generator of CycleGAN whose blocks pad with zeros, so that their convolutions have other places."""
    renamed = {"conv_block.1.": "conv_block.0.", "conv_block.5.": "conv_block.3."}
    tensors = _resnet_translator()
    for old, new in renamed.items():
        tensors = {name.replace(old, new): value for name, value in tensors.items()}
    return tensors


def _resnet_translator(blocks: int = 2) -> dict[str, Tensor]:
    """A generator of CycleGAN: 7 x 7, two halvings, residual blocks, two doublings, 7 x 7."""
    t = Draw(0)
    tensors = {"model.1.weight": t.normal(4, 3, 7, 7), "model.4.weight": t.normal(8, 4, 3, 3)}
    tensors["model.7.weight"] = t.normal(16, 8, 3, 3)
    for index in range(10, 10 + blocks):
        for place in (1, 5):
            tensors[f"model.{index}.conv_block.{place}.weight"] = t.normal(16, 16, 3, 3)
    after = 10 + blocks
    tensors |= {f"model.{after}.weight": t.normal(16, 8, 3, 3), f"model.{after + 3}.weight": t.normal(8, 4, 3, 3)}
    tensors |= {f"model.{after + 7}.weight": t.normal(3, 4, 7, 7), f"model.{after + 7}.bias": t.normal(3)}
    return tensors


def _cut_translator() -> dict[str, Tensor]:
    """One of CUT, which has filters among its weights."""
    return {"model.1.weight": torch.ones(4, 3, 7, 7), "model.6.filt": torch.ones(4, 1, 3, 3)} | _resnet_translator()


def _unet_translator() -> dict[str, Tensor]:
    """A generator of pix2pix: blocks within blocks."""
    down, up, name = [3, 4, 8, 8], [3, 8, 16, 8], "model.model"
    tensors, ends = {}, {}
    for level in range(3):
        tensors[f"{name}.{0 if level == 0 else 1}.weight"] = torch.ones(down[level + 1], down[level], 4, 4)
        ends[f"{name}.{5 if level else 3}.weight"] = torch.ones(up[level + 1], down[level], 4, 4)
        name += f".{3 if level else 1}.model"
    return tensors | dict(reversed(ends.items()))


def _autoencoder() -> dict[str, Tensor]:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1),
        nn.Conv2d(8, 16, 4, 2, 1),
        nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
    )
    return {f"layers.{name}": value for name, value in network.state_dict().items()}


def _deep_biggan() -> dict[str, Tensor]:
    tensors = {"shared.weight": torch.ones(10, 8), "linear.weight": torch.ones(64, 14), "linear.u0": torch.ones(1, 64)}
    tensors |= {f"blocks.0.0.conv{index}.weight": torch.ones(4, 4, 3, 3) for index in (1, 2, 3, 4)}
    tensors |= {
        f"blocks.0.0.bn{index}.{part}.weight": torch.ones(4, 14) for index in (1, 4) for part in ("gain", "bias")
    }
    return tensors | {"output_layer.0.gain": torch.ones(4), "output_layer.2.weight": torch.ones(3, 4, 3, 3)}


def _deep_studiogan() -> dict[str, Tensor]:
    tensors = {"shared.weight": torch.ones(10, 8), "linear0.weight_orig": torch.ones(64, 14)}
    tensors |= {f"blocks.0.0.conv2d{index}.weight_orig": torch.ones(4, 4, 3, 3) for index in (1, 2, 3, 4)}
    return tensors | {f"blocks.0.0.bn4.{part}.weight_orig": torch.ones(4, 14) for part in ("gain", "bias")}


def _huggingface_biggan() -> dict[str, Tensor]:
    tensors = {"embeddings.weight": torch.ones(8, 10), "generator.gen_z.weight_orig": torch.ones(64, 16)}
    return tensors | {f"generator.layers.0.bn_0.{part}.weight_orig": torch.ones(4, 16) for part in ("scale", "offset")}


def _stylegan_xl() -> dict[str, Tensor]:
    tensors = {"mapping.embed.weight": torch.ones(1000, 32), "mapping.embed_proj.weight": torch.ones(8, 32)}
    tensors |= {"mapping.fc0.weight": torch.ones(8, 16), "synthesis.input.freqs": torch.ones(4, 2)}
    return tensors | {
        "synthesis.L0_36_16.weight": torch.ones(16, 4, 3, 3),
        "synthesis.L1_36_3.weight": torch.ones(3, 16, 1, 1),
    }


def _fastgan_of_classes() -> dict[str, Tensor]:
    tensors = {"embed.weight": torch.ones(3, 5), "init.init.0.weight_orig": torch.ones(5, 12, 4, 4)}
    tensors |= {f"feat_8.{part}.weight_orig": torch.ones(8, 5) for part in ("bn1.gain", "bn1.bias")}
    return {f"synthesis.{name}": value for name, value in tensors.items()}


def _stylegan_xl_without_classes() -> dict[str, Tensor]:
    return {name: value for name, value in _stylegan_xl().items() if "embed_proj" not in name}


def _early_lightweight() -> dict[str, Tensor]:
    """A lightweight GAN whose grids are doubled by repeating pixels."""
    tensors = {"initial_conv.0.weight": torch.ones(6, 12, 4, 4), "layers.0.0.1.weight": torch.ones(8, 6, 3, 3)}
    return tensors | {"layers.0.0.2.weight": torch.ones(8), "out_conv.weight": torch.ones(3, 4, 3, 3)}


CASES = {
    "CycleGAN with other blocks": (_replicated_translator, "takes an image"),
    "CUT": (_cut_translator, "takes an image"),
    "pix2pix": (_unet_translator, "takes an image"),
    "autoencoder": (_autoencoder, "takes an image"),
    "BigGAN-PyTorch, deep": (_deep_biggan, "a BigGAN-deep, .* four convolutions"),
    "StudioGAN, deep": (_deep_studiogan, "a BigGAN-deep, .* four convolutions"),
    "pytorch-pretrained-BigGAN": (_huggingface_biggan, "a BigGAN-deep, .* four convolutions"),
    "FastGAN of classes": (_fastgan_of_classes, "a class-conditional FastGAN of projected_gan"),
    "StyleGAN-XL without classes": (_stylegan_xl_without_classes, "a StyleGAN-XL, .* class embeddings"),
    "early lightweight GAN": (_early_lightweight, "an early version of the lightweight GAN, .* repeating pixels"),
    "lucidrains attention": (
        lambda: lucidrains([6, 4]) | {"G.attns.1.0.fn.fn.to_q.weight": torch.ones(2, 4)},
        "a StyleGAN2 of lucidrains .* attention",
    ),
    "StyleGAN-XL": (_stylegan_xl, "a StyleGAN-XL, .* class embeddings"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_known_network_that_is_not_imported_is_refused_by_name(name: str, tmp_path) -> None:
    make, words = CASES[name]
    torch.save(make(), tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=words) as caught:
        generators.load(tmp_path / "theirs.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_network_that_is_imported_is_none_of_these(name: str) -> None:
    assert find_reason(FILES[name]()) is None


def test_a_discriminator_of_patches_takes_no_image_to_an_image() -> None:
    """PatchGAN of pix2pix, which ends where it is widest, for colors and for gray."""
    for channels in (3, 1):
        shapes = [(4, channels), (8, 4), (16, 8), (32, 16), (1, 32)]
        assert not takes_image({f"model.{i}.weight": torch.ones(*pair, 4, 4) for i, pair in enumerate(shapes)})
