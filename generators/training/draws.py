"""Random numbers of a batch of which each process holds some rows."""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


class Draws:
    """Draws numbers for every image of the whole batch and returns those of this process's rows.

    The numbers of an image depend only on its position in the whole batch, not on the number of processes.

    Args:
        rng: Random generator; the numbers are on its device.
        total: Number of images in the whole batch.
        rows: Rows of the whole batch that this process holds; all by default.
    """

    def __init__(self, rng: torch.Generator, total: int, rows: slice = slice(None)) -> None:
        self._rng, self._total, self._rows = rng, total, rows

    def uniform(self, *shape: int) -> Float32[Tensor, "batch ..."]:
        """Return float32 ``[rows, *shape]`` from 0 to 1."""
        size, rng = (self._total, *shape), self._rng
        return torch.rand(size, generator=rng, dtype=torch.float32, device=rng.device)[self._rows]

    def normal(self, *shape: int) -> Float32[Tensor, "batch ..."]:
        """Return standard normal float32 ``[rows, *shape]``."""
        size, rng = (self._total, *shape), self._rng
        return torch.randn(size, generator=rng, dtype=torch.float32, device=rng.device)[self._rows]

    def integers(self, low: int, high: int, *shape: int) -> Int64[Tensor, "batch ..."]:
        """Return int64 ``[rows, *shape]`` from ``low`` to ``high - 1``."""
        size = (self._total, *shape)
        return torch.randint(low, high, size, generator=self._rng, device=self._rng.device)[self._rows]
