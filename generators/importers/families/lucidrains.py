"""StyleGAN2 and lightweight GAN of lucidrains; in the StyleGAN2, ``S`` is the mapping and ``G`` the synthesis.

Weights are stored as used, except for a factor on those of the mapping, which is not in the file. The input of the
mapping has length 1 there, and a root mean square of 1 here. A convolution of the constant is folded into the constant.
The project's images are in [0, 1]. It draws new uniform noise in [0, 1] for each image, and each layer uses a corner of
it; here noise is drawn once. Of the lightweight GAN, only versions that double grids by pixel shuffling are supported.

Source: Karras et al. 2020, arXiv 1912.04958; Liu et al. 2021, arXiv 2101.04775; names and constants:
github.com/lucidrains/stylegan2-pytorch and github.com/lucidrains/lightweight-gan.
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
from ...architectures.lightweight import EXCITED, HEADS, LightweightGAN
from ...architectures.stylegan import MAX_DEPTH as MAPPING_DEPTH
from ...architectures.stylegan2_bilinear import BilinearStyleGAN2
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import (
    MAX_DEPTH,
    ImportPlan,
    TensorSource,
    copy_tensor,
    fill_tensor,
    find_numbers,
    layout_of,
    shape_of,
    spread_gray,
)
from .conditional_norms import Norms
from .spectral_norm import map_sources
from .style_parts import RATE, average_w, draw_noise, mapping_settings, reshape_tensor

MAPPING_RATE = 0.1
"""Default factor on the weights of the project's mapping; an option can override it."""
OPTION = "lr_mlp"
DEPTH = 4
"""Number of grids assumed for a file without any, to report missing names."""


def _plan(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    depth = max(find_numbers(tensors, r"G\.blocks\.(\d+)\.", MAX_DEPTH), default=DEPTH - 1) + 1
    last = max(find_numbers(tensors, r"S\.net\.(\d+)\.", 2 * MAPPING_DEPTH - 2), default=14)
    dense = [f"S.net.{index}" for index in range(0, last + 1, 2)]
    sources = _mapping_sources(dense, options.get(OPTION, MAPPING_RATE)) | {"constant": _constant(tensors)}
    for level in range(depth):
        block = f"G.blocks.{level}"
        for part in (1, 2):
            sources |= _layer_sources(f"{block}.{{}}{part}", 2 * level + part, depth)
        target = "output" if level == depth - 1 else f"to_rgb.{4 * 2**level}"
        sources |= _image_sources(f"{block}.to_rgb", target, is_first=level == 0)
    filters = [name for name in tensors if name.endswith(".to_rgb.upsample.1.f")]

    def settings() -> dict[str, Any]:
        units = [shape_of(tensors, f"G.blocks.{level}.conv2.weight", 4)[0] for level in range(depth)]
        sizes = {"size": 4 * 2 ** (depth - 1), "blur": bool(filters)} | width_of(units)
        return sizes | mapping_settings(tensors, dense)

    def check() -> None:
        rate = options.get(OPTION, MAPPING_RATE)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise ValueError(f"{OPTION} must be a number above 0; got {rate!r}")
        _check_filters(tensors, filters)

    return ImportPlan(BilinearStyleGAN2, settings, sources, filters, check, average_w)


def _check_filters(tensors: Tensors, filters: list[str]) -> None:
    """Check that filters are [1, 2, 1].

    Raises:
        ValueError: If the file contains another filter.
    """
    if any(tensors[name].shape != (3,) or tensors[name].tolist() != [1, 2, 1] for name in filters):
        raise ValueError("upsampled grids must be filtered with [1, 2, 1]; the file contains another filter")


def _mapping_sources(dense: list[str], rate: Any) -> dict[str, TensorSource]:
    """Return the sources of the mapping network; the input of the project's first layer has length 1."""
    factor = rate / RATE if isinstance(rate, int | float) else 1.0

    def weight(x: Tensor, is_first: bool) -> Tensor:
        return x * (factor / SQRT2 * (1 if is_first else math.sqrt(x.shape[1])))

    sources = {"mapping.w_avg": TensorSource((f"{dense[-1]}.bias",), torch.zeros_like)}
    for index, name in enumerate(dense, start=1):
        target = f"mapping.network.{index}.0"
        sources[f"{target}.weight"] = TensorSource((f"{name}.weight",), partial(weight, is_first=index == 1))
        sources[f"{target}.bias"] = copy_tensor(f"{name}.bias", factor)
    return sources


def _constant(tensors: Tensors) -> TensorSource:
    if "G.initial_conv.weight" not in tensors:
        return copy_tensor("G.initial_block")
    names = ("G.initial_block", "G.initial_conv.weight", "G.initial_conv.bias")
    return TensorSource(names, partial(functional.conv2d, padding=1))


def _layer_sources(source: str, number: int, depth: int) -> dict[str, TensorSource]:
    """Return the sources of a layer.

    Args:
        source: Pattern of the names of its parts in the file.
        number: Number of the layer in the generator, from 1.
        depth: Number of grids of the network.
    """
    target, side = f"layer{number}", 4 * 2 ** ((number - 1) // 2)
    return {
        f"{target}.weight": copy_tensor(f"{source.format('conv')}.weight"),
        f"{target}.bias": copy_tensor(f"{source.format('to_noise')}.bias"),
        f"{target}.noise_strength": TensorSource((f"{source.format('to_noise')}.weight",), lambda x: x.squeeze(1)),
        f"{target}.noise": fill_tensor(lambda: _draw(4 * 2 ** (depth - 1))[:, :, :side, :side]),
        **_affine_sources(source.format("to_style"), target),
    }


def _draw(side: int) -> Tensor:
    """Return the noise from which each layer uses a corner."""
    rng = make_rng(0, "noise of imported layers")
    return torch.rand(1, 1, side, side, generator=rng, dtype=torch.float32, device="cpu")


def _affine_sources(source: str, target: str) -> dict[str, TensorSource]:
    return {
        f"{target}.affine.weight": TensorSource((f"{source}.weight",), lambda x: x * math.sqrt(x.shape[1])),
        f"{target}.affine.bias": TensorSource((f"{source}.bias",), lambda x: x + 1),
    }


def _image_sources(source: str, target: str, is_first: bool) -> dict[str, TensorSource]:
    """Return the sources of a grid's image, scaled from [0, 1] to [-1, 1]; the first one subtracts 1."""
    weight = f"{source}.conv.weight"
    return {
        f"{target}.weight": copy_tensor(weight, 2.0),
        f"{target}.bias": TensorSource((weight,), lambda x: torch.full_like(x[:3, 0, 0, 0], -1.0 if is_first else 0.0)),
        **_affine_sources(f"{source}.to_style", target),
    }


def _plan_lightweight(tensors: Tensors, _: Facts, __: ImportOptions) -> ImportPlan:
    last = max(find_numbers(tensors, r"layers\.(\d+)\.", MAX_DEPTH - 1), default=DEPTH - 1)
    numbers = range(2, last + 3)
    attention = [number for number in numbers if f"layers.{number - 2}.2.norm.g" in tensors]
    excited = [number for number in EXCITED if number in numbers]
    sources = map_sources(tensors, "initial_conv.0", "layer1.0")
    sources |= Norms(tensors, 1e-5).sources("initial_conv.1", "layer1.1")
    for number in numbers:
        sources |= _doubling_sources(tensors, f"layers.{number - 2}.0", number)
        if number in attention:
            sources |= _attention_sources(f"layers.{number - 2}.2", f"layer{number}.0")
        if number + LightweightGAN.distance in excited:
            excitation = f"excitations.{number + LightweightGAN.distance}"
            for source, target in (("to_k", "weigh"), ("net.0", "maps.0"), ("net.2", "maps.2")):
                sources |= map_sources(tensors, f"layers.{number - 2}.1.{source}", f"{excitation}.{target}")
    sources |= {
        "output.weight": TensorSource(("out_conv.weight",), lambda x: spread_gray("").make(2 * x)),
        "output.bias": TensorSource(("out_conv.bias",), lambda x: spread_gray("").make(2 * x - 1)),
    }

    def settings() -> dict[str, Any]:
        z_dim, rows = shape_of(tensors, "initial_conv.0.weight", 4)[:2]
        layers = [shape_of(tensors, f"layers.{number - 2}.0.2.1.weight", 4)[0] // 2 for number in numbers]
        middle = [shape_of(tensors, f"layers.{number - 5}.1.net.0.weight", 4)[0] for number in excited]
        heads = [shape_of(tensors, f"layers.{number - 2}.2.fn.to_q.weight", 4)[0] // HEADS for number in attention]
        extra = {"attention": attention, "head_dim": heads[0]} if attention else {}
        return {"z_dim": z_dim, "units": [rows // 2, *layers], "middle": middle} | extra

    filters = [name for name in tensors if name.endswith(".0.1.f")]
    counts = [name for name in tensors if name.endswith(".num_batches_tracked")]
    check = partial(_check_filters, tensors, filters)
    return ImportPlan(LightweightGAN, settings, sources, [*filters, *counts], check)


def _doubling_sources(tensors: Tensors, source: str, number: int) -> dict[str, TensorSource]:
    target = f"layer{number}"
    return {
        **map_sources(tensors, f"{source}.0.net.0", f"{target}.1"),
        **map_sources(tensors, f"{source}.2.1", f"{target}.6"),
        f"{target}.7.strength": reshape_tensor(f"{source}.3.weight", 0),
        f"{target}.7.noise": draw_noise(number, 4 * 2 ** (number - 1)),
        **Norms(tensors, 1e-5).sources(f"{source}.4", f"{target}.8"),
    }


def _attention_sources(source: str, target: str) -> dict[str, TensorSource]:
    parts = {
        "query": "to_lin_q",
        "spread": "to_lin_kv.net.0",
        "key_value": "to_lin_kv.net.1",
        "near_query": "to_q",
        "near_key_value": "to_kv",
        "mix": "to_out",
    }
    sources = {f"{target}.{part}.weight": copy_tensor(f"{source}.fn.{name}.weight") for part, name in parts.items()}
    return sources | {
        f"{target}.mix.bias": copy_tensor(f"{source}.fn.to_out.bias"),
        f"{target}.scale": TensorSource((f"{source}.norm.g",), lambda x: x.flatten()),
        f"{target}.shift": TensorSource((f"{source}.norm.b",), lambda x: x.flatten()),
    }


LAYOUTS = (
    layout_of("lucidrains StyleGAN2", _plan, [OPTION]),
    layout_of("lucidrains lightweight GAN", _plan_lightweight),
)
