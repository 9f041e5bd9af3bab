"""How far generated pictures are from real ones, over the features of a network that the caller names.

The distance is the Frechet distance of two normal distributions fitted to features,

    d(x, y) = |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)),

which is only "FID" for one particular network; the name of the network belongs to every figure. Beside it stand
the figures of `neighbours`, which tell pictures that are wrong from pictures that are missing, and copies from
inventions. All depend on the number of pictures, so each has the same figure of training pictures, in the place
of generated ones, beside it: the floor of a distance, the ceiling of a share.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .neighbours import BALL_K, MANIFOLD_K, check_features, density_coverage, nearest_ratio, precision_recall
from .protocols import Generator
from .sampling import blocks, make_rng

Features = Callable[[Tensor], Tensor]
"""From images ``[batch, 3, H, W]`` in [-1, 1] to features ``[batch, d]``."""

BATCH = 64

MIN_HELD_OUT = 8
"""Held-out pictures at least, with which two dimensions of the features are kept."""


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Return the Frechet distance of the normal distributions fitted to two sets of features.

    Args:
        x: ``[n, d]``, n at least 2.
        y: ``[m, d]``, m at least 2.

    Returns:
        0 or more, in squared units of the features.

    Raises:
        ValueError: If the shapes do not fit or a feature is not finite.

    Source: Dowson and Landau 1982.
    """
    x, y = check_features(x, y, min_count=2)
    covariance_x, covariance_y = (torch.cov(each.T).reshape(x.shape[1], -1) for each in (x, y))
    return frechet_distance_of_moments(x.mean(dim=0), covariance_x, y.mean(dim=0), covariance_y)


def frechet_distance_of_moments(mean_x: Tensor, covariance_x: Tensor, mean_y: Tensor, covariance_y: Tensor) -> float:
    """Return the Frechet distance of two normal distributions.

    ``Tr (S_x S_y)^(1/2)`` is taken as the trace of the root of the symmetric ``R S_y R`` with ``R R = S_x``,
    which has no imaginary part.

    Args:
        mean_x: float64 ``[d]``.
        covariance_x: float64 ``[d, d]``.
        mean_y: float64 ``[d]``.
        covariance_y: float64 ``[d, d]``.

    Returns:
        0 or more, in squared units of the means.

    Raises:
        ValueError: If the shapes do not fit or a covariance is not finite.

    Source: Dowson and Landau 1982.
    """
    shapes = [tuple(each.shape) for each in (mean_x, covariance_x, mean_y, covariance_y)]
    d = mean_x.numel()
    if shapes != [(d,), (d, d), (d,), (d, d)]:
        raise ValueError(f"need means [d] and covariances [d, d] with the same d; got {shapes}")
    root = _square_root(covariance_x)
    shared = torch.linalg.eigvalsh(root @ covariance_y @ root).clamp(min=0).sqrt().sum()
    means = (mean_x - mean_y).square().sum()
    return max(0.0, float(means + covariance_x.trace() + covariance_y.trace() - 2 * shared))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over several sets of pictures.

    Args:
        mean: Its mean.
        std: Its standard deviation from set to set.
    """

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Return the mean and standard deviation of two or more values."""
        figures = torch.tensor(values, dtype=torch.float64)
        return cls(float(figures.mean()), float(figures.std()))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"


@dataclass(frozen=True, slots=True)
class Scores:
    """How sets of pictures compare with the held-out ones.

    Args:
        distance: Frechet distance.
        precision: Share of them in the region of the held-out pictures, k = 3.
        recall: Share of the held-out pictures in their region, k = 3.
        density: How densely they fill the balls of the held-out pictures, k = 5.
        coverage: Share of these balls that they reach, k = 5.
        nearest_ratio: Median distance to the nearest training picture by that to the nearest held-out one.
    """

    distance: Estimate
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    nearest_ratio: Estimate


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How generated pictures compare with held-out real ones, and how training pictures would in their place.

    A generator that copies has a ``nearest_ratio`` near 0; one that memorises nothing, that of ``real`` or more.

    Args:
        network: The feature network's name.
        generated: Scores of generated pictures.
        real: Scores of training pictures, at the same n.
        num_images: n, pictures in each set.
        num_sets: Sets of generated and of training pictures.
        num_train: Other training pictures, among which the nearest is looked for.
        num_dims: Length of a feature vector.
        seed: Seed of the generated pictures and of the choice of training pictures.
    """

    network: str
    generated: Scores
    real: Scores
    num_images: int
    num_sets: int
    num_train: int
    num_dims: int
    seed: int

    @property
    def distance(self) -> float:
        """Mean Frechet distance of generated from held-out pictures."""
        return self.generated.distance.mean

    @property
    def distance_std(self) -> float:
        """Standard deviation of the distance from set to set."""
        return self.generated.distance.std

    @property
    def floor(self) -> float:
        """Mean Frechet distance of training from held-out pictures, at the same n."""
        return self.real.distance.mean

    @property
    def floor_std(self) -> float:
        """Standard deviation of the floor from set to set."""
        return self.real.distance.std

    def __str__(self) -> str:
        titles = {
            "distance": f"FD({self.network}, {self.num_dims} dims, n={self.num_images})",
            **{name: f"{name} (k={MANIFOLD_K})" for name in ("precision", "recall")},
            **{name: f"{name} (k={BALL_K})" for name in ("density", "coverage")},
            "nearest_ratio": f"nearest of {self.num_train} training / of {self.num_images} held-out pictures",
        }
        return "\n".join(
            f"{title} {getattr(self.generated, name)}; real against real {getattr(self.real, name)}"
            for name, title in titles.items()
        )


class Yardstick:
    """Real pictures as features, to measure generators against.

    Features are projected to ``num_dims`` dimensions by a fixed random rotation and divided by their standard
    deviation over the held-out pictures, since a covariance needs several times as many pictures as dimensions.

    Args:
        network: The feature network's name.
        features: The feature network.
        train: Training pictures, uint8 ``[n, 3, H, W]``, more than held out; copies of any others go unseen.
        held_out: Held-out pictures, uint8 ``[n, 3, H, W]``.
        num_dims: Dimensions to keep; at most a quarter of the number of held-out pictures is used.

    Raises:
        ValueError: If there are fewer than `MIN_HELD_OUT` held-out pictures, or not more training pictures.
    """

    def __init__(self, network: str, features: Features, train: Tensor, held_out: Tensor, num_dims: int = 64) -> None:
        if len(held_out) < MIN_HELD_OUT or len(train) <= len(held_out):
            raise ValueError(
                f"need {MIN_HELD_OUT} held-out pictures and more to train on; got {len(held_out)} and {len(train)}"
            )
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
        real, rest = zip(*(self._divided(seed, count, index) for index in range(num_sets)), strict=True)
        return Fidelity(
            network=self.network,
            generated=_compare(fake, rest, self._held_out),
            real=_compare(real, rest, self._held_out),
            num_images=count,
            num_sets=num_sets,
            num_train=len(rest[0]),
            num_dims=self._rotation.shape[1],
            seed=seed,
        )

    def _divided(self, seed: int, count: int, index: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` training pictures to stand for generated ones, and all the others."""
        order = torch.randperm(len(self._train), generator=make_rng(seed, "fidelity", index))
        return self._train[order[:count]], self._train[order[count:]]

    @torch.inference_mode()
    def _generated(self, generator: Generator, seed: int, count: int, start: int) -> Tensor:
        parts = [
            self._features(generator(generator.sample_z(len(block), seed, block.start)).clamp(-1, 1)).double().cpu()
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


def _compare(sets: Sequence[Tensor], train: Sequence[Tensor], held_out: Tensor) -> Scores:
    """Score sets of features against the held-out ones, and each against the training pictures that go with it."""
    manifolds = [precision_recall(held_out, each) for each in sets]
    balls = [density_coverage(held_out, each) for each in sets]
    pairs = list(zip(sets, train, strict=True))
    return Scores(
        distance=Estimate.of([frechet_distance(each, held_out) for each in sets]),
        precision=Estimate.of([each.precision for each in manifolds]),
        recall=Estimate.of([each.recall for each in manifolds]),
        density=Estimate.of([each.density for each in balls]),
        coverage=Estimate.of([each.coverage for each in balls]),
        nearest_ratio=Estimate.of([nearest_ratio(each, others, held_out) for each, others in pairs]),
    )


def _square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix; rounding below zero is cut off."""
    values, vectors = torch.linalg.eigh(matrix)
    if not math.isfinite(float(values.sum())):
        raise ValueError("the covariance of the features is not finite")
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
