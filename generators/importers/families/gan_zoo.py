"""ProGAN, DCGAN and StyleGAN of pytorch_GAN_zoo, which torch.hub loads.

Its equalized layers multiply their output by He's constant, which also scales biases; the constant is
``sqrt(2 / fan_in)`` in all layers, even without a leaky ReLU after them. The dense first layer of its ProGAN has a bias
for each position. Its StyleGAN repeats pixels without blur, draws new noise for each image with one strength for all
units, and truncates by 0.5 by default; use ``truncation_psi`` for that here.

Source: Karras et al. 2018, arXiv 1710.10196; Karras et al. 2019, arXiv 1812.04948; Radford et al. 2016, arXiv
1511.06434; names: github.com/facebookresearch/pytorch_GAN_zoo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...architectures.blocks import SQRT2, width_of
from ...architectures.progan import ProGAN
from ...architectures.stylegan import MAX_DEPTH as MAPPING_DEPTH, StyleGAN
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import MAX_DEPTH, ImportPlan, TensorSource, copy_tensor, find_numbers, layout_of, shape_of, spread_gray
from .dcgan import GEOMETRY, plan_ups
from .style_parts import draw_noise, mapping_settings, mapping_sources

DEPTH = 4
"""Number of doublings assumed for a file without layers, to report missing names."""

LINEAR = "WGANGP"
"""The only loss whose generators end without a tanh."""


def _check_config(facts: Facts, is_linear: bool) -> None:
    """Check the training configuration next to a network, if the file contains it.

    Args:
        facts: Facts of the file.
        is_linear: Whether the imported network has no final tanh.

    Raises:
        ValueError: If the network was trained with a loss that requires another ending, or with classes.
    """
    config = facts.get("config")
    config = config if isinstance(config, Mapping) else {}
    loss = config.get("lossCriterion")
    if isinstance(loss, str) and (loss == LINEAR) != is_linear:
        ending = "without a tanh" if loss == LINEAR else "in a tanh"
        raise ValueError(
            f"it was trained with the loss {loss}; networks of this kind that end {ending} are not supported"
        )
    if config.get("categoryVectorDim"):
        raise ValueError("it is class-conditional with the class as a part of z (AC-GAN), which is not supported")


def _plan_progan(tensors: Tensors, facts: Facts, _: ImportOptions) -> ImportPlan:
    part = ".module" if any(name.startswith("formatLayer.module.") for name in tensors) else ""
    depth = max(find_numbers(tensors, r"scaleLayers\.(\d+)\.", MAX_DEPTH - 1), default=DEPTH - 1) + 1
    layers = [f"scaleLayers.{level}.{index}{part}" for level in range(depth) for index in (0, 1)]
    first, image = f"formatLayer{part}", f"toRGBLayers.{depth}{part}"
    sources = {
        "layer1.1.weight": TensorSource((f"{first}.weight",), _grid_weight),
        "layer1.2.offset": TensorSource((f"{first}.weight", f"{first}.bias"), _grid_offset),
    }
    for number, layer in enumerate([f"groupScale0.0{part}", *layers], start=2):
        sources |= {f"layer{number}.1.weight": copy_tensor(f"{layer}.weight"), f"layer{number}.1.bias": _offset(layer)}
    sources |= _image_sources(image, "output.1")

    def settings() -> dict[str, Any]:
        bottom, z_dim = shape_of(tensors, f"{first}.weight", 2)
        units = [bottom // 16, *(shape_of(tensors, f"{layer}.weight", 4)[0] for layer in layers[::2])]
        return {"size": 4 * 2**depth, "z_dim": z_dim, "offset_by_place": True} | width_of(units)

    smaller = [f"toRGBLayers.{level}{part}.{leaf}" for level in range(depth) for leaf in ("weight", "bias")]
    return ImportPlan(ProGAN, settings, sources, smaller, partial(_check_config, facts, is_linear=True))


def _grid_weight(matrix: Tensor) -> Tensor:
    """Return the convolution equivalent to a dense layer with a 4 x 4 grid: on one pixel, its kernel is flipped."""
    return matrix.reshape(-1, 4, 4, matrix.shape[1]).permute(0, 3, 1, 2).flip(2, 3) * 16


def _grid_offset(matrix: Tensor, bias: Tensor) -> Tensor:
    return bias.reshape(-1, 4, 4) * _he(matrix)


def _he(weight: Tensor) -> float:
    return math.sqrt(2 / weight[0].numel())


def _offset(layer: str, factor: float = 1.0) -> TensorSource:
    """Return the source of a bias that is added before the multiplication by He's constant in the project."""
    return TensorSource((f"{layer}.weight", f"{layer}.bias"), lambda weight, bias: bias * (_he(weight) * factor))


def _image_sources(source: str, target: str) -> dict[str, TensorSource]:
    weight, bias, gray = copy_tensor(f"{source}.weight", SQRT2), _offset(source), spread_gray("")
    return {
        f"{target}.weight": TensorSource(weight.names, lambda x: gray.make(weight.make(x))),
        f"{target}.bias": TensorSource(bias.names, lambda *x: gray.make(bias.make(*x))),
    }


def _plan_dcgan(tensors: Tensors, facts: Facts, options: ImportOptions) -> ImportPlan:
    count = max(find_numbers(tensors, r"main\.convTranspose(\d+)\.", MAX_DEPTH), default=3)
    ups = ["formatLayer", *(f"main.convTranspose{index}" for index in range(1, count + 1)), "main.outlayer"]
    plan = plan_ups(tensors, ups, [f"main.batchNorm{index}" for index in range(count + 1)], options)
    return replace(plan, check=partial(_check_config, facts, is_linear=False))


def _plan_stylegan(tensors: Tensors, facts: Facts, _: ImportOptions) -> ImportPlan:
    depth = max(find_numbers(tensors, r"scaleLayers\.(\d+)\.", MAX_DEPTH - 1), default=DEPTH - 1) + 1
    last = max(find_numbers(tensors, r"mapping\.FC\.(\d+)\.", MAPPING_DEPTH - 1), default=7)
    dense = [f"mapping.FC.{index}.module" for index in range(last + 1)]
    sources = mapping_sources(dense, lambda x: x, lambda x: x)
    for number, name in enumerate(dense, start=1):
        sources[f"mapping.network.{number}.0.bias"] = _offset(name)
    sources["mapping.w_avg"] = TensorSource(("mean_w",), lambda x: x.flatten())
    sources["constant"] = copy_tensor("baseScale0")
    sources |= _style_layer(1, None, "noiseMod00", "adain00") | _style_layer(2, "conv0", "noiseMod01", "adain01")
    for level in range(depth):
        for index in (0, 1):
            group, noise = f"scaleLayers.{level}", f"noiseModulators.{level}.{index}"
            number = 2 * level + index + 3
            sources |= _style_layer(number, f"{group}.{2 * index}", noise, f"{group}.{2 * index + 1}")
    sources |= _image_sources(f"toRGBLayers.{depth - 1}.module", "output")

    def settings() -> dict[str, Any]:
        blocks = [f"scaleLayers.{level}.0.module.weight" for level in range(depth)]
        units = [shape_of(tensors, "baseScale0", 4)[1], *(shape_of(tensors, block, 4)[0] for block in blocks)]
        return {"size": 4 * 2**depth, "blur": False} | width_of(units) | mapping_settings(tensors, dense)

    smaller = [f"toRGBLayers.{level}.module.{leaf}" for level in range(depth - 1) for leaf in ("weight", "bias")]
    return ImportPlan(StyleGAN, settings, sources, smaller, partial(_check_config, facts, is_linear=True))


def _style_layer(number: int, convolution: str | None, noise: str, norm: str) -> dict[str, TensorSource]:
    """Return the sources of a layer.

    Args:
        number: Number of the layer in the generator, from 1.
        convolution: Name of the convolution in the file; None in the layer that starts from the constant.
        noise: Name of the noise strength in the file.
        norm: Name of the style's linear map in the file.
    """
    target, affine, side = f"layer{number}", f"{norm}.styleModulator.module", 4 * 2 ** ((number - 1) // 2)
    style = (f"{affine}.weight", f"{affine}.bias")
    sources = {
        f"{target}.noise": draw_noise(number, side),
        f"{target}.noise_strength": TensorSource((f"{noise}.module.weight", style[0]), _spread_strength),
        f"{target}.affine.weight": copy_tensor(style[0], SQRT2),
        f"{target}.affine.bias": TensorSource(style, _style_offset),
    }
    if convolution is None:
        return sources | {
            f"{target}.bias": TensorSource((style[0],), lambda x: torch.zeros_like(x[: x.shape[0] // 2, 0]))
        }
    place = "convolution.0.weight" if number % 2 else "convolution.weight"
    return sources | {
        f"{target}.{place}": copy_tensor(f"{convolution}.module.weight"),
        f"{target}.bias": _offset(f"{convolution}.module"),
    }


def _spread_strength(strength: Tensor, affine: Tensor) -> Tensor:
    return strength.reshape(1).expand(affine.shape[0] // 2)


def _style_offset(weight: Tensor, bias: Tensor) -> Tensor:
    """Return the bias of a style whose factor is used directly, while ours is added to 1."""
    factor, offset = (bias * _he(weight)).chunk(2)
    return torch.cat([factor - 1, offset])


LAYOUTS = (
    layout_of("pytorch_GAN_zoo PGAN", _plan_progan),
    layout_of("pytorch_GAN_zoo DCGAN", _plan_dcgan, GEOMETRY),
    layout_of("pytorch_GAN_zoo StyleGAN", _plan_stylegan),
)
