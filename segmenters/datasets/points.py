"""Mixtures of Gaussians in the plane, a test bed on which GANs train in minutes.

``ring8``: 8 modes on a circle of radius 2, standard deviation 0.02, all divided by sqrt(2). ``grid25``: 5 x 5 modes at
-4, -2, 0, 2, 4, standard deviation 0.05, all divided by 2 sqrt(2).

Source: Gulrajani et al. 2017, Sec. 3 (mixtures of the figures).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from gandissect.core.sampling import derive_seed, make_rng


@dataclass(frozen=True, slots=True)
class Mixture:
    """Uniform mixture of Gaussians.

    Attributes:
        centers: Means of the modes, float32 ``[mode, 2]``.
        sigma: Standard deviation of every mode along each axis.
    """

    centers: Float32[Tensor, "mode 2"]
    sigma: float


def _ring() -> Mixture:
    angles = torch.arange(8, dtype=torch.float32, device="cpu") * (2 * math.pi / 8)
    return Mixture(torch.stack([angles.cos(), angles.sin()], 1) * 2 / math.sqrt(2), 0.02 / math.sqrt(2))


def _grid() -> Mixture:
    line = torch.arange(-4, 5, 2, dtype=torch.float32, device="cpu")
    return Mixture(torch.cartesian_prod(line, line) / (2 * math.sqrt(2)), 0.05 / (2 * math.sqrt(2)))


MIXTURES = {"ring8": _ring, "grid25": _grid}
"""Mixtures by name."""


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Points as images of one pixel.

    Attributes:
        images: Coordinates x, y and 0, float32 ``[batch, 3, 1, 1]``.
    """

    images: Float32[Tensor, "batch 3 1 1"]


class Points:
    """Source of points drawn from a mixture; point ``i`` depends only on ``(seed, i)``.

    Args:
        name: Name of the mixture: ``ring8`` or ``grid25``.
        num_points: Number of points, at least 1.
        seed: Seed of the points.

    Raises:
        ValueError: If ``num_points`` is less than 1.
    """

    size = 1
    BLOCK = 4096

    def __init__(self, name: str, num_points: int = 100_000, seed: int = 0) -> None:
        if num_points < 1:
            raise ValueError(f"num_points must be at least 1; got {num_points}")
        self.name, self.mixture, self.seed = name, MIXTURES[name](), seed
        starts = range(0, num_points, self.BLOCK)
        self._points = torch.cat([self._draw(block) for block, _ in enumerate(starts)])[:num_points]

    def __repr__(self) -> str:
        return f"Points({self.name!r}, num_points={len(self)}, seed={self.seed})"

    def __len__(self) -> int:
        return len(self._points)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PointBatch:  # noqa: ARG002
        """Return points by index, in a single view; ``rng`` is ignored."""
        points = self._points[list(indices)]
        return PointBatch(torch.nn.functional.pad(points, (0, 1))[:, :, None, None])

    def _draw(self, block: int) -> Float32[Tensor, "block 2"]:
        rng = make_rng(derive_seed(self.seed, "points", self.name), block)
        mode = torch.randint(len(self.mixture.centers), (self.BLOCK,), generator=rng, device="cpu")
        noise = torch.randn((self.BLOCK, 2), generator=rng, dtype=torch.float32, device="cpu")
        return self.mixture.centers[mode] + self.mixture.sigma * noise
