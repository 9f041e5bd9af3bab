"""Scores of generated images beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..stats.intervals import Estimate
from .neighbours import BALL_K, MANIFOLD_K

INCEPTION, INCEPTION_DIMS = "inception-v3", 2048
"""Name and length of the features with which a Frechet distance is an FID, and a kernel distance a KID."""


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
