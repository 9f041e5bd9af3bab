"""Checkpoints of ProGAN in three layouts against the paper's forward pass in float64."""

from __future__ import annotations

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_every_name_counts, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

from generators.architectures.progan import ProGAN
from generators.importers.families.progan import LAYOUTS

GANDISSECT, OLD, GENFORCE = LAYOUTS


def _gandissect(units: list[int], z_dim: int = 5, colors: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """A file of CSAILVision/gandissect with these numbers of units at 4 x 4, 8 x 8, ..."""
    draw, tensors, before = Draw(seed), {}, z_dim
    for i in range(1, 2 * len(units) + 1):
        after, kernel = units[(i - 1) // 2], 4 if i == 1 else 3
        tensors[f"layer{i}.conv.weight"] = draw.normal(after, before, kernel, kernel)
        tensors[f"layer{i}.wscale.b"] = draw.normal(after, scale=0.3)
        before = after
    output = f"output_{2 ** (len(units) + 1)}x{2 ** (len(units) + 1)}"
    tensors[f"{output}.conv.weight"] = draw.normal(colors, before, 1, 1)
    tensors[f"{output}.wscale.b"] = draw.normal(colors, scale=0.3)
    return tensors


def _old(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    layers = (len(tensors) - 2) // 2
    named = {f"layer{i}": f"features.{i - 1}" for i in range(1, layers + 1)}
    return {f"{named.get(head, 'output')}.{rest}": tensors[f"{head}.{rest}"] for head, rest in _split(tensors)}


def _genforce(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    layers = (len(tensors) - 2) // 2
    named = {f"layer{i}": f"layer{i - 1}" for i in range(1, layers + 1)}
    ends, last = {"conv.weight": "weight", "wscale.b": "bias"}, f"output{layers // 2 - 1}"
    renamed = {f"{named.get(head, last)}.{ends[rest]}": tensors[f"{head}.{rest}"] for head, rest in _split(tensors)}
    lower = {f"output{grid}.weight": torch.ones(3, 2, 1, 1) for grid in range(layers // 2 - 1)}
    return renamed | lower | {"lod": torch.tensor(0.0)}


def _split(tensors: dict[str, Tensor]) -> list[tuple[str, str]]:
    return [tuple(name.split(".", 1)) for name in tensors]


def _images(tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    """Pixel norm, doubling where the grid grows, convolution with He's constant, offset, leaky ReLU."""
    t, x = doubles(tensors), z.double()[:, :, None, None]
    layers = (len(tensors) - 2) // 2
    for i in range(1, layers + 1):
        weight, offset = t[f"layer{i}.conv.weight"], t[f"layer{i}.wscale.b"]
        x = _pixel_norm(x)
        if i > 1 and i % 2:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        scale = 2**0.5 / (weight.shape[2] * weight.shape[1] ** 0.5)
        x = functional.conv2d(x, weight * scale, padding=3 if i == 1 else 1) + offset[:, None, None]
        x = torch.where(x > 0, x, 0.2 * x)
    (output,) = (name.split(".")[0] for name in t if name.startswith("output") and name.endswith("weight"))
    weight, offset = t[f"{output}.conv.weight"], t[f"{output}.wscale.b"]
    mixed = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0] / weight.shape[1] ** 0.5, _pixel_norm(x))
    return mixed + offset[:, None, None]


def _pixel_norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


@pytest.mark.parametrize("units", [[8, 4], [16, 16, 16, 8], [5, 7, 4]], ids=str)
def test_images_of_gandissects_progan_are_those_of_the_paper(units: list[int], tmp_path) -> None:
    tensors = _gandissect(units)
    generator = built(GANDISSECT, tensors)
    assert isinstance(generator, ProGAN)
    assert generator.image_size == (2 ** (len(units) + 1),) * 2
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z))
    assert_contract(generator, tmp_path)


def test_all_three_layouts_make_the_same_network() -> None:
    tensors = _gandissect([8, 4, 4])
    wanted = built(GANDISSECT, tensors).fingerprint
    assert built(OLD, _old(tensors)).fingerprint == wanted
    assert built(GENFORCE, _genforce(tensors)).fingerprint == wanted


def test_every_number_of_the_file_is_in_the_network_bit_for_bit() -> None:
    tensors = _gandissect([8, 4])
    state = built(GANDISSECT, tensors).state_dict()
    back = {f"layer{i}.conv.weight": state[f"layer{i}.1.weight"] / (4 if i == 1 else 1) for i in range(1, 5)}
    back |= {f"layer{i}.wscale.b": state[f"layer{i}.1.bias"] for i in range(1, 5)}
    back |= {"output_8x8.conv.weight": state["output.1.weight"], "output_8x8.wscale.b": state["output.1.bias"]}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_a_file_of_gray_images_makes_gray_ones() -> None:
    tensors = _gandissect([8, 4], colors=1)
    generator = built(GANDISSECT, tensors)
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z).expand(-1, 3, -1, -1))


def test_every_name_of_each_layout_counts() -> None:
    tensors = _gandissect([4, 3])
    assert_every_name_counts(GANDISSECT, tensors)
    assert_every_name_counts(OLD, _old(tensors))
    genforce = _genforce(tensors)
    optional = ["lod", "output0.weight"]
    assert_every_name_counts(GENFORCE, genforce, optional)


def test_what_is_wrong_is_said() -> None:
    tensors = _gandissect([8, 4, 4])
    shorter = {name: value for name, value in tensors.items() if not name.startswith(("layer5", "layer6"))}
    assert_says(GANDISSECT, shorter, ["output_8x8.conv.weight", "missing", "output_16x16.conv.weight", "unexpected"])
    gap = {name: value for name, value in tensors.items() if not name.startswith("layer3")}
    assert_says(GANDISSECT, gap, ["missing layer3.conv.weight, layer3.wscale.b"])
    uneven = {**tensors, "layer4.conv.weight": torch.ones(5, 4, 3, 3)}
    assert_says(GANDISSECT, uneven, ["layer4.conv.weight [5, 4, 3, 3]", "[4, 4, 3, 3]"])
    with pytest.raises(ValueError, match=r"lod must be 0, as in a fully grown network; got 1.5"):
        GENFORCE.build({**_genforce(tensors), "lod": torch.tensor(1.5)}, {}, {})
    assert_says(GENFORCE, {"input0.weight": torch.ones(4, 3, 1, 1), "layer0.weight": torch.ones(1)}, ["discriminator"])
    assert_says(GANDISSECT, tensors, ["no options", "size"], size=64)
    assert not GANDISSECT.fit(_genforce(tensors), {}).is_whole
    assert not GENFORCE.fit(tensors, {}).is_whole
    assert_says(GANDISSECT, _gandissect([4]), ["size", "got 4"])
