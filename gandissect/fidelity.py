"""How far generated pictures are from real ones, over the features of a network that the caller names.

The distance is the Frechet distance of two normal distributions fitted to features,

    d(x, y) = |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)),

which is only "FID" for one particular network; the name of the network belongs to every figure. It is
biased upwards for few samples, so the same distance between real and held-out real pictures, at the
same n, stands beside it: the floor.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

from .protocols import Generator
from .sampling import blocks, make_rng

Features = Callable[[Tensor], Tensor]
"""From images ``[batch, 3, H, W]`` in [-1, 1] to features ``[batch, d]``."""

BATCH = 64


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Return the Frechet distance of the normal distributions fitted to two sets of features.

    ``Tr (S_x S_y)^(1/2)`` is taken as the trace of the root of the symmetric ``R S_y R`` with ``R R = S_x``,
    which has no imaginary part.

    Args:
        x: ``[n, d]``, n at least 2.
        y: ``[m, d]``, m at least 2.

    Returns:
        0 or more, in squared units of the features.

    Raises:
        ValueError: If the shapes do not fit or a feature is not finite.

    Source: Dowson and Landau 1982.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"need features [n, d] and [m, d] with n, m >= 2; got {list(x.shape)} and {list(y.shape)}")
    x, y = x.double(), y.double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("features are not finite; look at the images or the feature network")
    covariance_x, covariance_y = (torch.cov(each.T).reshape(x.shape[1], -1) for each in (x, y))
    root = _square_root(covariance_x)
    shared = torch.linalg.eigvalsh(root @ covariance_y @ root).clamp(min=0).sqrt().sum()
    means = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    return max(0.0, float(means + covariance_x.trace() + covariance_y.trace() - 2 * shared))


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A distance between generated and held-out real pictures, with its floor.

    Args:
        network: The feature network's name.
        distance: Mean Frechet distance of generated from held-out pictures.
        distance_std: Its standard deviation over the sets of generated pictures.
        floor: Mean Frechet distance of training from held-out pictures, at the same n.
        floor_std: Its standard deviation over the sets of training pictures.
        num_images: n, pictures in each set.
        num_sets: Sets of generated and of training pictures.
        num_dims: Length of a feature vector.
        seed: Seed of the generated pictures and of the choice of training pictures.
    """

    network: str
    distance: float
    distance_std: float
    floor: float
    floor_std: float
    num_images: int
    num_sets: int
    num_dims: int
    seed: int

    def __str__(self) -> str:
        return (
            f"FD({self.network}, {self.num_dims} dims, n={self.num_images}) "
            f"{self.distance:.2f} ± {self.distance_std:.2f}; real against real {self.floor:.2f} ± {self.floor_std:.2f}"
        )


class Yardstick:
    """Real pictures as features, to measure generators against.

    Features are projected to ``num_dims`` dimensions by a fixed random rotation and divided by their standard
    deviation over the held-out pictures, since a covariance needs several times as many pictures as dimensions.

    Args:
        network: The feature network's name.
        features: The feature network.
        train: Training pictures, uint8 ``[n, 3, H, W]``, at least as many as held out.
        held_out: Held-out pictures, uint8 ``[n, 3, H, W]``.
        num_dims: Dimensions to keep; at most a quarter of the number of held-out pictures is used.

    Raises:
        ValueError: If there are fewer than 8 held-out pictures, or fewer training pictures than held out.
    """

    def __init__(self, network: str, features: Features, train: Tensor, held_out: Tensor, num_dims: int = 64) -> None:
        if len(held_out) < 8 or len(train) < len(held_out):
            raise ValueError(f"need 8 held-out pictures and as many to train on; got {len(held_out)} and {len(train)}")
        self.network, self._features = network, features
        raw = self._raw(held_out)
        num_dims = min(num_dims, raw.shape[1], len(held_out) // 4)
        mixing = torch.randn(raw.shape[1], num_dims, generator=make_rng(0, "fidelity"), dtype=torch.float64)
        self._rotation = torch.linalg.qr(mixing).Q
        self._scale = (raw @ self._rotation).std(dim=0).clamp(min=1e-9)
        self._held_out, self._train = self._project(raw), self._project(self._raw(train))

    def measure(self, generator: Generator, seed: int = 0, num_sets: int = 5) -> Fidelity:
        """Measure a generator.

        Args:
            generator: Any generator that makes pictures of the same size.
            seed: Seed of its pictures.
            num_sets: How many sets of pictures, each as large as the held-out one; 2 or more.

        Raises:
            ValueError: If there are fewer than 2 sets.
        """
        if num_sets < 2:
            raise ValueError(f"num_sets is 2 or more; got {num_sets}")
        count = len(self._held_out)
        fake = [self._generated(generator, seed, count, start=index * count) for index in range(num_sets)]
        real = [self._chosen(seed, count, index) for index in range(num_sets)]
        distances = [frechet_distance(features, self._held_out) for features in fake]
        floors = [frechet_distance(features, self._held_out) for features in real]
        return Fidelity(
            network=self.network,
            distance=fmean(distances),
            distance_std=stdev(distances),
            floor=fmean(floors),
            floor_std=stdev(floors),
            num_images=count,
            num_sets=num_sets,
            num_dims=self._rotation.shape[1],
            seed=seed,
        )

    def _chosen(self, seed: int, count: int, index: int) -> Tensor:
        order = torch.randperm(len(self._train), generator=make_rng(seed, "fidelity", index))
        return self._train[order[:count]]

    @torch.inference_mode()
    def _generated(self, generator: Generator, seed: int, count: int, start: int) -> Tensor:
        parts = [
            self._features(generator(generator.sample_z(len(block), seed, block.start))).double().cpu()
            for block in blocks(count, BATCH, start)
        ]
        return self._project(torch.cat(parts))

    @torch.inference_mode()
    def _raw(self, pictures: Tensor) -> Tensor:
        parts = torch.split(pictures, BATCH)
        return torch.cat([self._features(part.float() / 127.5 - 1).double().cpu() for part in parts])

    def _project(self, raw: Tensor) -> Tensor:
        projected: Tensor = (raw @ self._rotation) / self._scale
        return projected


def _square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix; rounding below zero is cut off."""
    values, vectors = torch.linalg.eigh(matrix)
    if not math.isfinite(float(values.sum())):
        raise ValueError("the covariance of the features is not finite")
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
