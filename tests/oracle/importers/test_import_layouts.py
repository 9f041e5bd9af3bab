"""What holds for every layout: files are told apart, and no damage leads to anything but a ValueError."""

from __future__ import annotations

import random

import pytest
import torch
from style_files import genforce, nvlabs, rosinality
from test_import_biggan import biggan_pytorch, studiogan_biggan
from test_import_cyclegan import resnet_checkpoint, unet_checkpoint
from test_import_dcgan import _netg
from test_import_fastgan import projected_fastgan
from test_import_gan_zoo import gan_zoo_dcgan, gan_zoo_progan, gan_zoo_stylegan
from test_import_lightweight import lightweight
from test_import_lucidrains import lucidrains
from test_import_progan import _gandissect, _genforce as _genforce_progan, _old
from test_import_pytorch_gan import pytorch_gan
from test_import_studiogan import _deep_conv, _mimicry, _resnet, _spectral
from test_import_stylegan import _genforce as _genforce_stylegan, _rosinality as _rosinality_stylegan
from torch import Tensor

from generators.importers import match
from generators.importers.families import stylegan3
from generators.importers.plans import is_discriminator

LAYOUTS = {layout.name: layout for layout in match.LAYOUTS if layout not in stylegan3.LAYOUTS}
"""All but StyleGAN3's, which has a file of tests of its own."""
FILES = {
    "pytorch/examples DCGAN": lambda: _netg([5, 6, 4, 3], [4, 4, 4]),
    "gandissect ProGAN": lambda: _gandissect([4, 3]),
    "gandissect ProGAN, old names": lambda: _old(_gandissect([4, 3])),
    "genforce ProGAN": lambda: _genforce_progan(_gandissect([4, 3])),
    "genforce StyleGAN": lambda: _genforce_stylegan([4, 3]),
    "rosinality StyleGAN": lambda: _rosinality_stylegan([4, 3], 1),
    "NVlabs StyleGAN2": lambda: nvlabs([4, 3]),
    "rosinality StyleGAN2": lambda: rosinality(nvlabs([4, 3])),
    "genforce StyleGAN2": lambda: genforce(nvlabs([4, 3])),
    "StudioGAN DCGAN": lambda: _spectral(_deep_conv([5, 4]))[0],
    "StudioGAN ResNet": lambda: _spectral(_resnet([5, 4]))[0],
    "StudioGAN BigGAN": lambda: studiogan_biggan([8, 8, 4], attention=(1,)),
    "BigGAN-PyTorch": lambda: biggan_pytorch([8, 8, 4], attention=(1,)),
    "mimicry ResNet": lambda: _mimicry(_resnet([5, 4])),
    "pytorch_GAN_zoo PGAN": lambda: gan_zoo_progan([4, 3]),
    "pytorch_GAN_zoo DCGAN": lambda: gan_zoo_dcgan([9, 3]),
    "pytorch_GAN_zoo StyleGAN": lambda: gan_zoo_stylegan([4, 3]),
    "PyTorch-GAN DCGAN": lambda: pytorch_gan([5, 4, 3]),
    "projected_gan FastGAN": lambda: projected_fastgan([6, 5, 4, 4, 3]),
    "lucidrains lightweight GAN": lambda: lightweight([6, 4, 3], (8,)),
    "lucidrains StyleGAN2": lambda: lucidrains([4, 3]),
    "PyTorch-GAN ACGAN": lambda: pytorch_gan([5, 4, 3], classes=3),
    "CycleGAN and pix2pix ResNet": lambda: resnet_checkpoint(2, "batch"),
    "CycleGAN and pix2pix U-Net": lambda: unet_checkpoint(5),
}
OPTIONS = {"PyTorch-GAN ACGAN": {"c": 1}}
"""What a file does not say and its network cannot be made without."""
every_file = pytest.mark.parametrize("name", FILES)


def test_every_layout_has_a_file_here() -> None:
    assert LAYOUTS.keys() == FILES.keys()


@every_file
def test_a_file_is_of_its_own_layout_and_of_no_other(name: str) -> None:
    tensors = FILES[name]()
    assert [other for other, layout in LAYOUTS.items() if layout.fit(tensors, {}).is_whole] == [name]
    assert not is_discriminator(tensors)


@every_file
def test_a_generator_keeps_no_hold_of_the_file(name: str) -> None:
    tensors = FILES[name]()
    generator = LAYOUTS[name].build(tensors, {}, OPTIONS.get(name, {}))
    before = generator.fingerprint
    for value in tensors.values():
        if value.is_floating_point() and value.is_contiguous():
            value.zero_()
    assert generator.fingerprint == before
    assert not any(each.requires_grad for each in generator.parameters())
    assert not generator.training


@every_file
def test_damage_leads_to_a_valueerror_or_to_a_network_that_runs(name: str) -> None:
    whole, rng, layout = FILES[name](), random.Random(name), LAYOUTS[name]
    refused = 0
    for _ in range(40):
        tensors = _damaged(whole, rng)
        fit = layout.fit(tensors, {})
        try:
            generator = layout.build(tensors, {}, OPTIONS.get(name, {}))
        except ValueError:
            refused += 1
        else:
            assert fit.is_whole
            rows = generator.draw_rows(1, torch.Generator().manual_seed(0))
            assert generator(rows).shape == (1, 3, *generator.image_size)
    assert refused > 20


def _damaged(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """One to three tensors left out, renamed, swapped, cut, reshaped or of other numbers."""
    tensors = dict(tensors)
    for _ in range(rng.randint(1, 3)):
        name, other = rng.choice(list(tensors)), rng.choice(list(tensors))
        value = tensors[name]
        if value.is_complex():
            continue
        match rng.randrange(11):
            case 0:
                del tensors[name]
            case 1:
                tensors[name.replace(rng.choice("0123456789"), rng.choice(["", "7", "99999999999", "-1"]))] = value
            case 2:
                tensors[name], tensors[other] = tensors[other], value
            case 3:
                tensors[name] = value[:0] if value.ndim else value
            case 4:
                tensors[name] = value.reshape(-1)
            case 5:
                tensors[name] = value[None]
            case 6:
                tensors[name] = value.to(rng.choice([torch.int64, torch.bool, torch.float64, torch.bfloat16]))
            case 7:
                tensors[name] = torch.full_like(value, rng.choice([torch.nan, torch.inf]), dtype=torch.float32)
            case 8:
                tensors[name] = torch.tensor(rng.choice([0.0, -1.0, 3e38]))
            case 9:
                tensors[name] = value.to(torch.complex64)
            case 10:
                tensors[name] = torch.zeros([rng.randrange(4) for _ in range(rng.randrange(6))])
    return tensors
