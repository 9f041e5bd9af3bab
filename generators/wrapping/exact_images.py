"""Images of a wrapped module that are the same on every machine, used to distinguish networks by their output.

Float32 results depend on the device and the number of threads. Therefore a copy of the module runs on the CPU in
float64, whose rounding errors are a billion times smaller than the levels to which images are quantized. If an
operation falls back to lower precision, or the copy fails to run, there are no such images.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

M = TypeVar("M", bound=nn.Module)

CELLS = 16
"""Cells per side over which an image is averaged; at most its pixels."""
LEVELS = 4096
"""Number of levels from black to white."""
OFFSET = 0.3717
"""Offset of the boundaries between levels, as a share of a level, so that black, white and k/255 are inside one."""


class _Float64Only(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives no types here
    """Refuses to compute in lower precision than float64."""

    def __torch_dispatch__(
        self, function: Callable[..., Any], _types: Any, arguments: tuple[Any, ...] = (), settings: Any = None
    ) -> Any:
        result = function(*arguments, **(settings or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64:
                raise TypeError(f"{function} returned {value.dtype}")
        return result


def copy_to_float64(network: M) -> M:
    """Return a copy of a module on the CPU whose parameters, buffers and plain tensors are float64."""
    tensors = chain(network.parameters(), network.buffers())
    plain = (value for part in network.modules() for value in vars(part).values() if isinstance(value, Tensor))
    memo: dict[int, Any] = {id(tensor): _convert(tensor) for tensor in chain(tensors, plain)}
    return deepcopy(network, memo).to("cpu", torch.float64)  # .to() for scripts, which copy their own tensors


def _convert(tensor: Tensor) -> Tensor:
    exact = tensor.detach().cpu()
    exact = exact.double() if exact.is_floating_point() else exact.clone()
    return nn.Parameter(exact, requires_grad=False) if isinstance(tensor, nn.Parameter) else exact


@torch.inference_mode(False)
@torch.no_grad()
def quantize_images(
    network: M,
    run: Callable[[M, Float64[Tensor, "batch z"]], Float64[Tensor, "batch channel H W"]],
    z: Float[Tensor, "batch z"],
    value_range: tuple[float, float],
) -> Int64[Tensor, "batch channel row column"] | None:
    """Return the quantized images of ``z``, the same on every machine; None if the copy does not run in float64.

    Args:
        network: Module to run a copy of.
        run: Function that returns the images of a copy for latent vectors.
        z: float ``[batch, z_dim]``, a few latent vectors.
        value_range: Values of black and white in the images.
    """
    try:
        copy, exact_z = copy_to_float64(network), z.double()
        with _Float64Only():  # type: ignore[no-untyped-call]
            images = run(copy, exact_z)
    except Exception:  # a third-party module that expects float32 may fail with any error
        return None
    cells = adaptive_avg_pool2d(images, (min(CELLS, images.shape[2]), min(CELLS, images.shape[3])))
    black, white = value_range
    levels = (cells - black) / (white - black) * LEVELS + OFFSET
    return levels.floor().long() if bool(levels.isfinite().all()) else None
