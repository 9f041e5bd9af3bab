"""Weights with spectral normalization, as in eval mode.

torch's hook, which StudioGAN and mimicry use, divides by ``u^T W v`` with u and v from the file; mimicry's own layers
divide by ``sn_sigma`` from the file. BigGAN-PyTorch's layers take a step of power iteration from u0 in the file to v,
and divide by the length of ``W v``; they do not use the singular value in the file.

Source: Miyato et al. 2018, arXiv 1802.05957, Sec. 2.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..layouts import Tensors
from ..plans import TensorSource, copy_tensor, shape_of


def weight_shape(tensors: Tensors, name: str, axes: int = 4) -> tuple[int, ...]:
    """Return the shape of a layer's weight.

    Raises:
        ValueError: If it has another number of axes, or is empty.
    """
    normal = f"{name}.weight_orig" in tensors
    return shape_of(tensors, f"{name}.weight_orig" if normal else f"{name}.weight", axes)


def weight_of(tensors: Tensors, name: str, rows: Callable[[Tensor], Tensor] = lambda x: x) -> TensorSource:
    """Return the source of a weight, divided by its largest singular value according to the file.

    Args:
        tensors: Tensors of the file.
        name: Name of the layer.
        rows: Function that moves the output axis to the front.
    """

    def divide(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return weight / torch.dot(u, rows(weight).flatten(1) @ v)

    if f"{name}.weight_orig" in tensors:
        return TensorSource((f"{name}.weight_orig", f"{name}.weight_u", f"{name}.weight_v"), divide)
    if f"{name}.u0" in tensors:
        return TensorSource((f"{name}.weight", f"{name}.u0"), _divide_by_step)
    if f"{name}.sn_sigma" in tensors:
        return TensorSource((f"{name}.weight", f"{name}.sn_sigma"), lambda weight, sigma: weight / sigma.reshape(()))
    return copy_tensor(f"{name}.weight")


def _divide_by_step(weight: Tensor, u: Tensor) -> Tensor:
    matrix = weight.flatten(1)
    v = functional.normalize(u.reshape(-1) @ matrix, dim=0)
    normalized: Tensor = weight / torch.linalg.vector_norm(matrix @ v)
    return normalized


def map_sources(tensors: Tensors, source: str, target: str) -> dict[str, TensorSource]:
    """Return the sources of a linear layer or a convolution with a bias."""
    return {f"{target}.weight": weight_of(tensors, source), f"{target}.bias": copy_tensor(f"{source}.bias")}
