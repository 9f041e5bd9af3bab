"""Checkpoints of pytorch/examples' DCGAN against its forward pass in float64."""

from __future__ import annotations

import pytest
import torch
from foreign import Draw, assert_agree, assert_contract, assert_says, built, doubles
from torch import Tensor
from torch.nn import functional

from generators import DCGAN
from generators.architectures.stack import Stack
from generators.importers.families.dcgan import LAYOUTS

(DCGAN_LAYOUT,) = LAYOUTS


def _netg(units: list[int], kernels: list, seed: int = 0) -> dict[str, Tensor]:
    """A `netG` whose up-convolutions go from ``units[i]`` to ``units[i + 1]``."""
    draw, tensors, last = Draw(seed), {}, len(kernels) - 1
    for i, kernel in enumerate(kernels):
        size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        tensors[f"main.{3 * i}.weight"] = draw.normal(units[i], units[i + 1], *size, scale=0.5)
        if i < last:
            tensors |= draw.norm(f"main.{3 * i + 1}", units[i + 1])
    return tensors


def _images(tensors: dict[str, Tensor], z: Tensor, strides: list, paddings: list, more: list | None = None) -> Tensor:
    """Up-convolution as the sum of shifted kernels, batch norm and ReLU; tanh at the end."""
    t, x = doubles(tensors), z.double()[:, :, None, None]
    for i, (stride, padding) in enumerate(zip(strides, paddings, strict=True)):
        x = _spread(x, t[f"main.{3 * i}.weight"], stride, padding, more[i] if more else 0)
        x = x + t[f"main.{3 * i}.bias"][:, None, None] if f"main.{3 * i}.bias" in t else x
        if i < len(strides) - 1:
            scale, offset, mean, var = (
                t[f"main.{3 * i + 1}.{name}"][:, None, None]
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            x = torch.relu((x - mean) / (var + 1e-5).sqrt() * scale + offset)
    return torch.tanh(x)


def _spread(x: Tensor, weight: Tensor, stride, padding, more) -> Tensor:
    """Each pixel times the kernel, added at stride times its position; then the padding is cropped."""
    (sy, sx), (py, px), (my, mx) = ((each, each) if isinstance(each, int) else each for each in (stride, padding, more))
    height, width = weight.shape[2:]
    batch, _, h, w = x.shape
    full = torch.zeros(batch, weight.shape[1], (h - 1) * sy + height + my, (w - 1) * sx + width + mx).double()
    for row in range(h):
        for column in range(w):
            block = torch.einsum("bi,iokl->bokl", x[:, :, row, column], weight)
            full[:, :, row * sy : row * sy + height, column * sx : column * sx + width] += block
    return full[:, :, py : full.shape[2] - py, px : full.shape[3] - px]


@pytest.mark.parametrize("ups", [3, 5])
def test_a_dcgan_of_any_depth_gives_the_images_of_the_definition(ups: int, tmp_path) -> None:
    tensors = _netg([7, *[2**k for k in range(ups - 1, 0, -1)], 3], [4] * ups)
    generator = built(DCGAN_LAYOUT, tensors)
    assert isinstance(generator, DCGAN)
    assert generator.image_size == (2 ** (ups + 1), 2 ** (ups + 1))
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z, [1] + [2] * (ups - 1), [0] + [1] * (ups - 1)))
    assert_contract(generator, tmp_path)


def test_every_number_of_the_file_is_in_the_network_bit_for_bit() -> None:
    tensors = _netg([7, 8, 4, 3], [4, 4, 4])
    state = built(DCGAN_LAYOUT, tensors).state_dict()
    back = {f"main.{3 * i}.weight": state[f"layer{i + 1}.0.weight"] for i in range(2)}
    back |= {"main.6.weight": state["output.0.weight"]}
    for i in range(2):
        for name in ("weight", "bias", "running_mean", "running_var"):
            back[f"main.{3 * i + 1}.{name}"] = state[f"layer{i + 1}.1.{name}"]
    assert back.keys() == {name for name in tensors if "num_batches" not in name}
    assert all(torch.equal(tensors[name], value) for name, value in back.items())


def test_units_that_do_not_halve_and_one_color_make_a_stack(tmp_path) -> None:
    tensors = _netg([5, 6, 4, 5, 1], [4, 4, 4, 4])
    generator = built(DCGAN_LAYOUT, tensors)
    assert isinstance(generator, Stack)
    z = generator.sample_z(2)
    gray = _images(tensors, z, [1, 2, 2, 2], [0, 1, 1, 1])
    assert_agree(generator(z), gray.expand(-1, 3, -1, -1))
    assert_contract(generator, tmp_path)


def test_kernels_of_all_usual_sizes_have_their_usual_strides() -> None:
    tensors = _netg([5, 4, 3, 3, 3, 3, 2, 3], [3, 2, 3, 5, 6, 1, 1])
    generator = built(DCGAN_LAYOUT, tensors)
    z = generator.sample_z(2)
    wanted = _images(tensors, z, [1, 2, 1, 2, 2, 1, 1], [0, 0, 1, 2, 2, 0, 0], [0, 0, 0, 1, 0, 0, 0])
    assert generator.image_size == (24, 24)
    assert_agree(generator(z), wanted)


def test_strides_and_paddings_can_be_given_also_for_other_grids_than_squares(tmp_path) -> None:
    tensors = _netg([5, 4, 3, 3], [(4, 5), 5, 1])
    options = {"strides": [1, [2, 3], 1], "paddings": [0, 1, [1, 2]]}
    generator = DCGAN_LAYOUT.build(tensors, {}, options)
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z, [1, (2, 3), 1], [0, 1, (1, 2)]))
    assert_contract(generator, tmp_path)


def test_28_pixels_by_a_padding_of_the_last_convolution() -> None:
    tensors = _netg([5, 4, 3, 3, 1], [4, 4, 4, 1])
    generator = DCGAN_LAYOUT.build(tensors, {}, {"strides": [1, 2, 2, 2], "paddings": [0, 1, 1, 2]})
    assert generator.image_size == (27, 27)
    tensors = _netg([5, 4, 3, 3, 1], [4, 4, 4, 1])
    generator = DCGAN_LAYOUT.build(
        tensors, {}, {"strides": [1, 2, 2, 2], "paddings": [0, 1, 1, 2], "output_paddings": [0, 0, 0, 1]}
    )
    assert generator.image_size == (28, 28)


def test_the_first_grid_may_be_cut_by_a_padding() -> None:
    tensors = _netg([5, 4, 3], [4, 4])
    generator = DCGAN_LAYOUT.build(tensors, {}, {"strides": [1, 2], "paddings": [1, 1]})
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z, [1, 2], [1, 1]))
    first = functional.conv_transpose2d(z[:, :, None, None], tensors["main.0.weight"], padding=1)
    (matrix,) = generator.latent_maps()
    torch.testing.assert_close(z @ matrix.T, first.flatten(1))


def test_offsets_of_convolutions_are_kept() -> None:
    tensors, draw = _netg([5, 6, 4, 3], [4, 4, 4]), Draw(1)
    tensors |= {f"main.{i}.bias": draw.normal(units) for i, units in ((0, 6), (3, 4), (6, 3))}
    generator = built(DCGAN_LAYOUT, tensors)
    z = generator.sample_z(2)
    assert_agree(generator(z), _images(tensors, z, [1, 2, 2], [0, 1, 1]))


def test_numbers_of_batches_may_be_left_out_and_halves_are_made_whole() -> None:
    tensors = _netg([5, 6, 3], [4, 4])
    del tensors["main.1.num_batches_tracked"]
    halves = {name: value.half() for name, value in tensors.items()}
    assert built(DCGAN_LAYOUT, halves)(torch.ones(1, 5)).dtype == torch.float32


def test_what_is_missing_too_many_or_of_another_shape_is_named() -> None:
    tensors = _netg([5, 6, 4, 3], [4, 4, 4])
    for name in tensors:
        if "num_batches" not in name and name != "main.6.weight":  # without its end it is a shorter network's file
            assert_says(DCGAN_LAYOUT, {key: tensors[key] for key in tensors if key != name}, [name, "missing"])
            assert_says(DCGAN_LAYOUT, {**tensors, name: torch.zeros(0, 3)}, [name])
    assert_says(DCGAN_LAYOUT, {**tensors, "main.8.weight": torch.zeros(1)}, ["main.8.weight", "unexpected"])
    assert_says(DCGAN_LAYOUT, {**tensors, "main.4.weight": torch.ones(9)}, ["main.4.weight", "[9]", "[4]"])
    assert_says(DCGAN_LAYOUT, {**tensors, "main.3.weight": torch.ones(9)}, ["main.3.weight", "[9]", "4 nonempty axes"])
    assert_says(DCGAN_LAYOUT, {**tensors, "main.6.weight": torch.ones(4, 5, 4, 4)}, ["main.6.weight"])
    with pytest.raises(ValueError, match=r"main.3.weight .* NaN or infinity"):
        DCGAN_LAYOUT.build({**tensors, "main.3.weight": torch.full((6, 4, 4, 4), torch.inf)}, {}, {})
    assert_says(DCGAN_LAYOUT, _netg([5, 6, 3], [4, 7]), ["7 x 7", "strides and paddings"])
    assert_says(DCGAN_LAYOUT, tensors, ["strides", "list of 3"], strides=[1, 2], paddings=[0, 0, 0])
    assert_says(DCGAN_LAYOUT, tensors, ["size", "paddings"], size=64)
    assert_says(DCGAN_LAYOUT, {}, ["main.0.weight"])


def test_a_discriminator_is_called_one() -> None:
    draw = Draw(0)
    netd = {"main.0.weight": draw.normal(4, 3, 4, 4), "main.2.weight": draw.normal(8, 4, 4, 4)}
    netd |= draw.norm("main.3", 8) | {"main.5.weight": draw.normal(1, 8, 4, 4)}
    assert_says(DCGAN_LAYOUT, netd, ["discriminator"])


@pytest.mark.parametrize(
    "stage",
    [
        {"units": 0},
        {"kernel": 0},
        {"stride": [1, 0]},
        {"padding": -1},
        {"padding": 9},
        {"output_padding": 2},
        {"linear": True},
    ],
    ids=str,
)
def test_a_stack_of_impossible_stages_is_refused_when_it_is_made(stage: dict) -> None:
    usual = {"units": 4, "kernel": 4, "stride": 2, "padding": 1}
    last = {"units": 3, "kernel": 4, "stride": 2, "padding": 1}
    assert Stack(5, [{"units": 4, "kernel": 4}, usual, last]).image_size == (16, 16)
    with pytest.raises(ValueError):
        Stack(5, [{"units": 4, "kernel": 4}, usual | stage, last])
