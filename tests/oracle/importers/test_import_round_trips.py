"""The numbers of a file go into the network as they are, and stay so in the files that are written of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from test_import_layouts import FILES, LAYOUTS, OPTIONS
from torch import Tensor

import generators

COMPUTED = {
    "pytorch/examples DCGAN": r"output\.0\.bias",
    "gandissect ProGAN": r"layer1\.1\.weight",
    "gandissect ProGAN, old names": r"layer1\.1\.weight",
    "genforce ProGAN": r"layer1\.1\.weight",
    "genforce StyleGAN": r"",
    "rosinality StyleGAN": r"mapping\..*|layer1\.bias|layer3\.bias|.*\.(noise|noise_strength)|.*affine.*|output\.weight",
    "NVlabs StyleGAN2": r"mapping\.network\.\d\.0\.bias",
    "rosinality StyleGAN2": r"mapping\.w_avg|mapping\.network\.\d\.0\.bias",
    "genforce StyleGAN2": r"mapping\.network\.\d\.0\.bias|.*\.affine\.bias",
    "StudioGAN DCGAN": r"layer1\.0\.1\.weight|layer2\.0\.weight|.*\.running_(mean|var)|output\.0\.weight",
    "StudioGAN ResNet": r".*\.running_var|layer1\.1\.weight|layer2\.(residual\.[36]|skip\.1)\.weight|output\.2\.weight",
    "StudioGAN BigGAN": r"(layer.*|output\.2)\.weight|.*\.running_var|layer.*norm2\.norm\.running_mean|.*\.conv2\.bias",
    "BigGAN-PyTorch": r"(layer.*|output\.2)\.weight|layer.*norm2\.norm\.running_mean|.*\.conv2\.bias",
    "mimicry ResNet": r"",
    "pytorch_GAN_zoo PGAN": r"layer1\.1\.weight|layer1\.2\.offset|.*\.bias|output\.1\.weight",
    "pytorch_GAN_zoo DCGAN": r"output\.0\.bias",
    "projected_gan FastGAN": r"(excitations.*|layer.*\.1|layer.*\.5|output)\.weight|.*\.noise",
    "lucidrains lightweight GAN": r"output\.(weight|bias)|.*\.noise",
    "lucidrains StyleGAN2": r"mapping\..*|constant|.*\.noise|.*affine.*|(to_rgb.4|output)\.(weight|bias)",
    "PyTorch-GAN DCGAN": r"layer[23]\.2\.running_var",
    "PyTorch-GAN ACGAN": r"layer1\.1\.weight|layer[23]\.2\.running_var",
    "CycleGAN and pix2pix U-Net": r"encoder[15]\.0\.bias",
    "pytorch_GAN_zoo StyleGAN": r".*\.bias|.*\.(noise|noise_strength)|.*affine.*|output\.weight",
}
"""Tensors that are scaled, shifted, summed, drawn or divided by a spectral norm; all others only change their place."""


def _numbers(value: Tensor) -> tuple[float, ...]:
    return tuple(value.flatten().sort().values.tolist())


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_computed_holds_the_numbers_of_the_file_bit_for_bit(name: str) -> None:
    tensors = FILES[name]()
    there = {_numbers(value) for value in tensors.values()}
    state = LAYOUTS[name].build(tensors, {}, OPTIONS.get(name, {})).state_dict()
    others = [key for key, value in state.items() if _numbers(value) not in there and "num_batches" not in key]
    assert [key for key in others if not re.fullmatch(COMPUTED.get(name, ""), key)] == []


@pytest.mark.parametrize("name", FILES)
def test_an_imported_network_is_saved_and_loaded_bit_for_bit(name: str, tmp_path: Path) -> None:
    torch.save({"g_ema": FILES[name]()}, tmp_path / "theirs.pt")
    options = {"size": 8} if name == "rosinality StyleGAN" else OPTIONS.get(name, {})
    generator = generators.import_checkpoint(tmp_path / "theirs.pt", options)
    generators.save(generator, tmp_path / "ours.safetensors", half=False)
    again = generators.load(tmp_path / "ours.safetensors", device="cpu")
    state = again.state_dict()
    assert state.keys() == generator.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in generator.state_dict().items())
    assert again.settings == generator.settings
    assert again.fingerprint == generator.fingerprint
    z = generator.draw_rows(2, torch.Generator().manual_seed(0))
    assert torch.equal(again(z), generator(z))
