"""Checkpoints of PyTorch-GAN against their forward pass in float64."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor

from generators.architectures.resize import ResizeConv
from generators.importers.families.pytorch_gan import LAYOUTS

PLAIN, CLASSES = LAYOUTS


def pytorch_gan(
    units: list[int], classes: int = 0, z_dim: int = 5, side: int = 2, colors: int = 3, chain: str = "conv_blocks"
) -> dict[str, Tensor]:
    """A `Generator` of dcgan or, if there are classes, of acgan."""
    draw, t = Draw(0), {}
    if classes:
        t["label_emb.weight"] = draw.normal(classes, z_dim)
    t |= {"l1.0.weight": draw.normal(units[0] * side**2, z_dim), "l1.0.bias": draw.normal(units[0] * side**2)}
    t |= draw.norm(f"{chain}.0", units[0])
    for place, (before, after) in enumerate(pairwise(units)):
        t[f"{chain}.{4 * place + 2}.weight"] = draw.normal(after, before, 3, 3, scale=0.5)
        t[f"{chain}.{4 * place + 2}.bias"] = draw.normal(after)
        t |= draw.norm(f"{chain}.{4 * place + 3}", after)
    last = 4 * len(units) - 3
    t[f"{chain}.{last}.weight"] = draw.normal(colors, units[-1], 3, 3, scale=0.3)
    return t | {f"{chain}.{last}.bias": draw.normal(colors, scale=0.3)}


def _images(tensors: dict[str, Tensor], z: Tensor, label: Tensor | None = None, chain: str = "conv_blocks") -> Tensor:
    """Linear, norm, then doubling, convolution, norm and leaky ReLU again and again; convolution and tanh."""
    t, x = doubles(tensors), z.double()
    if label is not None:
        x = x * (label.double() @ t["label_emb.weight"])
    x = x @ t["l1.0.weight"].T + t["l1.0.bias"]
    units = len(t[f"{chain}.0.weight"])
    side = round((x.shape[1] / units) ** 0.5)
    x = _normal(t, f"{chain}.0", x.reshape(len(z), units, side, side), 1e-5)
    place = 2
    while f"{chain}.{place + 1}.running_var" in t:
        x = _convolved(
            t, f"{chain}.{place}", x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).flatten(4).flatten(2, 3)
        )
        x = _normal(t, f"{chain}.{place + 1}", x, 0.8)
        x = torch.where(x > 0, x, 0.2 * x)
        place += 4
    return torch.tanh(_convolved(t, f"{chain}.{place - 1}", x))


def _normal(t: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    scale, offset, mean, var = (
        t[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (var + eps).sqrt() * scale + offset


def _convolved(t: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1))
    shifted = (
        torch.einsum("oi,bihw->bohw", t[f"{name}.weight"][:, :, i, j], wide[:, :, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )
    return sum(shifted) + t[f"{name}.bias"][:, None, None]


@pytest.mark.parametrize("chain", ["conv_blocks", "conv_model"])
@pytest.mark.parametrize("units", [[6, 5, 4], [4, 3, 4, 3]], ids=str)
def test_images_of_its_dcgan(units: list[int], chain: str, tmp_path) -> None:
    t = pytorch_gan(units, chain=chain)
    generator = built(PLAIN, t)
    assert isinstance(generator, ResizeConv)
    assert generator.image_size == (2 ** len(units),) * 2
    z = generator.sample_z(3)
    assert_agree(generator(z), _images(t, z, chain=chain))
    assert_contract(generator, tmp_path)
    assert_every_name_counts(PLAIN, {name: t[name] for name in t if "num_batches" not in name})


def test_images_of_its_acgan_are_those_of_the_chosen_class(tmp_path) -> None:
    t = pytorch_gan([6, 5, 4], classes=3)
    assert CLASSES.fit(t, {}).is_whole
    choices = {0: [1, 0, 0], 2: [0, 0, 1], (0.25, 0.0, 0.75): [0.25, 0, 0.75]}
    chosen = [CLASSES.build(t, {}, {"c": list(c) if isinstance(c, tuple) else c}) for c in choices]
    for generator, label in zip(chosen, choices.values(), strict=True):
        z = generator.sample_z(2)
        assert_agree(generator(z), _images(t, z, torch.tensor(label)))
    assert_contract(chosen[1], tmp_path)
    for wrong in ({}, {"c": 3}, {"c": True}, {"c": [1, 0]}):
        with pytest.raises(ValueError, match=r"3 classes: set the option c .* \[0, 2\]"):
            CLASSES.build(t, {}, wrong)


def test_gray_images_have_three_equal_channels() -> None:
    t = pytorch_gan([6, 5, 4], colors=1)
    generator = built(PLAIN, t)
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(t, z).expand(-1, 3, -1, -1))


def test_what_is_wrong_is_named() -> None:
    t = pytorch_gan([6, 5, 4])
    assert_says(PLAIN, {**t, "l1.0.weight": torch.ones(23, 5)}, ["l1.0.weight [23, 5]"])
    assert_says(PLAIN, {**t, "label_emb.weight": torch.ones(3, 5)}, ["label_emb.weight", "unexpected"])
    assert_says(CLASSES, {**t, "label_emb.weight": torch.ones(3, 4)}, ["label_emb.weight [3, 4]"], c=0)
    critic = {"model.0.weight": torch.ones(16, 3, 3, 3), "adv_layer.0.weight": torch.ones(1, 128)}
    assert_says(PLAIN, critic, ["discriminator"])


@pytest.mark.parametrize("wrong", [{"units": [4]}, {"units": [4, 0]}, {"side": 0}, {"slope": 1.5}], ids=str)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="units must be at least two numbers"):
        ResizeConv(**{"z_dim": 3, "units": [4, 3], **wrong})
