"""ProGAN as CSAILVision/gandissect, with its old names too, and genforce have it.

Both keep weights as drawn from N(0, 1) and scale them in code; the first layer's constant is four times ours.

Source: Karras et al. 2018, arXiv 1710.10196, Sec. 4; the names: github.com/CSAILVision/gandissect and
github.com/genforce/genforce.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...architectures.blocks import width_of
from ...architectures.progan import ProGAN
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, copy_tensor, find_numbers, layout_of, shape_of, spread_gray

LAST = 10
"""Layers of a file that has none, to say what is missing."""


def _plan(
    tensors: Tensors,
    _: Facts,
    __: ImportOptions,
    *,
    layer: str,
    first: int,
    output: Callable[[int], str],
    weight: str,
    bias: str,
) -> ImportPlan:
    """Return the plan for one way of naming.

    Args:
        tensors: The file's.
        layer: What the names of layers begin with.
        first: Number of the first layer.
        output: Returns the name of what makes the image of a grid, counted from 4 x 4.
        weight: What comes after, for a weight.
        bias: What comes after, for an offset.
    """
    count = max(find_numbers(tensors, rf"{layer}(\d+)\."), default=LAST + first - 1) - first + 1
    count += count % 2
    sources: dict[str, TensorSource] = {}
    for index in range(count):
        own, theirs = f"layer{index + 1}.1", f"{layer}{index + first}"
        sources[f"{own}.weight"] = copy_tensor(theirs + weight, 1 if index else 4)
        sources[f"{own}.bias"] = copy_tensor(theirs + bias)
    grids = count // 2
    image = output(grids - 1)
    sources |= {"output.1.weight": spread_gray(image + weight), "output.1.bias": spread_gray(image + bias)}

    def settings() -> dict[str, Any]:
        shapes = [shape_of(tensors, f"{layer}{2 * grid + first}{weight}", 4) for grid in range(grids)]
        units = [shape[0] for shape in shapes]
        return {"size": 2 ** (grids + 1), "z_dim": shapes[0][1]} | width_of(units)

    smaller = [output(grid) + end for grid in range(grids - 1) for end in (weight, bias)]
    return ImportPlan(ProGAN, settings, sources, ["lod", *smaller], check=partial(check_grown, tensors, "lod"))


def check_grown(tensors: Tensors, name: str) -> None:
    """Check that a network is not in the middle of its growth.

    Raises:
        ValueError: If the level of detail of that name is not 0.
    """
    if name in tensors and tensors[name].any():
        level = float(tensors[name].abs().max())
        raise ValueError(f"{name} is {level:g}: the network has not grown to its end, where it is 0")


def _side(grid: int) -> str:
    side = 4 * 2**grid
    return f"output_{side}x{side}"


_gandissect = partial(_plan, weight=".conv.weight", bias=".wscale.b")
LAYOUTS = (
    layout_of("gandissect ProGAN", partial(_gandissect, layer="layer", first=1, output=_side)),
    layout_of(
        "gandissect ProGAN, old names", partial(_gandissect, layer="features.", first=0, output=lambda _: "output")
    ),
    layout_of(
        "genforce ProGAN",
        partial(_plan, layer="layer", first=0, output="output{}".format, weight=".weight", bias=".bias"),
    ),
)
