"""StyleGAN2 of NVlabs (stylegan2-ada-pytorch, stylegan3), rosinality and genforce.

All store weights as drawn from N(0, 1), and apply the gain of mapping layers after the bias. NVlabs divides by the norm
of a kernel without He's constant, which reduces the effect of the 1e-8 under the root; that effect is negligible unless
weights are far smaller than their initial values. genforce stores flipped kernels in layers that double a grid, and
styles minus 1, as TensorFlow does.

Source: Karras et al. 2020, arXiv 1912.04958; names: github.com/NVlabs/stylegan2-ada-pytorch,
github.com/rosinality/stylegan2-pytorch and github.com/genforce/genforce.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...architectures.blocks import SQRT2, width_of
from ...architectures.stylegan2 import StyleGAN2
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, fill_tensor, find_numbers, layout_of, spread_gray
from .class_conditions import OPTION, Classes
from .style_parts import (
    RATE,
    check_filters,
    find_filters,
    mapping_settings,
    mapping_sources,
    mean_w_source,
    noise_sources,
    reshape_tensor,
)
from .stylegan2_settings import check_activation, clamp_of, rate_of

DEPTH = 4
"""Number of doublings assumed for a file without layers, to report missing names."""
FILTER = (1.0, 3.0, 3.0, 1.0)


@dataclass(frozen=True, slots=True)
class StyleGAN2Names:
    """Names in a layout.

    Args:
        dense: Prefix of the names of mapping layers, before their number.
        first: Number of the first mapping layer.
        mean_w: Name of the mean w.
        constant: Name of the learned constant.
        layer: Function that returns the name of a layer, counted from 1.
        image: Function that returns the name of a grid's image layer, counted from 4 x 4.
        noise: Function that returns the name of a layer's noise.
        parts: Names of weight, affine, bias and noise_strength in a layer.
        filters: Pattern of the names of filters.
        depth: Function that returns the number of doublings, from the names.
        as_tensorflow: Whether kernels that double a grid are flipped, and the biases of styles are stored minus 1.
        bypass: Function that returns the name of a residual grid's skip connection, counted from 4 x 4; it returns an
            empty name if only networks with the structure ``skip`` are supported.
    """

    dense: str
    first: int
    mean_w: str
    constant: str
    layer: Callable[[int], str]
    image: Callable[[int], str]
    noise: Callable[[int], str]
    parts: Mapping[str, str]
    filters: str
    depth: Callable[[Tensors], int]
    as_tensorflow: bool = False
    bypass: Callable[[int], str] = lambda _: ""


def _plan(tensors: Tensors, facts: Facts, options: ImportOptions, *, names: StyleGAN2Names) -> ImportPlan:
    levels = range(names.depth(tensors) + 1)
    structure = _find_structure(tensors, names, levels)
    last = max(find_numbers(tensors, rf"{names.dense}(\d+)\."), default=names.first + 7)
    dense = [f"{names.dense}{index}" for index in range(names.first, last + 1)]
    classes = Classes(tensors, dense[0], options.get(OPTION))
    stored = find_filters(tensors, names.filters)
    sources = _synthesis_sources(tensors, names, levels, structure)
    sources |= _mapping_sources(rate_of(facts, dense[0]), dense, classes)
    sources["mapping.w_avg"], finish = mean_w_source(tensors, facts, names.mean_w, dense)

    def settings() -> dict[str, Any]:
        clamp = clamp_of(facts)
        extra: dict[str, Any] = {} if clamp is None else {"clamp": clamp}
        extra |= {} if structure == "skip" else {"structure": structure}
        return _sizes(tensors, names, levels) | mapping_settings(tensors, dense) | classes.settings() | extra

    def check() -> None:
        classes.check()
        check_filters(tensors, stored, FILTER)
        check_activation(facts)

    return ImportPlan(StyleGAN2, settings, sources, stored, check, finish)


def _mapping_sources(rate: float, dense: list[str], classes: Classes) -> dict[str, TensorSource]:
    factor = rate / RATE
    target = mapping_sources(dense, lambda x: x if factor == 1 else x * factor, lambda x: x * (SQRT2 * factor))
    return target | classes.fold_class(rate)


def _find_structure(tensors: Tensors, names: StyleGAN2Names, levels: range) -> str:
    """Return the structure of a network, see `StyleGAN2`."""
    if not names.bypass(1):
        return "skip"
    if any(f"{names.bypass(level)}.weight" in tensors for level in levels[1:]):
        return "resnet"
    image_levels = [level for level in levels if f"{names.image(level)}.bias" in tensors]
    return "orig" if image_levels == [levels[-1]] and len(levels) > 1 else "skip"


def _synthesis_sources(
    tensors: Tensors, names: StyleGAN2Names, levels: range, structure: str
) -> dict[str, TensorSource]:
    layers = range(1, 2 * len(levels))
    has_noise = any(_part(names, index, "noise_strength") in tensors for index in layers)
    sources = {"constant": reshape_tensor(names.constant, 4)}
    sources |= noise_sources(tensors, [names.noise(i) for i in layers], [4 * 2 ** (i // 2) for i in layers])
    zero = fill_tensor(lambda: torch.zeros((), dtype=torch.float32, device="cpu"))
    for index in layers:
        strength = reshape_tensor(_part(names, index, "noise_strength"), 0)
        sources |= {
            f"layer{index}.weight": _kernel(names, index),
            f"layer{index}.bias": copy_tensor(_part(names, index, "bias")),
            f"layer{index}.noise_strength": strength if has_noise else zero,
            **_affine(f"layer{index}.affine", _part(names, index, "affine"), names),
        }
    for level in levels if structure == "skip" else levels[-1:]:
        target = "output" if level == levels[-1] else f"to_rgb.{4 * 2**level}"
        sources |= _image_sources(target, names.image(level), names)
    for level in levels[1:] if structure == "resnet" else ():
        sources[f"skips.{2 * 2**level}.convolution.weight"] = copy_tensor(f"{names.bypass(level)}.weight")
    return sources


def _part(names: StyleGAN2Names, index: int, part: str) -> str:
    return f"{names.layer(index)}.{names.parts[part]}"


def _kernel(names: StyleGAN2Names, index: int) -> TensorSource:
    whole = reshape_tensor(_part(names, index, "weight"), 4)
    is_flipped = names.as_tensorflow and index % 2 == 0
    return TensorSource(whole.names, lambda x: whole.make(x).flip(2, 3)) if is_flipped else whole


def _image_sources(target: str, source: str, names: StyleGAN2Names) -> dict[str, TensorSource]:
    weight, bias = reshape_tensor(f"{source}.{names.parts['weight']}", 4), f"{source}.bias"
    return {
        f"{target}.weight": TensorSource(weight.names, lambda x: spread_gray(*weight.names).make(weight.make(x))),
        f"{target}.bias": TensorSource((bias,), lambda x: spread_gray(bias).make(x.flatten())),
        **_affine(f"{target}.affine", f"{source}.{names.parts['affine']}", names),
    }


def _affine(target: str, source: str, names: StyleGAN2Names) -> dict[str, TensorSource]:
    bias = TensorSource((f"{source}.bias",), lambda x: x + 1) if names.as_tensorflow else copy_tensor(f"{source}.bias")
    return {f"{target}.weight": copy_tensor(f"{source}.weight"), f"{target}.bias": bias}


def _sizes(tensors: Tensors, names: StyleGAN2Names, levels: range) -> dict[str, Any]:
    constant = tensors[names.constant].shape
    if len(constant) < 3:
        raise ValueError(f"{names.constant} must be [units, 4, 4]; got shape {list(constant)}")
    units = [constant[-3]]
    for level in levels[1:]:
        weight = tensors[_part(names, 2 * level + 1, "weight")].shape
        units.append(weight[-4] if len(weight) >= 4 else 0)
    return {"size": 4 * 2 ** levels[-1]} | width_of(units)


def _nvlabs_layer(index: int) -> str:
    return f"synthesis.b{4 * 2 ** (index // 2)}.conv{index % 2}"


def _nvlabs_depth(tensors: Tensors) -> int:
    sides = find_numbers(tensors, r"synthesis\.b(\d+)\.")
    return max(sides[-1].bit_length() - 3, 0) if sides else DEPTH


def _rosinality_depth(tensors: Tensors) -> int:
    convolutions = find_numbers(tensors, r"convs\.(\d+)\.conv\.weight")
    return (convolutions[-1] + 2) // 2 if convolutions else DEPTH


def _genforce_depth(tensors: Tensors) -> int:
    layers = find_numbers(tensors, r"synthesis\.layer(\d+)\.")
    return (layers[-1] + 1) // 2 if layers else DEPTH


NVLABS = StyleGAN2Names(
    dense="mapping.fc",
    first=0,
    mean_w="mapping.w_avg",
    constant="synthesis.b4.const",
    layer=_nvlabs_layer,
    image=lambda level: f"synthesis.b{4 * 2**level}.torgb",
    noise=lambda index: f"{_nvlabs_layer(index)}.noise_const",
    parts={"weight": "weight", "affine": "affine", "bias": "bias", "noise_strength": "noise_strength"},
    filters=r"\.resample_filter$",
    depth=_nvlabs_depth,
    bypass=lambda level: f"synthesis.b{4 * 2**level}.skip",
)
ROSINALITY = StyleGAN2Names(
    dense="style.",
    first=1,
    mean_w="latent_avg",
    constant="input.input",
    layer=lambda index: "conv1" if index == 1 else f"convs.{index - 2}",
    image=lambda level: f"to_rgbs.{level - 1}" if level else "to_rgb1",
    noise=lambda index: f"noises.noise_{index - 1}",
    parts={
        "weight": "conv.weight",
        "affine": "conv.modulation",
        "bias": "activate.bias",
        "noise_strength": "noise.weight",
    },
    filters=r"\.kernel$",
    depth=_rosinality_depth,
)
GENFORCE = StyleGAN2Names(
    dense="mapping.dense",
    first=0,
    mean_w="truncation.w_avg",
    constant="synthesis.early_layer.const",
    layer=lambda index: f"synthesis.layer{index - 1}",
    image="synthesis.output{}".format,
    noise=lambda index: f"synthesis.layer{index - 1}.noise",
    parts={"weight": "weight", "affine": "style", "bias": "bias", "noise_strength": "noise_strength"},
    filters=r"\.kernel$",
    depth=_genforce_depth,
    as_tensorflow=True,
)
LAYOUTS = (
    layout_of("NVlabs StyleGAN2", partial(_plan, names=NVLABS), [OPTION]),
    layout_of("rosinality StyleGAN2", partial(_plan, names=ROSINALITY)),
    layout_of("genforce StyleGAN2", partial(_plan, names=GENFORCE)),
)
