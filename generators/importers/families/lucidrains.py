"""StyleGAN2 as lucidrains/stylegan2-pytorch has it: ``S`` is the mapping, ``G`` the synthesis.

Weights are as they are used, but for a factor on those of the mapping, which the file does not say. What is given to
the mapping has length 1 there, and a root mean square of 1 here. A convolution of the constant is a constant, too.
Images are in [0, 1] there. New noise, even in [0, 1], is drawn for each image, of which each layer sees a corner; here
it is drawn once.

Source: Karras et al. 2020, arXiv 1912.04958; the names and constants: github.com/lucidrains/stylegan2-pytorch.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gandissect.core.sampling import make_rng

from ...architectures.blocks import SQRT2, width_of
from ...architectures.stylegan2_bilinear import BilinearStyleGAN2
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, fill_tensor, find_numbers, layout_of, shape_of
from .style_parts import RATE, average_w, mapping_settings

MAPPING_RATE = 0.1
"""Factor on the weights of the mapping there, unless the option says another."""
OPTION = "lr_mlp"
DEPTH = 4
"""Grids of a file that has none, to say what is missing."""


def _plan(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    depth = max(find_numbers(tensors, r"G\.blocks\.(\d+)\."), default=DEPTH - 1) + 1
    last = max(find_numbers(tensors, r"S\.net\.(\d+)\."), default=14)
    dense = [f"S.net.{index}" for index in range(0, last + 1, 2)]
    sources = _mapping_sources(dense, options.get(OPTION, MAPPING_RATE)) | {"constant": _constant(tensors)}
    for level in range(depth):
        block = f"G.blocks.{level}"
        for part in (1, 2):
            sources |= _layer_sources(f"{block}.{{}}{part}", 2 * level + part, depth)
        own = "output" if level == depth - 1 else f"to_rgb.{4 * 2**level}"
        sources |= _image_sources(f"{block}.to_rgb", own, is_first=level == 0)
    filters = [name for name in tensors if name.endswith(".to_rgb.upsample.1.f")]

    def settings() -> dict[str, Any]:
        units = [shape_of(tensors, f"G.blocks.{level}.conv2.weight", 4)[0] for level in range(depth)]
        sizes = {"size": 4 * 2 ** (depth - 1), "blur": bool(filters)} | width_of(units)
        return sizes | mapping_settings(tensors, dense)

    def check() -> None:
        rate = options.get(OPTION, MAPPING_RATE)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise ValueError(f"{OPTION} must be a number above 0; got {rate!r}")
        if any(tensors[name].shape != (3,) or tensors[name].tolist() != [1, 2, 1] for name in filters):
            raise ValueError("enlarged images are filtered with [1, 2, 1] in this layout; the file has another filter")

    return ImportPlan(BilinearStyleGAN2, settings, sources, filters, check, average_w)


def _mapping_sources(dense: list[str], rate: Any) -> dict[str, TensorSource]:
    """Return the sources of the mapping network; the first layer is given vectors of length 1 there."""
    factor = rate / RATE if isinstance(rate, int | float) else 1.0

    def weight(x: Tensor, is_first: bool) -> Tensor:
        return x * (factor / SQRT2 * (1 if is_first else math.sqrt(x.shape[1])))

    sources = {"mapping.w_avg": TensorSource((f"{dense[-1]}.bias",), torch.zeros_like)}
    for index, name in enumerate(dense, start=1):
        own = f"mapping.network.{index}.0"
        sources[f"{own}.weight"] = TensorSource((f"{name}.weight",), partial(weight, is_first=index == 1))
        sources[f"{own}.bias"] = copy_tensor(f"{name}.bias", factor)
    return sources


def _constant(tensors: Tensors) -> TensorSource:
    if "G.initial_conv.weight" not in tensors:
        return copy_tensor("G.initial_block")
    names = ("G.initial_block", "G.initial_conv.weight", "G.initial_conv.bias")
    return TensorSource(names, partial(functional.conv2d, padding=1))


def _layer_sources(theirs: str, number: int, depth: int) -> dict[str, TensorSource]:
    """Return the sources of a layer.

    Args:
        theirs: Pattern of the names of its parts.
        number: Of the layer here, from 1.
        depth: How many grids the network has.
    """
    own, side = f"layer{number}", 4 * 2 ** ((number - 1) // 2)
    return {
        f"{own}.weight": copy_tensor(f"{theirs.format('conv')}.weight"),
        f"{own}.bias": copy_tensor(f"{theirs.format('to_noise')}.bias"),
        f"{own}.noise_strength": TensorSource((f"{theirs.format('to_noise')}.weight",), lambda x: x.squeeze(1)),
        f"{own}.noise": fill_tensor(lambda: _draw(4 * 2 ** (depth - 1))[:, :, :side, :side]),
        **_affine_sources(theirs.format("to_style"), own),
    }


def _draw(side: int) -> Tensor:
    """Return the noise of which each layer sees a corner."""
    rng = make_rng(0, "noise of imported layers")
    return torch.rand(1, 1, side, side, generator=rng, dtype=torch.float32, device="cpu")


def _affine_sources(theirs: str, own: str) -> dict[str, TensorSource]:
    return {
        f"{own}.affine.weight": TensorSource((f"{theirs}.weight",), lambda x: x * math.sqrt(x.shape[1])),
        f"{own}.affine.bias": TensorSource((f"{theirs}.bias",), lambda x: x + 1),
    }


def _image_sources(theirs: str, own: str, is_first: bool) -> dict[str, TensorSource]:
    """Return the sources of a grid's image, from [0, 1] to [-1, 1]: the first takes 1 off all."""
    weight = f"{theirs}.conv.weight"
    return {
        f"{own}.weight": copy_tensor(weight, 2.0),
        f"{own}.bias": TensorSource((weight,), lambda x: torch.full_like(x[:3, 0, 0, 0], -1.0 if is_first else 0.0)),
        **_affine_sources(f"{theirs}.to_style", own),
    }


LAYOUTS = (layout_of("lucidrains StyleGAN2", _plan, [OPTION]),)
