"""Generators of PyTorch-GAN: a linear layer, resize-convolutions and batch norms (dcgan and similar ones), and acgan.

All batch norms but the first add 0.8 to variances. acgan multiplies z by the embedding of a class: one class is chosen
at import and folded into the first weights.

Source: Radford et al. 2016, arXiv 1511.06434; Odena et al. 2017, arXiv 1610.09585; names:
github.com/eriklindernoren/PyTorch-GAN.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import Tensor

from ...architectures.resize import ResizeConv
from ..layouts import Facts, ImportOptions, Tensors
from ..plans import MAX_DEPTH, ImportPlan, TensorSource, find_numbers, layout_of, shape_of, spread_gray
from .class_conditions import OPTION, check_class, make_class_vector
from .conditional_norms import Norms
from .spectral_norm import map_sources

EPS = 0.8
"""Constant added to variances; the project passes 0.8 as ``eps``, though it was probably meant as a momentum."""
EMBED = "label_emb.weight"
LAST, STEP = 7, 4
"""Index of the last norm assumed for a file without any, and number of modules per doubling."""


def _plan(tensors: Tensors, _: Facts, options: ImportOptions, *, has_classes: bool = False) -> ImportPlan:
    chain = "conv_model" if any(name.startswith("conv_model.") for name in tensors) else "conv_blocks"
    places = find_numbers(tensors, rf"{chain}\.(\d+)\.running_mean$", STEP * MAX_DEPTH)
    doublings = range(2, max(places, default=LAST), STEP)
    sources = map_sources(tensors, "l1.0", "layer1.1") | Norms(tensors, 1e-5).sources(f"{chain}.0", "layer1.3")
    for number, place in enumerate(doublings, start=2):
        sources |= map_sources(tensors, f"{chain}.{place}", f"layer{number}.1")
        sources |= Norms(tensors, EPS).sources(f"{chain}.{place + 1}", f"layer{number}.2")
    image = f"{chain}.{STEP * len(doublings) + 1}"
    sources |= {f"output.0.{leaf}": spread_gray(f"{image}.{leaf}") for leaf in ("weight", "bias")}
    if has_classes:
        sources["layer1.1.weight"] = _fold_class(options.get(OPTION))

    def settings() -> dict[str, Any]:
        shapes = [shape_of(tensors, f"{chain}.{place}.weight", 4) for place in doublings]
        units = [shapes[0][1], *(shape[0] for shape in shapes)]
        rows, z_dim = shape_of(tensors, "l1.0.weight", 2)
        return {"z_dim": z_dim, "units": units, "side": math.isqrt(rows // units[0])}

    def check() -> None:
        check_class(options.get(OPTION), shape_of(tensors, EMBED, 2)[0] if has_classes else 0)

    counts = [name for name in tensors if name.endswith(".num_batches_tracked")]
    return ImportPlan(ResizeConv, settings, sources, counts, check)


def _fold_class(choice: Any) -> TensorSource:
    """Return the source of the first weights, with each column multiplied by an entry of the class's embedding."""

    def fold(weight: Tensor, embedding: Tensor) -> Tensor:
        return weight * (make_class_vector(choice, embedding.shape[0]) @ embedding)

    return TensorSource(("l1.0.weight", EMBED), fold)


LAYOUTS = (
    layout_of("PyTorch-GAN DCGAN", _plan),
    layout_of("PyTorch-GAN ACGAN", partial(_plan, has_classes=True), [OPTION]),
)
