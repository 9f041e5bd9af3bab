"""Where units are on: bilinear upsampling of activations, and the pixels above a level.

For a map of ``h`` rows stretched to ``H``, row ``y`` of the result lies at ``(y + 1/2) h / H - 1/2`` of the
map, clamped to its border; so for columns. This is torch's ``interpolate(align_corners=False)``. Along each
axis a value is ``a + w (b - a)`` between its neighbours ``a`` and ``b``, each operation rounded on its own:
the result is the same bit for bit on every device, in every batch, and never leaves the range of the map.

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float32
from torch import Tensor

CHUNK_PIXELS = {"cpu": 2**18, "cuda": 2**26}
"""Pixels interpolated at once: on CPU so that they stay in its cache."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Some pixels of upsampled activations.

    Args:
        sample: int64 ``[pixel]``, row of the batch.
        unit: int64 ``[pixel]``, channel.
        position: int64 ``[pixel]``, ``y * W + x``.
        value: float32 ``[pixel]``, the upsampled activation there.
    """

    sample: Tensor
    unit: Tensor
    position: Tensor
    value: Tensor


def upsample(
    activation: Float32[Tensor, "batch unit h w"], size: tuple[int, int], step: int = 1
) -> Float32[Tensor, "batch unit H W"]:
    """Interpolate maps bilinearly.

    Args:
        activation: float32 ``[batch, unit, h, w]``, finite.
        size: Rows and columns to reach, each 1 or more; may be fewer than there are.
        step: Return every ``step``-th row and column only, from the first on.

    Returns:
        float32 ``[batch, unit, H, W]``, with ``ceil(H / step)`` rows and so many columns.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    batch, units, height, width = activation.shape
    chunks = torch.split(activation.reshape(batch * units, height * width), _chunk(size, activation.device))
    parts = [_stretch(maps.T.reshape(height, width, len(maps)), size, step).permute(2, 0, 1) for maps in chunks]
    stretched = torch.cat(parts) if len(parts) > 1 else parts[0]
    return stretched.reshape(batch, units, *stretched.shape[1:])


def pixels_above(
    activation: Float32[Tensor, "batch unit h w"], level: Float32[Tensor, " unit"], size: tuple[int, int]
) -> Iterator[Pixels]:
    """Find the pixels of the upsampled maps that lie strictly above each unit's level.

    Maps whose maximum does not exceed the level are not upsampled: no pixel of theirs can.

    Args:
        activation: float32 ``[batch, unit, h, w]``, finite.
        level: float32 ``[unit]``.
        size: Rows and columns of the upsampled maps.

    Yields:
        Pixels, each once, some maps at a time.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    batch, units, height, width = activation.shape
    maps = activation.reshape(batch * units, height * width)
    reach = maps.amax(1).reshape(batch, units) > level
    for index in torch.split(reach.flatten().nonzero().squeeze(1), _chunk(size, activation.device)):
        unit = index % units
        values = _stretch(maps[index].T.reshape(height, width, len(index)), size).reshape(-1)
        found = _true_positions(values.view(size[0] * size[1], len(index)) > level[unit])
        column = found % len(index)
        yield Pixels((index // units)[column], unit[column], found // len(index), values[found])


def _chunk(size: tuple[int, int], device: torch.device) -> int:
    """Return how many maps to stretch to a size at once."""
    return max(1, CHUNK_PIXELS.get(device.type, 2**22) // (size[0] * size[1]))


def _stretch(maps: Tensor, size: tuple[int, int], step: int = 1) -> Tensor:
    """Interpolate ``[h, w, map]`` to ``[H, W, map]``; maps come last so that every step runs over whole rows."""
    for axis, length in enumerate(size):
        low, high, weight = _neighbours(maps.shape[axis], length, step, maps.device)
        start = maps.index_select(axis, low)
        rise = maps.index_select(axis, high).sub_(start)
        maps = rise.mul_(weight.reshape([-1 if each == axis else 1 for each in range(3)])).add_(start)
    return maps


@lru_cache(maxsize=64)
def _neighbours(length: int, target: int, step: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for every ``step``-th of ``target`` points, the entries around it and how far it lies between."""
    with torch.inference_mode(False):  # they outlive the caller, who may be in that mode
        points = torch.arange(0, target, step, dtype=torch.float64)
        place = ((points + 0.5) * length / target - 0.5).clamp(0, length - 1)
        low = place.floor().long()
        weight = (place - low).float()
        return low.to(device), (low + 1).clamp(max=length - 1).to(device), weight.to(device)


def _true_positions(mask: Tensor) -> Tensor:
    """Return where a mask is true, counted row by row."""
    if mask.device.type == "cpu":  # numpy needs less than half the time of torch here
        return torch.from_numpy(mask.numpy().reshape(-1).nonzero()[0])
    return mask.reshape(-1).nonzero().squeeze(1)
