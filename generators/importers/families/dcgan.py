"""DCGAN of the PyTorch examples: up-convolutions ``main.{0, 3, ...}``, with batch norms after all but the last.

Strides and paddings are not in the file. By default the first up-convolution expands one pixel to the size of its
kernel, kernels of 1 and 3 preserve the grid, and kernels of 2, 4, 5 and 6 double it.

Source: Radford et al. 2016, arXiv 1511.06434, Sec. 3; names: github.com/pytorch/examples, dcgan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from ...architectures.dcgan import DCGAN, SIZES
from ...architectures.stack import Size, Stack
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, fill_tensor, find_numbers, layout_of, shape_of, spread_gray

GEOMETRY = ("strides", "paddings", "output_paddings")
"""Options, each with one number or pair per up-convolution."""
USUAL = {1: (1, 0, 0), 2: (2, 0, 0), 3: (1, 1, 0), 4: (2, 1, 0), 5: (2, 2, 1), 6: (2, 2, 0)}
"""Default stride, padding and output padding of up-convolutions after the first, by kernel size."""
MAX_STAGES = 11
"""Maximum number of up-convolutions: that of a network with 4,096-pixel images, if each doubles the grid."""


def _plan(tensors: Tensors, _: Facts, options: ImportOptions) -> ImportPlan:
    last = max((index for index in find_numbers(tensors, r"main\.(\d+)\.weight$") if index % 3 == 0), default=12)
    ups = range(0, last + 1, 3)
    return plan_ups(tensors, [f"main.{up}" for up in ups], [f"main.{up + 1}" for up in ups[:-1]], options)


def plan_ups(tensors: Tensors, ups: Sequence[str], norms: Sequence[str], options: ImportOptions) -> ImportPlan:
    """Return the plan for a chain of up-convolutions, with batch norms after all but the last.

    Args:
        tensors: Tensors of the file.
        ups: Names of the up-convolutions.
        norms: Names of the batch norms after them.
        options: Strides and paddings, or empty for the defaults.
    """
    sources: dict[str, TensorSource] = {}
    for number, (up, norm) in enumerate(zip(ups[:-1], norms, strict=True), start=1):
        sources |= norm_sources(tensors, up, norm, f"layer{number}")
    bias = f"{ups[-1]}.bias"
    sources["output.0.weight"] = spread_gray(f"{ups[-1]}.weight", axis=1)
    zeros = fill_tensor(lambda: torch.zeros(3, dtype=torch.float32, device="cpu"))
    sources["output.0.bias"] = spread_gray(bias) if bias in tensors else zeros
    counts = [f"{norm}.num_batches_tracked" for norm in norms]

    def settings() -> dict[str, Any]:
        return _make_settings([shape_of(tensors, f"{up}.weight", 4) for up in ups], options)

    if _is_standard(tensors, ups, options):
        return ImportPlan(DCGAN, lambda: _shorten_settings(settings()), sources, counts)
    return ImportPlan(
        Stack, settings, sources, counts, assumed=lambda: "" if options else _describe_guess(settings()["stages"])
    )


def norm_sources(tensors: Tensors, up: str, norm: str, layer: str, eps: float = 1e-5) -> dict[str, TensorSource]:
    """Return the sources of an up-convolution and the batch norm after it.

    A bias of the convolution is subtracted from the mean, and the difference between ``eps`` and torch's default is
    added to the variance.

    Args:
        tensors: Tensors of the file.
        up: Name of the convolution in the file.
        norm: Name of the batch norm in the file.
        layer: Name of the layer in the generator.
        eps: Constant that the project adds to variances.
    """
    bias, mean = f"{up}.bias", f"{norm}.running_mean"
    return {
        f"{layer}.0.weight": copy_tensor(f"{up}.weight"),
        f"{layer}.1.weight": copy_tensor(f"{norm}.weight"),
        f"{layer}.1.bias": copy_tensor(f"{norm}.bias"),
        f"{layer}.1.running_mean": TensorSource((mean, bias), torch.sub) if bias in tensors else copy_tensor(mean),
        f"{layer}.1.running_var": variance_source(f"{norm}.running_var", eps),
        f"{layer}.1.num_batches_tracked": fill_tensor(lambda: torch.tensor(0, dtype=torch.int64, device="cpu")),
    }


def variance_source(name: str, eps: float) -> TensorSource:
    """Return the source of a variance, adjusted from the project's ``eps`` to 1e-5."""
    return copy_tensor(name) if eps == 1e-5 else TensorSource((name,), lambda x: x + (eps - 1e-5))


def _make_settings(shapes: Sequence[tuple[int, ...]], options: ImportOptions) -> dict[str, Any]:
    """Return the settings of a `Stack` for up-convolutions with weights of shape ``[in, out, h, w]``.

    Raises:
        ValueError: If strides and paddings are unknown, or there are too many up-convolutions.
    """
    if len(shapes) > MAX_STAGES:
        raise ValueError(f"a DCGAN must have at most {MAX_STAGES} up-convolutions; got {len(shapes)}")
    stages: list[dict[str, Any]] = []
    for shape, geometry in zip(shapes, _find_geometry([shape[2:] for shape in shapes], options), strict=True):
        units = 3 if len(stages) == len(shapes) - 1 else shape[1]
        stages.append({"units": units, "kernel": list(shape[2:])} | geometry)
    return {"z_dim": shapes[0][0], "stages": stages}


def _find_geometry(kernels: Sequence[tuple[int, ...]], options: ImportOptions) -> list[dict[str, Size]]:
    """Return stride, padding and output padding of each up-convolution."""
    if options:
        geometry: dict[str, Any] = {"output_paddings": [0] * len(kernels), **options}
        if missing := [name for name in GEOMETRY if name not in geometry]:
            raise ValueError(f"strides and paddings must be given together; {missing[0]} are missing")
        rows = list(zip(*(_check_sizes(name, geometry[name], len(kernels)) for name in GEOMETRY), strict=True))
    else:
        rows = [(1, 0, 0), *(_guess_geometry(*kernel) for kernel in kernels[1:])]
    return [dict(zip(("stride", "padding", "output_padding"), row, strict=True)) for row in rows]


def _guess_geometry(height: int, width: int) -> tuple[int, int, int]:
    if height != width or height not in USUAL:
        raise ValueError(f"the stride of a kernel {height} x {width} is unknown: pass strides and paddings")
    return USUAL[height]


def _describe_guess(stages: Sequence[dict[str, Any]]) -> str:
    """Describe the strides and paddings that were guessed, in the format of the options."""
    if all(stage["kernel"] == [4, 4] for stage in stages):
        return ""
    guessed = {name: [stage[name.removesuffix("s")] for stage in stages] for name in GEOMETRY}
    return f"strides and paddings are not in the file; assuming the defaults: {json.dumps(guessed)}"


def _check_sizes(name: str, sizes: Any, count: int) -> list[Size]:
    """Check and return the value of an option.

    Raises:
        ValueError: If it is not one number or pair per up-convolution.
    """
    if not isinstance(sizes, list) or len(sizes) != count or not all(map(_is_size, sizes)):
        raise ValueError(f"{name} must be a list of {count} numbers or pairs, one per up-convolution; got {sizes!r}")
    return sizes


def _is_size(value: Any) -> bool:
    pair = value if isinstance(value, list) and len(value) == 2 else [value]
    return all(isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 64 for number in pair)


def _is_standard(tensors: Tensors, ups: Sequence[str], options: ImportOptions) -> bool:
    """Return whether this is a `DCGAN`: kernels of 4, and numbers of units that halve from layer to layer."""
    shapes = [tuple(tensors[f"{up}.weight"].shape) for up in ups if f"{up}.weight" in tensors]
    if options or len(shapes) < len(ups) or any(shape[2:] != (4, 4) for shape in shapes):
        return False
    units = [shape[1] for shape in shapes[:-1]]
    return 4 * 2 ** len(units) in SIZES and all(a == 2 * b for a, b in pairwise(units))


def _shorten_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Convert the settings of a `Stack` to those of the equivalent `DCGAN`."""
    *layers, _ = settings["stages"]
    return {"size": 4 * 2 ** len(layers), "width": layers[-1]["units"], "z_dim": settings["z_dim"]}


LAYOUTS = (layout_of("pytorch/examples DCGAN", _plan, GEOMETRY),)
