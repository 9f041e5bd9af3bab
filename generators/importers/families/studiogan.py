"""Generators of StudioGAN (``deep_conv``, ``resnet``) and of mimicry (residual).

Spectral normalization is folded into the weights (see `spectral_norm`), and one class of a class-conditional network is
chosen (see `conditional_norms`). StudioGAN adds 1e-4 to the variances of its batch norms. StudioGAN repeats pixels;
mimicry interpolates bilinearly. StudioGAN's names show the position of self-attention; mimicry's do not, but it is
known for its 32- and 128-pixel networks.

Source: Miyato et al. 2018, arXiv 1802.05957, Appendix B.4; Zhang et al. 2019, arXiv 1805.08318, Sec. 3; names:
github.com/POSTECH-CVLab/PyTorch-StudioGAN and github.com/kwotsin/mimicry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...architectures.resnet import ResNet
from ...architectures.stack import Stack
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, find_numbers, layout_of, spread_gray
from .class_conditions import OPTION
from .conditional_norms import Norms
from .dcgan import norm_sources
from .spectral_norm import map_sources, weight_of, weight_shape

STUDIOGAN_EPS, MIMICRY_EPS = 1e-4, 1e-5
STUDIOGAN_PARTS = {"norm1": "bn1", "norm2": "bn2", "conv1": "conv2d1", "conv2": "conv2d2", "skip": "conv2d0"}
STUDIOGAN_ATTENTION = {
    "query": "conv1x1_theta",
    "key": "conv1x1_phi",
    "value": "conv1x1_g",
    "mix": "conv1x1_attn",
    "strength": "sigma",
}
SHORT_ATTENTION = {"query": "theta", "key": "phi", "value": "g", "mix": "o", "strength": "gamma"}
"""Names of the parts of self-attention in mimicry and in BigGAN-PyTorch."""
BLOCKS = 4
"""Number of blocks assumed for a file without any, to report missing names."""
ATTENTIVE = {3: 3, 5: 4}
"""Number of the layer of mimicry's SAGAN that ends with self-attention, by the number of blocks."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Residual blocks of a file.

    Args:
        names: Name of each block.
        attention: Names of self-attention blocks, keyed by the number of the generator's layer that they end.
    """

    names: list[str]
    attention: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResNetNames:
    """Names in a layout of residual generators.

    Args:
        linear: Name of the first layer.
        blocks: Function that returns the blocks of a file.
        norm: Function that returns the name of the last norm for a number of blocks.
        image: Function that returns the name of the last convolution for a number of blocks.
        parts: Names of norm1, norm2, conv1, conv2 and skip in a block.
        attention: Names of query, key, value, mix and strength in self-attention.
        eps: Constant that the project adds to variances.
        doubling: Interpolation when the grid is doubled, see `ResNet`.
    """

    linear: str
    blocks: Callable[[Tensors], Blocks]
    norm: Callable[[int], str]
    image: Callable[[int], str]
    parts: Mapping[str, str]
    attention: Mapping[str, str]
    eps: float
    doubling: str


def _plan_resnet(tensors: Tensors, _: Facts, options: ImportOptions, *, names: ResNetNames) -> ImportPlan:
    blocks, norms = names.blocks(tensors), Norms(tensors, names.eps, options.get(OPTION))
    number = len(blocks.names)
    sources = map_sources(tensors, names.linear, "layer1.1") | norms.sources(names.norm(number), "output.0")
    sources |= image_sources(tensors, names.image(number), "output.2")
    for layer, block in enumerate(blocks.names, start=2):
        part = {target: f"{block}.{source}" for target, source in names.parts.items()}
        sources |= norms.sources(part["norm1"], f"layer{layer}.residual.0")
        sources |= norms.sources(part["norm2"], f"layer{layer}.residual.4")
        for source, place in (("conv1", "residual.3"), ("conv2", "residual.6"), ("skip", "skip.1")):
            sources |= map_sources(tensors, part[source], f"layer{layer}.{place}")
    for layer, block in blocks.attention.items():
        sources |= attention_sources(tensors, block, f"layer{layer}.attention", names.attention)

    def settings() -> dict[str, Any]:
        shapes = [weight_shape(tensors, f"{block}.{names.parts['conv1']}") for block in blocks.names]
        units = [shapes[0][1], *(shape[0] for shape in shapes)]
        z_dim, side = find_first_grid(tensors, names.linear, units[0])
        _check_no_biggan(tensors, names.linear)
        attention = {"attention": sorted(blocks.attention)} if blocks.attention else {}
        return {"z_dim": z_dim, "units": units, "side": side, "doubling": names.doubling} | attention

    def check() -> None:
        _check_no_biggan(tensors, names.linear)
        norms.check()

    return ImportPlan(ResNet, settings, sources, _find_ignored(tensors), check)


def attention_sources(tensors: Tensors, source: str, target: str, names: Mapping[str, str]) -> dict[str, TensorSource]:
    """Return the sources of self-attention.

    Args:
        tensors: Tensors of the file.
        source: Name of the self-attention in the file.
        target: Its name in the generator.
        names: Names in the file of query, key, value, mix and strength.
    """
    parts = {part: f"{source}.{name}" for part, name in names.items()}
    maps = {f"{target}.{part}.weight": weight_of(tensors, name) for part, name in parts.items() if part != "strength"}
    return maps | {f"{target}.strength": TensorSource((parts["strength"],), lambda x: x.reshape(()))}


def _plan_deep_conv(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    blocks, norms = studiogan_blocks(tensors), Norms(tensors, STUDIOGAN_EPS, options.get(OPTION))
    sources = map_sources(tensors, "linear0", "layer1.0.1")
    for layer, block in enumerate(blocks.names, start=2):
        up, norm, target = f"{block}.deconv0", f"{block}.bn0", f"layer{layer}"
        sources |= norm_sources(tensors, up, norms.statistics(norm), target, STUDIOGAN_EPS)
        sources |= norms.affine(norm, f"{target}.1") | {
            f"{target}.0.weight": weight_of(tensors, up, lambda x: x.transpose(0, 1))
        }
    last = image_sources(tensors, "conv4", "output.0")
    weight = last["output.0.weight"]  # a convolution is an up-convolution with stride 1 and a flipped kernel
    sources |= last | {
        "output.0.weight": TensorSource(weight.names, lambda *x: weight.make(*x).transpose(0, 1).flip(2, 3))
    }

    def settings() -> dict[str, Any]:
        _check_no_attention(blocks)
        shapes = [weight_shape(tensors, f"{block}.deconv0") for block in blocks.names]
        z_dim, side = find_first_grid(tensors, "linear0", shapes[0][0])
        first = {"units": shapes[0][0], "kernel": side, "linear": True}
        ups = [{"units": shape[1], "kernel": list(shape[2:]), "stride": 2, "padding": 1} for shape in shapes]
        return {"z_dim": z_dim, "stages": [first, *ups, {"units": 3, "kernel": 3, "padding": 1}]}

    def check() -> None:
        _check_no_attention(blocks)
        norms.check()

    attention = [name for name in tensors if name.startswith(tuple(f"{block}." for block in blocks.attention.values()))]
    return ImportPlan(Stack, settings, sources, [*_find_ignored(tensors), *attention], check)


def _check_no_attention(blocks: Blocks) -> None:
    """Check that there is no self-attention.

    Raises:
        ValueError: If there is.
    """
    if blocks.attention:
        raise ValueError("self-attention between up-convolutions is not supported, only that in StudioGAN's resnet")


def _check_no_biggan(tensors: Tensors, linear: str) -> None:
    """Check that norms depend only on the class, and not on parts of z.

    Raises:
        ValueError: If the input of a norm is as long as that of the first layer.
    """
    z_dim = weight_shape(tensors, linear, axes=2)[1]
    gains = [name for name in tensors if name.endswith((".gain.weight", ".gain.weight_orig"))]
    if any(tensors[name].shape[1:] == (z_dim,) for name in gains):
        raise ValueError(
            f"its norms and its first layer both take {z_dim} numbers, either parts of z, as in a BigGAN, or "
            f"{z_dim} classes; neither is supported"
        )


def find_first_grid(tensors: Tensors, linear: str, units: int) -> tuple[int, int]:
    """Return the length of z, and the side of a linear layer's output grid."""
    rows, z_dim = weight_shape(tensors, linear, axes=2)
    side = math.isqrt(rows // units)
    if units * side**2 != rows:
        raise ValueError(f"the output of {linear} must be a square grid of {units} units; got {rows} numbers")
    return z_dim, side


def _find_ignored(tensors: Tensors) -> list[str]:
    return [name for name in tensors if name.endswith((".num_batches_tracked", ".sn_u"))]


def image_sources(tensors: Tensors, source: str, target: str) -> dict[str, TensorSource]:
    """Return the sources of the last convolution, for color images."""
    weight, bias = weight_of(tensors, source), f"{source}.bias"
    colored = TensorSource(weight.names, lambda *x: spread_gray(*weight.names).make(weight.make(*x)))
    return {f"{target}.weight": colored, f"{target}.bias": spread_gray(bias)}


def studiogan_blocks(tensors: Tensors) -> Blocks:
    """Return the blocks of a file of StudioGAN, in whose list self-attention has a place of its own."""
    last = max(find_numbers(tensors, r"blocks\.(\d+)\.0\."), default=BLOCKS - 1)
    attentive = set(find_numbers(tensors, r"blocks\.(\d+)\.0\.conv1x1_"))
    blocks = Blocks([])
    for index in range(last + 1):
        name = f"blocks.{index}.0"
        if index in attentive:
            blocks.attention[len(blocks.names) + 1] = name
        else:
            blocks.names.append(name)
    return blocks


def _mimicry_blocks(tensors: Tensors) -> Blocks:
    count = max(max(find_numbers(tensors, r"block(\d+)\."), default=BLOCKS + 1) - 1, 1)
    attentive = count in ATTENTIVE and any(name.startswith("attn_block.") for name in tensors)
    attention = {ATTENTIVE[count]: "attn_block"} if attentive else {}
    return Blocks([f"block{index + 2}" for index in range(count)], attention)


STUDIOGAN = ResNetNames(
    linear="linear0",
    blocks=studiogan_blocks,
    norm=lambda _: "bn4",
    image=lambda _: "conv2d5",
    parts=STUDIOGAN_PARTS,
    attention=STUDIOGAN_ATTENTION,
    eps=STUDIOGAN_EPS,
    doubling="nearest",
)
MIMICRY = ResNetNames(
    linear="l1",
    blocks=_mimicry_blocks,
    norm=lambda count: f"b{count + 2}",
    image=lambda count: f"c{count + 2}",
    parts={"norm1": "b1", "norm2": "b2", "conv1": "c1", "conv2": "c2", "skip": "c_sc"},
    attention=SHORT_ATTENTION,
    eps=MIMICRY_EPS,
    doubling="bilinear",
)
LAYOUTS = (
    layout_of("StudioGAN DCGAN", _plan_deep_conv, [OPTION]),
    layout_of("StudioGAN ResNet", partial(_plan_resnet, names=STUDIOGAN), [OPTION]),
    layout_of("mimicry ResNet", partial(_plan_resnet, names=MIMICRY), [OPTION]),
)
