"""FastGAN of projected_gan: spectral normalization is folded into the weights, and noise is drawn once.

Its 128-pixel networks also contain unused 256-pixel layers: the last convolution determines the size of images.

Source: Liu et al. 2021, arXiv 2101.04775; Sauer et al. 2021, arXiv 2111.01007; names:
github.com/autonomousvision/projected-gan.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from ...architectures.fastgan import EXCITED, FastGAN
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import ImportPlan, TensorSource, find_numbers, layout_of, spread_gray
from .conditional_norms import Norms
from .spectral_norm import weight_of, weight_shape
from .style_parts import draw_noise, reshape_tensor

LARGEST = 256
"""Image height assumed for a file without layers, to report missing names."""
IMAGE = "synthesis.to_big"


def _plan(tensors: Tensors, _: Facts, __: ImportOptions) -> ImportPlan:
    sides = _find_sides(tensors)
    first = "synthesis.init.init"
    sources = {"layer1.1.weight": weight_of(tensors, f"{first}.0", _outputs_first)}
    sources |= Norms(tensors, 1e-5).sources(f"{first}.1", "layer1.2")
    for number, side in enumerate(sides[1:], start=2):
        sources |= _layer_sources(tensors, f"synthesis.feat_{side}", number, side)
        if number in EXCITED:
            for place in (1, 3):
                gate = weight_of(tensors, f"synthesis.se_{side}.main.{place}")
                sources[f"excitations.{number}.maps.{place}.weight"] = gate
    weight = weight_of(tensors, IMAGE)
    sources["output.weight"] = TensorSource(weight.names, lambda *x: spread_gray("").make(weight.make(*x)))
    sources["output.bias"] = spread_gray(f"{IMAGE}.bias")

    def settings() -> dict[str, Any]:
        rows, z_dim = weight_shape(tensors, f"{first}.0")[1::-1]
        return {"z_dim": z_dim, "units": [rows // 2, *(_count_units(tensors, side) for side in sides[1:])]}

    counts = [name for name in tensors if name.endswith(".num_batches_tracked")]
    larger = [name for name in tensors if _side_of(name) > sides[-1]]
    return ImportPlan(FastGAN, settings, sources, [*counts, *larger])


def _layer_sources(tensors: Tensors, source: str, number: int, side: int) -> dict[str, TensorSource]:
    """Return the sources of a layer; layers with noise have two convolutions."""
    target, is_deep = f"layer{number}", number % 2 == 0
    sources = {}
    for part, place in enumerate((1, 5) if is_deep else (1,)):
        norm = place + 1 + is_deep
        sources[f"{target}.{place}.weight"] = weight_of(tensors, f"{source}.{place}")
        sources |= Norms(tensors, 1e-5).sources(f"{source}.{norm}", f"{target}.{norm}")
        if is_deep:
            sources[f"{target}.{place + 1}.strength"] = reshape_tensor(f"{source}.{place + 1}.weight", 0)
            sources[f"{target}.{place + 1}.noise"] = draw_noise(2 * number + part, side)
    return sources


def _find_sides(tensors: Tensors) -> list[int]:
    """Return the sides of the grids, from 4 to the image's."""
    largest = max(find_numbers(tensors, r"synthesis\.feat_(\d+)\."), default=LARGEST)
    sides = [4 * 2**level for level in range(max(largest.bit_length() - 2, 1))]
    if len(sides) > 2 and _width(tensors, IMAGE, 1) not in {0, _count_units(tensors, sides[-1])}:
        return sides[:-1]
    return sides


def _count_units(tensors: Tensors, side: int) -> int:
    return _width(tensors, f"synthesis.feat_{side}.1", 0) // 2


def _width(tensors: Tensors, name: str, axis: int) -> int:
    """Return the length of an axis of a convolution's weight; 0 if there is no such weight."""
    weight = tensors.get(f"{name}.weight_orig", tensors.get(f"{name}.weight"))
    return weight.shape[axis] if weight is not None and weight.ndim == 4 else 0


def _side_of(name: str) -> int:
    match = re.match(r"synthesis\.(?:feat|se)_(\d{1,4})\.", name)
    return int(match[1]) if match else 0


def _outputs_first(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1)


LAYOUTS = (layout_of("projected_gan FastGAN", _plan),)
