"""Translators of pytorch-CycleGAN-and-pix2pix: the residual network and the U-Net, with instance or batch norms.

The residual network is a chain ``model.N``; the U-Net is nested, each level inside the one above. Instance norms have
no parameters; files of torch before 0.4 contain running statistics for them, which are not used. A convolution's bias
before a norm is subtracted with the mean. Batch norms use their running statistics, as the project's tests do with
``--eval``; without it, each picture is normalized by its own statistics: option ``statistics``.

Source: Isola et al. 2017, arXiv 1611.07004; Zhu et al. 2017, arXiv 1703.10593; names:
github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...architectures.translator_resnet import ResNetTranslator
from ...architectures.translator_unet import MAX_DEPTH, UNetTranslator
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, fill_tensor, find_numbers, layout_of, shape_of, spread_gray

SIZE, STATISTICS = "size", "statistics"
"""Options: height and width of pictures; and ``running`` or ``picture``, the statistics of batch norms."""
SIDE, BLOCKS, DEPTH = 256, 9, 8
"""Size of pictures by default; blocks and levels assumed for a file without any, to report missing names."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the gray pictures that the project makes (ITU-R BT.601)."""
MakeSource = Callable[[str], TensorSource]
STATISTICS_LEAVES = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(slots=True)
class _Parts:
    """The parts of a network, as the sources of its tensors are collected.

    Args:
        tensors: Tensors of the file.
        options: Options of the import.
        has_batch_norms: Whether norms have a scale and an offset.
    """

    tensors: Tensors
    options: ImportOptions
    has_batch_norms: bool
    sources: dict[str, TensorSource] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    @property
    def norm(self) -> str:
        """Norm of the network, as a setting."""
        if not self.has_batch_norms:
            return "instance"
        return "affine-instance" if self.options.get(STATISTICS) == "picture" else "batch"

    def check(self) -> None:
        """Check the choice of statistics.

        Raises:
            ValueError: If it is unknown, or the file has no batch norms.
        """
        choice = self.options.get(STATISTICS)
        if choice not in (None, "running", "picture"):
            raise ValueError(f"statistics must be running or picture; got {choice!r}")
        if choice is not None and not self.has_batch_norms:
            raise ValueError("statistics is an option of batch norms, and these are instance norms; omit it")

    def describe_guess(self) -> str:
        """Describe the statistics that were assumed."""
        if not self.has_batch_norms:
            return ""
        return (
            "batch norms use their running statistics; the project's own tests without --eval normalize each picture "
            'by its own: {"statistics": "picture"}'
        )

    def add(self, convolution: str, target: str, make: MakeSource = copy_tensor) -> None:
        """Add a convolution without a norm; a bias that the file lacks is 0."""
        weight, bias = f"{convolution}.weight", f"{convolution}.bias"
        self.sources[f"{target}.weight"] = make(weight)
        if bias in self.tensors:
            self.sources[f"{target}.bias"] = copy_tensor(bias)
        elif self.has_batch_norms:
            self.sources[f"{target}.bias"] = TensorSource((weight,), lambda x: x.new_zeros(len(x)))
        else:
            self.sources[f"{target}.bias"] = copy_tensor(bias)  # reported as missing

    def add_normed(
        self,
        convolution: str,
        target: str,
        norm: str,
        norm_target: str,
        make: Callable[[str], TensorSource] = copy_tensor,
    ) -> None:
        """Add a convolution and the norm after it, which subtracts the convolution's bias with the mean."""
        bias, mean = f"{convolution}.bias", f"{norm}.running_mean"
        self.sources[f"{target}.weight"] = make(f"{convolution}.weight")
        if not self.has_batch_norms:
            self.ignored += [bias, *(f"{norm}.{leaf}" for leaf in STATISTICS_LEAVES)]
            return
        self.sources |= {f"{norm_target}.{leaf}": copy_tensor(f"{norm}.{leaf}") for leaf in ("weight", "bias")}
        if self.norm == "batch":
            has_bias = bias in self.tensors
            self.sources |= {
                f"{norm_target}.running_mean": TensorSource((mean, bias), torch.sub) if has_bias else copy_tensor(mean),
                f"{norm_target}.running_var": copy_tensor(f"{norm}.running_var"),
                f"{norm_target}.num_batches_tracked": fill_tensor(_zero),
            }
        self.ignored += [bias, *(f"{norm}.{leaf}" for leaf in STATISTICS_LEAVES)]

    def add_output(self, convolution: str, axis: int) -> None:
        """Add the last convolution; gray pictures become three equal channels."""
        self.sources["output.0.weight" if axis else "output.1.weight"] = spread_gray(f"{convolution}.weight", axis=axis)
        self.sources["output.0.bias" if axis else "output.1.bias"] = spread_gray(f"{convolution}.bias")


def _plan_resnet(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    parts = _Parts(tensors, options, "model.2.weight" in tensors)
    blocks = len(find_numbers(tensors, r"model\.(\d+)\.conv_block\.")) or BLOCKS
    parts.add_normed("model.1", "encoder1.1", "model.2", "encoder1.2", _from_gray)
    for number, index in ((2, 4), (3, 7)):
        parts.add_normed(f"model.{index}", f"encoder{number}.0", f"model.{index + 1}", f"encoder{number}.1")
    dropped = int("model.10.conv_block.6.weight" in tensors and tensors["model.10.conv_block.6.weight"].ndim == 4)
    for number in range(1, blocks + 1):
        block, target = f"model.{9 + number}.conv_block", f"block{number}.change"
        parts.add_normed(f"{block}.1", f"{target}.1", f"{block}.2", f"{target}.2")
        second = 5 + dropped  # after a dropout
        parts.add_normed(f"{block}.{second}", f"{target}.5", f"{block}.{second + 1}", f"{target}.6")
    for number, index in ((1, 10 + blocks), (2, 13 + blocks)):
        parts.add_normed(f"model.{index}", f"decoder{number}.0", f"model.{index + 1}", f"decoder{number}.1")
    parts.add_output(f"model.{17 + blocks}", axis=0)

    def settings() -> dict[str, Any]:
        width, channels = shape_of(tensors, "model.1.weight", 4)[:2]
        sizes = {"size": options.get(SIZE, SIDE), "width": width, "blocks": blocks, "norm": parts.norm}
        return sizes | {"input_channels": 3 if channels == 1 else channels}

    return ImportPlan(
        ResNetTranslator, settings, parts.sources, parts.ignored, parts.check, assumed=parts.describe_guess
    )


def _plan_unet(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    level2 = "model.model.1"
    parts = _Parts(tensors, options, f"{level2}.model.2.weight" in tensors and f"{level2}.model.6.weight" in tensors)
    levels = _find_levels(tensors, level2)
    depth = len(levels) + 1
    parts.add("model.model.0", "encoder1.0", _from_gray)
    for number, level in enumerate(levels[:-1], start=2):
        parts.add_normed(f"{level}.1", f"encoder{number}.0", f"{level}.2", f"encoder{number}.1")
        decoder = f"decoder{depth - number + 1}"
        parts.add_normed(f"{level}.5", f"{decoder}.0", f"{level}.6", f"{decoder}.1")
    parts.add(f"{levels[-1]}.1", f"encoder{depth}.0")
    parts.add_normed(f"{levels[-1]}.3", "decoder1.0", f"{levels[-1]}.4", "decoder1.1")
    parts.add_output("model.model.3", axis=1)

    def settings() -> dict[str, Any]:
        width, channels = shape_of(tensors, "model.model.0.weight", 4)[:2]
        sizes = {"size": options.get(SIZE, 2**depth), "width": width, "depth": depth, "norm": parts.norm}
        return sizes | {"dropout": False, "input_channels": 3 if channels == 1 else channels}

    return ImportPlan(UNetTranslator, settings, parts.sources, parts.ignored, parts.check, assumed=parts.describe_guess)


def _find_levels(tensors: Tensors, level2: str) -> list[str]:
    """Return the prefixes of the U-Net's levels below the first, each inside the one before."""
    levels = [f"{level2}.model"]
    if f"{levels[0]}.1.weight" not in tensors:
        return [levels[0] + ".3.model" * number for number in range(DEPTH - 1)]
    while f"{levels[-1]}.3.model.1.weight" in tensors and len(levels) < MAX_DEPTH - 1:
        levels.append(f"{levels[-1]}.3.model")
    return levels


def _from_gray(name: str) -> TensorSource:
    """Return the source of a first convolution, for colors if the file's pictures are gray."""

    def make(weight: Tensor) -> Tensor:
        return weight * weight.new_tensor(LUMA)[:, None, None] if weight.shape[1] == 1 else weight

    return TensorSource((name,), make)


def _zero() -> Tensor:
    return torch.tensor(0, dtype=torch.int64, device="cpu")


LAYOUTS = (
    layout_of("CycleGAN and pix2pix ResNet", _plan_resnet, [SIZE, STATISTICS]),
    layout_of("CycleGAN and pix2pix U-Net", _plan_unet, [SIZE, STATISTICS]),
)
