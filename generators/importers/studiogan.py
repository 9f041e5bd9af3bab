"""Generators of StudioGAN (``deep_conv``, ``resnet``) and of mimicry (residual), without classes.

Spectral normalisation is folded into the weights as eval mode has it: StudioGAN's ``W / (u^T W v)`` with the u and v
of the file, mimicry's ``W / sn_sigma``. StudioGAN adds 1e-4 to the variances of its batch norms. StudioGAN repeats
pixels; mimicry makes those between by bilinear interpolation.

Source: Miyato et al. 2018, arXiv 1802.05957, Sec. 2.1 and Appendix B.4; the names:
github.com/POSTECH-CVLab/PyTorch-StudioGAN and github.com/kwotsin/mimicry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..resnet import ResNet
from ..stack import Stack
from .dcgan import norm_sources, variance
from .layouts import Facts, Options, Tensors
from .plans import Plan, Source, colour, copied, layout_of, made, numbered, shape_of

STUDIOGAN_EPS, MIMICRY_EPS = 1e-4, 1e-5
BLOCKS = 4
"""Blocks of a file that has none, to say what is missing."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a layout of residual generators calls things.

    Args:
        linear: The first layer.
        block: Returns the name of a block, counted from 0.
        norm: Returns the name of the last norm, for so many blocks.
        image: Returns the name of the last convolution, for so many blocks.
        parts: What norm1, norm2, conv1, conv2 and skip of a block are called.
        eps: What is added to variances.
        doubling: How the grid is doubled.
    """

    linear: str
    block: Callable[[int], str]
    norm: Callable[[int], str]
    image: Callable[[int], str]
    parts: Mapping[str, str]
    eps: float
    doubling: str


def _resnet(tensors: Tensors, _: Facts, __: Options, *, names: Names, count: Callable[[Tensors], int]) -> Plan:
    number = count(tensors)
    norm, image = names.norm(number), names.image(number)
    sources = _map_sources(tensors, names.linear, "layer1.1") | _norm(norm, "output.0", names.eps)
    sources |= _image(tensors, image, "output.2")
    for index in range(number):
        part = {own: f"{names.block(index)}.{theirs}" for own, theirs in names.parts.items()}
        own = f"layer{index + 2}"
        sources |= _norm(part["norm1"], f"{own}.residual.0", names.eps)
        sources |= _norm(part["norm2"], f"{own}.residual.4", names.eps)
        for theirs, place in (("conv1", "residual.3"), ("conv2", "residual.6"), ("skip", "skip.1")):
            sources |= _map_sources(tensors, part[theirs], f"{own}.{place}")

    def settings() -> dict[str, Any]:
        shapes = [_shape(tensors, f"{names.block(index)}.{names.parts['conv1']}") for index in range(number)]
        units = [shapes[0][1], *(shape[0] for shape in shapes)]
        z_dim, side = _first_grid(tensors, names.linear, units[0])
        return {"z_dim": z_dim, "units": units, "side": side, "doubling": names.doubling}

    return Plan(ResNet, settings, sources, _ignored(tensors))


def _deep_conv(tensors: Tensors, _: Facts, __: Options) -> Plan:
    number = _studiogan_count(tensors)
    sources = _map_sources(tensors, "linear0", "layer1.0.1")
    for index in range(number):
        up, own = f"blocks.{index}.0.deconv0", f"layer{index + 2}"
        sources |= norm_sources(tensors, up, f"blocks.{index}.0.bn0", own, STUDIOGAN_EPS)
        sources[f"{own}.0.weight"] = _weight(tensors, up, _by_output)
    last = _image(tensors, "conv4", "output.0")
    weight = last["output.0.weight"]  # a convolution is an up-convolution by 1 with the kernel turned round
    sources |= last | {"output.0.weight": Source(weight.names, lambda *x: weight.make(*x).transpose(0, 1).flip(2, 3))}

    def settings() -> dict[str, Any]:
        shapes = [_shape(tensors, f"blocks.{index}.0.deconv0") for index in range(number)]
        z_dim, side = _first_grid(tensors, "linear0", shapes[0][0])
        first = {"units": shapes[0][0], "kernel": side, "linear": True}
        ups = [{"units": shape[1], "kernel": list(shape[2:]), "stride": 2, "padding": 1} for shape in shapes]
        return {"z_dim": z_dim, "stages": [first, *ups, {"units": 3, "kernel": 3, "padding": 1}]}

    return Plan(Stack, settings, sources, _ignored(tensors))


def _first_grid(tensors: Tensors, linear: str, units: int) -> tuple[int, int]:
    """Return the length of z, and the side of the grid that a linear layer makes of it."""
    rows, z_dim = _shape(tensors, linear, axes=2)
    side = math.isqrt(rows // units)
    if units * side**2 != rows:
        raise ValueError(f"{linear} makes {rows} numbers, no square grid of {units} units")
    return z_dim, side


def _shape(tensors: Tensors, name: str, axes: int = 4) -> tuple[int, ...]:
    normal = f"{name}.weight_orig" in tensors
    return shape_of(tensors, f"{name}.weight_orig" if normal else f"{name}.weight", axes)


def _ignored(tensors: Tensors) -> list[str]:
    return [name for name in tensors if name.endswith((".num_batches_tracked", ".sn_u"))]


def _map_sources(tensors: Tensors, theirs: str, own: str) -> dict[str, Source]:
    return {f"{own}.weight": _weight(tensors, theirs), f"{own}.bias": copied(f"{theirs}.bias")}


def _image(tensors: Tensors, theirs: str, own: str) -> dict[str, Source]:
    """Return the sources of the convolution that makes the image, in colours."""
    weight, bias = _weight(tensors, theirs), f"{theirs}.bias"
    coloured = Source(weight.names, lambda *x: colour(*weight.names).make(weight.make(*x)))
    return {f"{own}.weight": coloured, f"{own}.bias": colour(bias)}


def _norm(theirs: str, own: str, eps: float) -> dict[str, Source]:
    return {
        **{f"{own}.{leaf}": copied(f"{theirs}.{leaf}") for leaf in ("weight", "bias", "running_mean")},
        f"{own}.running_var": variance(f"{theirs}.running_var", eps),
        f"{own}.num_batches_tracked": made(lambda: torch.tensor(0)),
    }


def _by_output(weight: Tensor) -> Tensor:
    """Return the weight of an up-convolution with its outputs first."""
    return weight.transpose(0, 1)


def _weight(tensors: Tensors, name: str, rows: Callable[[Tensor], Tensor] = lambda x: x) -> Source:
    """Return the source of a weight, divided by its largest singular value as the file has it.

    Args:
        tensors: The file's.
        name: The layer.
        rows: Puts the axis of what comes out first.
    """

    def divided(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return weight / torch.dot(u, rows(weight).flatten(1) @ v)

    if f"{name}.weight_orig" in tensors:
        return Source((f"{name}.weight_orig", f"{name}.weight_u", f"{name}.weight_v"), divided)
    if f"{name}.sn_sigma" in tensors:
        return Source((f"{name}.weight", f"{name}.sn_sigma"), lambda weight, sigma: weight / sigma.reshape(()))
    return copied(f"{name}.weight")


def _studiogan_count(tensors: Tensors) -> int:
    return max(numbered(tensors, r"blocks\.(\d+)\.0\."), default=BLOCKS - 1) + 1


def _mimicry_count(tensors: Tensors) -> int:
    return max(max(numbered(tensors, r"block(\d+)\."), default=BLOCKS + 1) - 1, 1)


STUDIOGAN = Names(
    linear="linear0",
    block="blocks.{}.0".format,
    norm=lambda _: "bn4",
    image=lambda _: "conv2d5",
    parts={"norm1": "bn1", "norm2": "bn2", "conv1": "conv2d1", "conv2": "conv2d2", "skip": "conv2d0"},
    eps=STUDIOGAN_EPS,
    doubling="nearest",
)
MIMICRY = Names(
    linear="l1",
    block=lambda index: f"block{index + 2}",
    norm=lambda count: f"b{count + 2}",
    image=lambda count: f"c{count + 2}",
    parts={"norm1": "b1", "norm2": "b2", "conv1": "c1", "conv2": "c2", "skip": "c_sc"},
    eps=MIMICRY_EPS,
    doubling="bilinear",
)
LAYOUTS = (
    layout_of("StudioGAN DCGAN", _deep_conv),
    layout_of("StudioGAN ResNet", partial(_resnet, names=STUDIOGAN, count=_studiogan_count)),
    layout_of("mimicry ResNet", partial(_resnet, names=MIMICRY, count=_mimicry_count)),
)
