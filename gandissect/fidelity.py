"""How far generated pictures are from real ones, over the features of a network that the caller names.

The distance is the Frechet distance of two normal distributions fitted to features,

    d(x, y) = |mu_x - mu_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^(1/2)),

which is only "FID" for one particular network; the name of the network belongs to every figure. Beside it stand
the distance of `kernels`, which is not larger for fewer pictures, and the figures of `neighbours`, which tell pictures
that are wrong from pictures that are missing, and copies from inventions. Each has the same figure of training
pictures, in the place of generated ones, beside it: the floor of a distance, the ceiling of a share.

Source: Dowson and Landau 1982; Heusel et al. 2017, Sec. 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .kernels import kernel_distance
from .neighbours import BALL_K, MANIFOLD_K, check_features, density_coverage, nearest_ratio, precision_recall
from .protocols import Generator
from .sampling import blocks, make_rng

Features = Callable[[Tensor], Tensor]
"""From images ``[batch, 3, H, W]`` in [-1, 1] to features ``[batch, d]``."""

BATCH = 64

MIN_HELD_OUT = 8
"""Held-out pictures at least, with which two dimensions of the features are kept."""

INCEPTION, INCEPTION_DIMS = "inception-v3", 2048
"""Name and length of the features with which a Frechet distance is an FID, and a kernel distance a KID."""


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
        larger = max(abs(self.mean), self.std)
        if 0 < larger < 1e-4:
            return f"{self.mean:.1e} ± {self.std:.1e}"
        digits = 1 - math.floor(math.log10(larger)) if 0 < larger < 0.1 else 2  # two that tell
        return f"{self.mean:.{digits}f} ± {self.std:.{digits}f}"


@dataclass(frozen=True, slots=True)
class SetScores:
    """How one set of pictures compares with the held-out ones.

    Args:
        distance: Frechet distance.
        kernel_distance: Unbiased kernel distance.
        kernel_stderr: Its standard error, over this set and the held-out one.
        precision: Share of them in the region of the held-out pictures, k = 3.
        recall: Share of the held-out pictures in their region, k = 3.
        density: How densely they fill the balls of the held-out pictures, k = 5.
        coverage: Share of these balls that they reach, k = 5.
        nearest_ratio: Median distance to the nearest training picture by that to the nearest held-out one.
    """

    distance: float
    kernel_distance: float
    kernel_stderr: float
    precision: float
    recall: float
    density: float
    coverage: float
    nearest_ratio: float


@dataclass(frozen=True, slots=True)
class Scores:
    """How sets of pictures compare with the held-out ones: the figures of `SetScores`, over several sets.

    The held-out pictures are the same for all sets, so the chance in which they are is not in a standard deviation.
    """

    distance: Estimate
    kernel_distance: Estimate
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    nearest_ratio: Estimate

    @classmethod
    def of(cls, sets: Sequence[SetScores]) -> Scores:
        """Return the scores of two or more sets."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: Estimate.of([getattr(each, name) for each in sets]) for name in names})


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
        is_inception = (self.network, self.num_dims) == (INCEPTION, INCEPTION_DIMS)
        frechet, kernel = ("FID", "KID") if is_inception else ("FD", "KD")
        features = f"({self.network}, {self.num_dims} dims, n={self.num_images})"
        titles = {
            "distance": frechet + features,
            "kernel_distance": kernel + features,
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
        num_dims: Dimensions to keep; at most a quarter of the number of held-out pictures is used. None leaves the
            features as they are, as the definitions of FID and KID want it.

    Attributes:
        train: Features of the training pictures, float64 ``[n, d]``.
        held_out: Features of the held-out pictures, float64 ``[n, d]``.

    Raises:
        ValueError: If there are fewer than `MIN_HELD_OUT` held-out pictures, or not more training pictures.
    """

    def __init__(
        self, network: str, features: Features, train: Tensor, held_out: Tensor, num_dims: int | None = 64
    ) -> None:
        if len(held_out) < MIN_HELD_OUT or len(train) <= len(held_out):
            raise ValueError(
                f"need {MIN_HELD_OUT} held-out pictures and more to train on; got {len(held_out)} and {len(train)}"
            )
        self.network, self._network = network, features
        raw = self._raw(_scaled(held_out))
        self._projection = None if num_dims is None else _Projection(raw, num_dims)
        self.held_out, self.train = self._project(raw), self._project(self._raw(_scaled(train)))
        # The kernel is not the same from every origin: far from the pictures it would see little but their mean.
        self._origin = 0 if num_dims is None else self.held_out.mean(dim=0)

    def features(self, images: Tensor) -> Tensor:
        """Return what stands for images in `compare`: their features, projected and scaled.

        Args:
            images: float ``[n, 3, H, W]``; what is beyond [-1, 1] is cut off.

        Returns:
            float64 ``[n, d]``, on CPU.

        Raises:
            ValueError: If they are no images of that kind.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"need float images [n, 3, H, W] in [-1, 1]; got {images.dtype} {list(images.shape)}")
        return self._project(self._raw(torch.split(images, BATCH)))

    def compare(self, features: Tensor, train: Tensor | None = None) -> SetScores:
        """Score a set of pictures against the held-out ones.

        The kernel distance has the mean of the held-out features as its origin, unless they are left as they are.

        Args:
            features: What `features` makes of them, ``[n, d]``, n at least 4.
            train: Features of the training pictures among which the nearest is looked for, ``[m, d]``; by default all.

        Raises:
            ValueError: If the shapes do not fit, or a feature is not finite.
        """
        manifold, balls = precision_recall(self.held_out, features), density_coverage(self.held_out, features)
        kernel = kernel_distance(features - self._origin, self.held_out - self._origin)
        return SetScores(
            distance=frechet_distance(features, self.held_out),
            kernel_distance=kernel.value,
            kernel_stderr=kernel.stderr,
            precision=manifold.precision,
            recall=manifold.recall,
            density=balls.density,
            coverage=balls.coverage,
            nearest_ratio=nearest_ratio(features, self.train if train is None else train, self.held_out),
        )

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
        count = len(self.held_out)
        fake = [self._generated(generator, seed, count, start=index * count) for index in range(num_sets)]
        real, rest = zip(*(self._divided(seed, count, index) for index in range(num_sets)), strict=True)
        return Fidelity(
            network=self.network,
            generated=Scores.of([self.compare(*each) for each in zip(fake, rest, strict=True)]),
            real=Scores.of([self.compare(*each) for each in zip(real, rest, strict=True)]),
            num_images=count,
            num_sets=num_sets,
            num_train=len(rest[0]),
            num_dims=self.held_out.shape[1],
            seed=seed,
        )

    def _divided(self, seed: int, count: int, index: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` training pictures to stand for generated ones, and all the others."""
        order = torch.randperm(len(self.train), generator=make_rng(seed, "fidelity", index))
        return self.train[order[:count]], self.train[order[count:]]

    def _generated(self, generator: Generator, seed: int, count: int, start: int) -> Tensor:
        parts = blocks(count, BATCH, start)
        return self._project(self._raw(generator(generator.sample_z(len(part), seed, part.start)) for part in parts))

    @torch.inference_mode()
    def _raw(self, batches: Iterable[Tensor]) -> Tensor:
        return torch.cat([self._network(images.clamp(-1, 1)).double().cpu() for images in batches])

    def _project(self, raw: Tensor) -> Tensor:
        # A copy made here may be changed and differentiated, what inference mode made may not.
        return raw.clone() if self._projection is None else self._projection(raw)


class _Projection:
    """A fixed random rotation to fewer dimensions, each with standard deviation 1 over the features given."""

    def __init__(self, raw: Tensor, num_dims: int) -> None:
        num_dims = min(num_dims, raw.shape[1], len(raw) // 4)
        mixing = torch.randn(raw.shape[1], num_dims, generator=make_rng(0, "fidelity"), dtype=torch.float64)
        self._rotation = torch.linalg.qr(mixing).Q
        self._scale = (raw @ self._rotation).std(dim=0).clamp(min=1e-9)

    def __call__(self, raw: Tensor) -> Tensor:
        projected: Tensor = (raw @ self._rotation) / self._scale
        return projected


def _scaled(pictures: Tensor) -> Iterator[Tensor]:
    """Yield uint8 pictures in batches, as float32 in [-1, 1]."""
    return (part.float() / 127.5 - 1 for part in torch.split(pictures, BATCH))


def _square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix; rounding below zero is cut off."""
    values, vectors = torch.linalg.eigh(matrix)
    if not math.isfinite(float(values.sum())):
        raise ValueError("the covariance of the features is not finite")
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
