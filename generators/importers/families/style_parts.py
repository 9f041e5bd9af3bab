"""Shared parts of the layouts of StyleGAN and StyleGAN2: mapping network, noise and stored filters."""

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
"""Factor on the weights of mapping networks in this package, and by default in other projects."""
SAMPLES = 10_000
"""Number of latent vectors for computing a mean w that is not in the file; fewer for huge mapping networks."""
MAX_PRODUCTS = 4 * 10**10
"""Maximum number of multiplications for that mean; 10,000 latent vectors and 8 layers of 512 units need half."""
MAX_FILTER = 2**18
"""Maximum number of values of a filter, with one kernel per unit."""
MAX_LENGTH = 4_096
"""Maximum length of z and of w."""

Finish = Callable[[StyleGenerator], None]
"""Function that completes a generator after its tensors are set."""


def mapping_sources(
    names: Sequence[str],
    weight: Callable[[Tensor], Tensor],
    bias: Callable[[Tensor], Tensor],
    leaf: str = "weight",
) -> dict[str, TensorSource]:
    """Return the sources of a mapping network's layers.

    Args:
        names: Names of the layers in the file.
        weight: Function that converts a weight of the file.
        bias: Function that converts a bias of the file.
        leaf: Last part of the names of weights in the file.
    """
    sources = {}
    for index, name in enumerate(names, start=1):
        sources[f"mapping.network.{index}.0.weight"] = TensorSource((f"{name}.{leaf}",), weight)
        sources[f"mapping.network.{index}.0.bias"] = TensorSource((f"{name}.bias",), bias)
    return sources


def mapping_settings(tensors: Tensors, names: Sequence[str], leaf: str = "weight") -> dict[str, int]:
    """Return the settings of a mapping network.

    Args:
        tensors: Tensors of the file.
        names: Names of the layers in the file.
        leaf: Last part of the names of weights in the file.

    Raises:
        ValueError: If z or w is too long.
    """
    lengths = [shape_of(tensors, f"{name}.{leaf}", 2) for name in names]
    if max(map(max, lengths)) > MAX_LENGTH:
        raise ValueError(
            f"z and w must have at most {MAX_LENGTH:,} numbers; got layers {[list(length) for length in lengths]}"
        )
    return {"z_dim": lengths[0][1], "w_dim": lengths[-1][0], "mapping_depth": len(names)}


def mean_w_source(tensors: Tensors, facts: Facts, name: str, dense: Sequence[str]) -> tuple[TensorSource, Finish]:
    """Return the source of the mean w, and the function that computes it if it is not in the file.

    Args:
        tensors: Tensors of the file.
        facts: Facts of the file.
        name: Name of the mean w in the network, or next to it.
        dense: Names of the mapping layers in the file.
    """
    if name in tensors:
        return copy_tensor(name), _leave
    stored = facts.get(name)
    if isinstance(stored, Tensor):
        return fill_tensor(lambda: stored.detach().float().flatten()), _leave
    return TensorSource((f"{dense[-1]}.bias",), torch.zeros_like), average_w


def _leave(_: StyleGenerator) -> None:
    """Do nothing, since the network is complete."""


def average_w(generator: StyleGenerator) -> None:
    """Set the mean w to the mean over many latent vectors, with a fixed seed.

    Raises:
        ValueError: If it is not finite.
    """
    weights = sum(parameter.numel() for parameter in generator.mapping.network.parameters())
    shape, rng = (min(SAMPLES, MAX_PRODUCTS // weights), generator.z_dim), make_rng(0, "z of the mean w")
    z = torch.randn(shape, generator=rng, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        generator.mapping.w_avg.copy_(generator.mapping.network(z).mean(dim=0))
    if not generator.mapping.w_avg.isfinite().all():
        raise ValueError("the mapping network produces NaN or infinity")


def noise_sources(tensors: Tensors, names: Sequence[str], sides: Sequence[int]) -> dict[str, TensorSource]:
    """Return the sources of the layers' fixed noise, which is drawn if the file contains none.

    Args:
        tensors: Tensors of the file.
        names: Name of each layer's noise in the file.
        sides: Height and width of each layer's grid.
    """
    if any(name in tensors for name in names):
        return {f"layer{index}.noise": reshape_tensor(name, 4) for index, name in enumerate(names, start=1)}
    return {f"layer{index}.noise": draw_noise(index, side) for index, side in enumerate(sides, start=1)}


def draw_noise(number: int, side: int) -> TensorSource:
    """Return the source of drawn noise, which depends only on the layer's number and side."""
    return fill_tensor(partial(_draw, number, side))


def _draw(number: int, side: int) -> Tensor:
    rng = make_rng(0, "noise of imported layers", number)
    return torch.randn(1, 1, side, side, generator=rng, dtype=torch.float32, device="cpu")


def reshape_tensor(name: str, axes: int) -> TensorSource:
    """Return the source of a tensor with a different number of leading axes of length 1 in the file."""

    def make(x: Tensor) -> Tensor:
        more = x.ndim - axes
        return x.reshape(x.shape[more:]) if more >= 0 else x.reshape(*[1] * -more, *x.shape)

    return TensorSource((name,), make)


def find_filters(tensors: Tensors, pattern: str) -> list[str]:
    """Return the names of filters in a file."""
    return [name for name in tensors if re.search(pattern, name)]


def check_filters(tensors: Tensors, names: Sequence[str], row: Sequence[float]) -> None:
    """Check that filters are the expected one, for any number of channels and any scale.

    Args:
        tensors: Tensors of the file.
        names: Names of the filters.
        row: Row of the expected separable filter.

    Raises:
        ValueError: If a filter differs.
    """
    line = torch.tensor(row, dtype=torch.float32, device="cpu")
    expected = torch.outer(line, line)
    for name in names:
        plain = tensors[name].is_floating_point() and tensors[name].numel() <= MAX_FILTER
        filter = tensors[name].float() if plain else torch.empty(0, dtype=torch.float32, device="cpu")
        fits = filter.ndim > 1 and filter.shape[-2:] == expected.shape and filter.numel()
        kernels = filter.reshape(-1, *expected.shape) if fits else expected[None] - 1
        scaled = kernels * (expected.sum() / kernels.sum(dim=(1, 2), keepdim=True))
        if not torch.allclose(scaled, expected.expand_as(scaled), rtol=1e-2, atol=1e-3):
            raise ValueError(f"{name} must be the filter {list(row)} in each direction; others are not supported")
