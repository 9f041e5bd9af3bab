"""BigGANs of StudioGAN (``big_resnet``) and of BigGAN-PyTorch (``BigGAN.py``), with all of their classes.

Both compute ``norm(x) (1 + A c) + B c``, where c is the embedding of the class, followed by the block's part of the
noise if the noise is hierarchical. In BigGAN-PyTorch without a shared embedding, A and B are embeddings of the class,
which is the same as one-hot embeddings and linear maps. The bias of a block's first convolution is subtracted from the
mean of the norm after it; the biases of its second convolution and of its skip connection are added up.

Source: Brock et al. 2019, arXiv 1809.11096, Appendix B; names: github.com/POSTECH-CVLab/PyTorch-StudioGAN and
github.com/ajbrock/BigGAN-PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...architectures.biggan import BigGAN
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, fill_tensor, find_numbers, layout_of, shape_of
from .dcgan import variance_source
from .spectral_norm import map_sources, weight_of, weight_shape
from .studiogan import (
    BLOCKS,
    SHORT_ATTENTION,
    STUDIOGAN_ATTENTION,
    STUDIOGAN_EPS,
    STUDIOGAN_PARTS,
    Blocks,
    attention_sources,
    find_first_grid,
    image_sources,
    studiogan_blocks,
)

EPS = 1e-5
"""Constant that BigGAN-PyTorch adds to variances by default."""
SHARED = "shared.weight"
"""Name of the embedding of the classes."""
UNUSED = re.compile(r"\.(num_batches_tracked|sv\d+|u[1-9]\d*|accumulation_counter)$")
"""Names of counters, and of singular values and vectors that eval mode does not need."""


@dataclass(frozen=True, slots=True)
class BigGANNames:
    """Names in a layout of BigGANs.

    Args:
        linear: Name of the first layer.
        blocks: Function that returns the blocks of a file.
        norm: Name of the last norm.
        scale: Name of its scale.
        image: Name of the last convolution.
        parts: Names of norm1, norm2, conv1, conv2 and skip in a block.
        attention: Names of query, key, value, mix and strength in self-attention.
        eps: Constant that the project adds to variances.
        embeds: Whether the norms may have embeddings of the class instead of a shared one.
    """

    linear: str
    blocks: Callable[[Tensors], Blocks]
    norm: str
    scale: str
    image: str
    parts: Mapping[str, str]
    attention: Mapping[str, str]
    eps: float
    embeds: bool


def _plan(tensors: Tensors, _: Facts, __: ImportOptions, *, names: BigGANNames) -> ImportPlan:
    blocks = names.blocks(tensors)
    first_gain = f"{next(iter(blocks.names), 'blocks.0.0')}.{names.parts['norm1']}.gain"
    shared = SHARED in tensors or not names.embeds
    sources = {"embedding": copy_tensor(SHARED) if shared else TensorSource((f"{first_gain}.weight",), _one_hot)}
    sources |= map_sources(tensors, names.linear, "layer1.1")
    for layer, block in enumerate(blocks.names, start=2):
        sources |= _block(tensors, block, f"layer{layer}", names, shared)
    for layer, attention in blocks.attention.items():
        sources |= attention_sources(tensors, attention, f"layer{layer}.attention", names.attention)
    sources |= _statistics(tensors, names.norm, "output.0", names.eps)
    sources |= {"output.0.weight": copy_tensor(names.scale), "output.0.bias": copy_tensor(f"{names.norm}.bias")}
    sources |= image_sources(tensors, names.image, "output.2")

    def settings() -> dict[str, Any]:
        shapes = [weight_shape(tensors, f"{block}.{names.parts['conv1']}") for block in blocks.names]
        units = [shapes[0][1], *(shape[0] for shape in shapes)]
        first, side = find_first_grid(tensors, names.linear, units[0])
        classes, length = (
            shape_of(tensors, SHARED, 2) if shared else (shape_of(tensors, f"{first_gain}.weight", 2)[0],) * 2
        )
        part = weight_shape(tensors, first_gain, 2)[1] - length if shared else 0
        if part not in {0, first}:
            raise ValueError(
                f"{first_gain} must take the {length} numbers of the class's embedding, or these and a part of z, "
                f"{first} numbers as for {names.linear}; got {part + length}"
            )
        return {
            "noise_dim": first * len(units) if part else first,
            "units": units,
            "embedding_dim": length,
            "classes": [str(number) for number in range(classes)],
            "side": side,
            "attention": sorted(blocks.attention),
            "hierarchical": bool(part),
        }

    return ImportPlan(BigGAN, settings, sources, [name for name in tensors if UNUSED.search(name)])


def _block(tensors: Tensors, block: str, layer: str, names: BigGANNames, shared: bool) -> dict[str, TensorSource]:
    """Return the sources of a block."""
    part = {target: f"{block}.{source}" for target, source in names.parts.items()}
    sources: dict[str, TensorSource] = {}
    for norm in ("norm1", "norm2"):
        sources |= _statistics(tensors, part[norm], f"{layer}.{norm}.norm", names.eps)
        for target, source in (("gain", "gain"), ("offset", "bias")):
            table = TensorSource((f"{part[norm]}.{source}.weight",), lambda x: x.transpose(0, 1))
            linear = weight_of(tensors, f"{part[norm]}.{source}") if shared else table
            sources[f"{layer}.{norm}.{target}.weight"] = linear
    mean = sources[f"{layer}.norm2.norm.running_mean"]
    sources[f"{layer}.norm2.norm.running_mean"] = TensorSource(
        (*mean.names, f"{part['conv1']}.bias"), lambda *x: mean.make(*x[:-1]) - x[-1]
    )
    sources |= {f"{layer}.{conv}.weight": weight_of(tensors, part[conv]) for conv in ("conv1", "conv2", "skip")}
    biases = (f"{part['conv2']}.bias", f"{part['skip']}.bias")
    return sources | {f"{layer}.conv2.bias": TensorSource(biases, torch.add)}


def _statistics(tensors: Tensors, norm: str, target: str, eps: float) -> dict[str, TensorSource]:
    """Return the sources of a norm's mean and variance, which may be in an inner module, and sums over batches."""
    inner = f"{norm}.bn" if any(name.startswith(f"{norm}.bn.") for name in tensors) else norm
    running = ("stored_mean", "stored_var") if f"{inner}.stored_mean" in tensors else ("running_mean", "running_var")
    mean, variance = copy_tensor(f"{inner}.{running[0]}"), variance_source(f"{inner}.{running[1]}", eps)
    if (count := f"{inner}.accumulation_counter") in tensors:
        mean, variance = (
            TensorSource((*source.names, count), lambda x, n, make=source.make: make(x / n.clamp(min=1)))
            for source in (mean, variance)
        )
    return {
        f"{target}.running_mean": mean,
        f"{target}.running_var": variance,
        f"{target}.num_batches_tracked": fill_tensor(lambda: torch.tensor(0, dtype=torch.int64, device="cpu")),
    }


def _one_hot(table: torch.Tensor) -> torch.Tensor:
    return torch.eye(len(table), dtype=torch.float32, device="cpu")


def _pytorch_blocks(tensors: Tensors) -> Blocks:
    count = max(find_numbers(tensors, r"blocks\.(\d+)\.0\."), default=BLOCKS - 1) + 1
    attentive = find_numbers(tensors, r"blocks\.(\d+)\.1\.")
    return Blocks(
        [f"blocks.{index}.0" for index in range(count)], {index + 2: f"blocks.{index}.1" for index in attentive}
    )


STUDIOGAN = BigGANNames(
    linear="linear0",
    blocks=studiogan_blocks,
    norm="bn4",
    scale="bn4.weight",
    image="conv2d5",
    parts=STUDIOGAN_PARTS,
    attention=STUDIOGAN_ATTENTION,
    eps=STUDIOGAN_EPS,
    embeds=False,
)
PYTORCH = BigGANNames(
    linear="linear",
    blocks=_pytorch_blocks,
    norm="output_layer.0",
    scale="output_layer.0.gain",
    image="output_layer.2",
    parts={"norm1": "bn1", "norm2": "bn2", "conv1": "conv1", "conv2": "conv2", "skip": "conv_sc"},
    attention=SHORT_ATTENTION,
    eps=EPS,
    embeds=True,
)
LAYOUTS = (
    layout_of("StudioGAN BigGAN", partial(_plan, names=STUDIOGAN)),
    layout_of("BigGAN-PyTorch", partial(_plan, names=PYTORCH)),
)
