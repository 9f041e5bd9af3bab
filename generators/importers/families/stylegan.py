"""StyleGAN of genforce and rosinality.

Both store weights as drawn from N(0, 1). genforce doubles grids from 128 x 128 on in one step, by a transposed
convolution with a flipped kernel. rosinality scales all weights with a ReLU's gain, has no separate learning rate
factor for the mapping network, adds a convolution's bias before the blur, adds 1e-5 to variances, and stores neither
noise nor the mean w; the two layers of a grid share their noise. Its files always contain the layers up to 1024 x 1024
pixels. The bias of an image layer that was never trained is 0, so the largest layer with another bias determines the
size of the images, unless a size is given.

Source: Karras et al. 2019, arXiv 1812.04948; names: github.com/genforce/genforce and
github.com/rosinality/style-based-gan-pytorch.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...architectures.blocks import SQRT2, width_of
from ...architectures.stylegan import StyleGAN
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, find_numbers, layout_of, shape_of, spread_gray
from .progan import check_grown
from .style_parts import (
    RATE,
    average_w,
    check_filters,
    draw_noise,
    find_filters,
    mapping_settings,
    mapping_sources,
    mean_w_source,
    noise_sources,
    reshape_tensor,
)

DEPTH = 4
"""Number of doublings assumed for a file without layers, to report missing names."""
FILTER = (1.0, 2.0, 1.0)
FUSED_FROM = 128
"""Smallest height of grids that are doubled in one step."""
ROSINALITY_EPS = 1e-5


def _plan_genforce(tensors: Tensors, facts: Facts, _: ImportOptions) -> ImportPlan:
    numbers = find_numbers(tensors, r"synthesis\.layer(\d+)\.")
    depth = numbers[-1] // 2 if numbers else DEPTH
    names = [f"synthesis.layer{index}" for index in range(2 * depth + 2)]
    last = max(find_numbers(tensors, r"mapping\.dense(\d+)\."), default=7)
    dense = [f"mapping.dense{index}" for index in range(last + 1)]
    output = f"synthesis.output{depth}"
    sources = mapping_sources(dense, lambda x: x, lambda x: x)
    sources["mapping.w_avg"], finish = mean_w_source(tensors, facts, "truncation.w_avg", dense)
    sources |= noise_sources(tensors, [f"{name}.apply_noise.noise" for name in names], _sides(depth))
    sources |= {"constant": reshape_tensor("synthesis.layer0.const", 4)}
    sources |= {f"output.{leaf}": spread_gray(f"{output}.{leaf}") for leaf in ("weight", "bias")}
    for index, name in enumerate(names):
        if index:
            is_flipped = index % 2 == 0 and 4 * 2 ** (index // 2) >= FUSED_FROM
            weight = (
                TensorSource((f"{name}.weight",), lambda x: x.flip(2, 3))
                if is_flipped
                else copy_tensor(f"{name}.weight")
            )
            sources[_convolution(index)] = weight
        sources |= {
            f"layer{index + 1}.bias": copy_tensor(f"{name}.bias"),
            f"layer{index + 1}.noise_strength": copy_tensor(f"{name}.apply_noise.weight"),
            f"layer{index + 1}.affine.weight": copy_tensor(f"{name}.style.weight"),
            f"layer{index + 1}.affine.bias": copy_tensor(f"{name}.style.bias"),
        }

    def settings() -> dict[str, Any]:
        units = [shape_of(tensors, f"synthesis.layer{2 * level + 1}.weight", 4)[0] for level in range(depth + 1)]
        return {"size": 4 * 2**depth} | width_of(units) | mapping_settings(tensors, dense)

    stored = find_filters(tensors, r"\.kernel$")

    def check() -> None:
        check_filters(tensors, stored, FILTER)
        check_grown(tensors, "synthesis.lod")

    smaller = [f"synthesis.output{level}.{leaf}" for level in range(depth) for leaf in ("weight", "bias")]
    ignored = ["synthesis.lod", *stored, *smaller]
    return ImportPlan(StyleGAN, settings, sources, ignored, check, finish)


def _plan_rosinality(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    depth = _rosinality_depth(tensors, options)
    last = max(find_numbers(tensors, r"style\.(\d+)\.linear\."), default=15)
    dense = [f"style.{index}.linear" for index in range(1, last + 1, 2)]
    sources: dict[str, TensorSource] = {"constant": reshape_tensor("generator.progression.0.conv1.input", 4)}
    sources |= mapping_sources(dense, lambda x: x * (1 / RATE), lambda x: x * (1 / RATE), "weight_orig")
    sources["mapping.w_avg"] = TensorSource((f"{dense[-1]}.bias",), torch.zeros_like)
    for level in range(depth + 1):
        sources |= _rosinality_block(level)
    image = f"generator.to_rgb.{depth}.conv"
    gray = spread_gray("")
    sources["output.weight"] = TensorSource((f"{image}.weight_orig",), lambda x: gray.make(x) * SQRT2)
    sources["output.bias"] = spread_gray(f"{image}.bias")

    def settings() -> dict[str, Any]:
        blocks = [f"generator.progression.{level}.conv2.conv.weight_orig" for level in range(depth + 1)]
        units = [shape_of(tensors, block, 4)[0] for block in blocks]
        mapping = mapping_settings(tensors, dense, "weight_orig")
        flags = {"bias_before_blur": True, "norm_eps": ROSINALITY_EPS}
        return {"size": 4 * 2**depth} | width_of(units) | mapping | flags

    larger = [name for name in tensors if _level_of(name) > depth]
    stored = find_filters(tensors, r"progression\.\d+\.conv1\.[12]\.weight(_flip)?$")
    stored = [name for name in stored if f"{name.removesuffix('_flip')}_flip" in tensors]
    smaller = [f"generator.to_rgb.{level}.conv.{leaf}" for level in range(depth) for leaf in ("weight_orig", "bias")]
    check = partial(_check_rosinality, tensors, options, depth, stored)
    return ImportPlan(StyleGAN, settings, sources, [*larger, *stored, *smaller], check, average_w)


def _rosinality_block(level: int) -> dict[str, TensorSource]:
    """Return the sources of the two layers of a grid."""
    block, sources = f"generator.progression.{level}", {}
    if level:
        first, target = f"{block}.conv1", f"layer{2 * level + 1}.convolution.0"
        if 4 * 2**level < FUSED_FROM:
            sources[f"{target}.weight"] = copy_tensor(f"{first}.1.conv.weight_orig")
            sources[f"{target}.bias"] = copy_tensor(f"{first}.1.conv.bias")
        else:  # [in, out, 3, 3], flipped; the project divides the sum of four shifted copies by 4
            sources[f"{target}.weight"] = TensorSource(
                (f"{first}.0.weight",), lambda x: x.transpose(0, 1).flip(2, 3) / 4
            )
            sources[f"{target}.bias"] = copy_tensor(f"{first}.0.bias")
    sources[_convolution(2 * level + 1)] = copy_tensor(f"{block}.conv2.conv.weight_orig")
    for part in (1, 2):
        target, affine = f"layer{2 * level + part}", f"{block}.adain{part}.style.linear"
        noise = f"{block}.noise{part}.weight_orig"
        sources |= {
            f"{target}.bias": copy_tensor(f"{block}.conv2.conv.bias")
            if part == 2
            else TensorSource((noise,), _no_bias),
            f"{target}.noise_strength": TensorSource((noise,), lambda x: x.flatten() * (2 / x.numel()) ** 0.5),
            f"{target}.noise": draw_noise(2 * level + 1, 4 * 2**level),
            f"{target}.affine.weight": copy_tensor(f"{affine}.weight_orig", SQRT2),
            f"{target}.affine.bias": TensorSource((f"{affine}.bias",), _less_one),
        }
    return sources


def _no_bias(noise: Tensor) -> Tensor:
    return torch.zeros_like(noise.flatten())


def _less_one(bias: Tensor) -> Tensor:
    """Return the bias of a style whose factor is used directly, while ours is added to 1."""
    factor, offset = bias.chunk(2)
    return torch.cat([factor - 1, offset])


def _rosinality_depth(tensors: Tensors, options: ImportOptions) -> int:
    """Return the number of doublings: to the given size, or to the largest image layer that was trained."""
    levels = find_numbers(tensors, r"generator\.progression\.(\d+)\.")
    last = min(levels[-1], 8) if levels else 8
    size = options.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        return min(max(size.bit_length() - 3, 0), last)
    images = {level: tensors.get(f"generator.to_rgb.{level}.conv.bias") for level in range(last + 1)}
    trained = [level for level, bias in images.items() if bias is not None and bias.any()]
    return trained[-1] if trained else last


def _check_rosinality(tensors: Tensors, options: ImportOptions, depth: int, stored: list[str]) -> None:
    check_filters(tensors, stored, FILTER)
    levels = find_numbers(tensors, r"generator\.progression\.(\d+)\.")
    sizes = [4 * 2**level for level in levels if level]
    if "size" in options and options["size"] not in sizes:
        raise ValueError(f"size must be one of {', '.join(map(str, sizes))}; got {options['size']!r}")
    if not tensors[f"generator.to_rgb.{depth}.conv.bias"].any() and "size" not in options:
        raise ValueError(f"the size of images is not in the file: pass one of {', '.join(map(str, sizes))}")


def _level_of(name: str) -> int:
    match = re.match(r"generator\.(?:progression|to_rgb)\.(\d{1,2})\.", name)
    return int(match[1]) if match else 0


def _convolution(index: int) -> str:
    """Return the name in the generator of a convolution's weight, by the index of the layer from 0."""
    return f"layer{index + 1}.convolution.{'' if index % 2 else '0.'}weight"


def _sides(depth: int) -> list[int]:
    return [4 * 2 ** (index // 2) for index in range(2 * depth + 2)]


LAYOUTS = (layout_of("genforce StyleGAN", _plan_genforce), layout_of("rosinality StyleGAN", _plan_rosinality, ["size"]))
