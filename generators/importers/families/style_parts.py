"""What the layouts of StyleGAN and StyleGAN2 share: the mapping network, noise, and the filters that they store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from gandissect.core.sampling import make_rng

from ...architectures.stylegan import StyleGenerator
from ..layouts import Facts, Tensors
from ..plans import TensorSource, copy_tensor, fill_tensor, shape_of

RATE = 0.01
"""Factor on the weights of mapping networks here, and there unless the file says otherwise."""
SAMPLES = 10_000
"""Latent vectors whose mean w stands in for one that a file does not hold; fewer for mapping networks that are huge."""
MAX_PRODUCTS = 4 * 10**10
"""Of a number and a weight, for that mean; 10,000 latent vectors and 8 layers of 512 units take half of them."""
MAX_FILTER = 2**18
"""Numbers of a filter at most, one kernel for each of so many units."""
MAX_LENGTH = 4_096
"""Numbers of z and of w at most."""

Finish = Callable[[StyleGenerator], None]
"""What completes a network, once it has its tensors."""


def mapping_sources(
    names: Sequence[str],
    weight: Callable[[Tensor], Tensor],
    bias: Callable[[Tensor], Tensor],
    leaf: str = "weight",
) -> dict[str, TensorSource]:
    """Return the sources of a mapping network's layers.

    Args:
        names: What the layers are called in the file.
        weight: Makes our weight of theirs.
        bias: Makes our offset of theirs.
        leaf: What the weight of a layer is called in the file.
    """
    sources = {}
    for index, name in enumerate(names, start=1):
        sources[f"mapping.network.{index}.0.weight"] = TensorSource((f"{name}.{leaf}",), weight)
        sources[f"mapping.network.{index}.0.bias"] = TensorSource((f"{name}.bias",), bias)
    return sources


def mapping_settings(tensors: Tensors, names: Sequence[str], leaf: str = "weight") -> dict[str, int]:
    """Return the settings of a mapping network with layers of these names.

    Args:
        tensors: The file's.
        names: What the layers are called in the file.
        leaf: What the weight of a layer is called in the file.

    Raises:
        ValueError: If z or w are longer than any that is used.
    """
    lengths = [shape_of(tensors, f"{name}.{leaf}", 2) for name in names]
    if max(map(max, lengths)) > MAX_LENGTH:
        raise ValueError(
            f"z and w have {MAX_LENGTH:,} numbers at most; got layers {[list(length) for length in lengths]}"
        )
    return {"z_dim": lengths[0][1], "w_dim": lengths[-1][0], "mapping_depth": len(names)}


def mean_w_source(tensors: Tensors, facts: Facts, name: str, dense: Sequence[str]) -> tuple[TensorSource, Finish]:
    """Return the source of the mean w, and what completes a network whose file does not hold it.

    Args:
        tensors: The file's.
        facts: The file's.
        name: What the mean w is called in the network, or beside it.
        dense: What the mapping layers are called in the file.
    """
    if name in tensors:
        return copy_tensor(name), _leave
    beside = facts.get(name)
    if isinstance(beside, Tensor):
        return fill_tensor(lambda: beside.detach().float().flatten()), _leave
    return TensorSource((f"{dense[-1]}.bias",), torch.zeros_like), average_w


def _leave(_: StyleGenerator) -> None:
    """Do nothing to a network that is complete."""


def average_w(generator: StyleGenerator) -> None:
    """Set the mean w to that of many latent vectors, the same ones each time.

    Raises:
        ValueError: If it is not finite.
    """
    weights = sum(parameter.numel() for parameter in generator.mapping.network.parameters())
    shape, rng = (min(SAMPLES, MAX_PRODUCTS // weights), generator.z_dim), make_rng(0, "z of the mean w")
    z = torch.randn(shape, generator=rng, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        generator.mapping.w_avg.copy_(generator.mapping.network(z).mean(dim=0))
    if not generator.mapping.w_avg.isfinite().all():
        raise ValueError("the mapping network makes numbers that are not finite")


def noise_sources(tensors: Tensors, names: Sequence[str], sides: Sequence[int]) -> dict[str, TensorSource]:
    """Return the sources of the layers' fixed noise; where the file has none at all, it is drawn.

    Args:
        tensors: The file's.
        names: What it is called in the file, one name a layer.
        sides: Height and width of each.
    """
    if any(name in tensors for name in names):
        return {f"layer{index}.noise": reshape_tensor(name, 4) for index, name in enumerate(names, start=1)}
    return {f"layer{index}.noise": draw_noise(index, side) for index, side in enumerate(sides, start=1)}


def draw_noise(number: int, side: int) -> TensorSource:
    """Return the source of noise that is drawn: the same one for the same number and side."""
    return fill_tensor(partial(_draw, number, side))


def _draw(number: int, side: int) -> Tensor:
    rng = make_rng(0, "noise of imported layers", number)
    return torch.randn(1, 1, side, side, generator=rng, dtype=torch.float32, device="cpu")


def reshape_tensor(name: str, axes: int) -> TensorSource:
    """Return the source of a tensor that has more axes in the file, or fewer: the first ones, of one place each."""

    def make(x: Tensor) -> Tensor:
        more = x.ndim - axes
        return x.reshape(x.shape[more:]) if more >= 0 else x.reshape(*[1] * -more, *x.shape)

    return TensorSource((name,), make)


def find_filters(tensors: Tensors, pattern: str) -> list[str]:
    """Return the names of filters in a file."""
    return [name for name in tensors if re.search(pattern, name)]


def check_filters(tensors: Tensors, names: Sequence[str], row: Sequence[float]) -> None:
    """Check that filters are the usual one, on any number of channels and of any sum.

    Args:
        tensors: The file's.
        names: The filters.
        row: A row of the separable filter that they should be.

    Raises:
        ValueError: If one is another.
    """
    line = torch.tensor(row, dtype=torch.float32, device="cpu")
    usual = torch.outer(line, line)
    for name in names:
        plain = tensors[name].is_floating_point() and tensors[name].numel() <= MAX_FILTER
        filter = tensors[name].float() if plain else torch.empty(0, dtype=torch.float32, device="cpu")
        fits = filter.ndim > 1 and filter.shape[-2:] == usual.shape and filter.numel()
        kernels = filter.reshape(-1, *usual.shape) if fits else usual[None] - 1
        scaled = kernels * (usual.sum() / kernels.sum(dim=(1, 2), keepdim=True))
        if not torch.allclose(scaled, usual.expand_as(scaled), rtol=1e-2, atol=1e-3):
            raise ValueError(f"{name} is another filter than {list(row)} in each direction, the only one read here")
