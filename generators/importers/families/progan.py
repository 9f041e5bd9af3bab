"""ProGAN of CSAILVision/gandissect, including its old names, and of genforce.

Both store weights as drawn from N(0, 1) and scale them in code; the first layer's constant is four times ours.

Source: Karras et al. 2018, arXiv 1710.10196, Sec. 4; names: github.com/CSAILVision/gandissect and
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
"""Number of layers assumed for a file without any, to report missing names."""


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
    """Return the plan for one naming scheme.

    Args:
        tensors: Tensors of the file.
        layer: Prefix of the names of layers.
        first: Number of the first layer.
        output: Function that returns the name of a grid's image layer, counted from 4 x 4.
        weight: Suffix of the names of weights.
        bias: Suffix of the names of biases.
    """
    count = max(find_numbers(tensors, rf"{layer}(\d+)\."), default=LAST + first - 1) - first + 1
    count += count % 2
    sources: dict[str, TensorSource] = {}
    for index in range(count):
        target, source = f"layer{index + 1}.1", f"{layer}{index + first}"
        sources[f"{target}.weight"] = copy_tensor(source + weight, 1 if index else 4)
        sources[f"{target}.bias"] = copy_tensor(source + bias)
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
    """Check that a network is fully grown.

    Raises:
        ValueError: If the level of detail of that name is not 0.
    """
    if name in tensors and tensors[name].any():
        level = float(tensors[name].abs().max())
        raise ValueError(f"{name} must be 0, as in a fully grown network; got {level:g}")


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
