"""Scores of generated images beside real ones, and shares of concepts in generated and in real images.

With s_c(x) the share of the pixels of image x that belong to concept c, over n generated and m real images,

    difference_c = mean s_c(generated) - mean s_c(real),
    stderr_c^2 = var s_c(generated) / n + var s_c(real) / m.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, check_concepts
from ..stats.intervals import Z_95, Estimate
from ..storage.saved import SavedResult, check_tensor
from .neighbors import BALL_K, MANIFOLD_K

INCEPTION, INCEPTION_DIMS = "inception-v3", 2048
"""Name and length of the features with which a Frechet distance is an FID, and a kernel distance a KID."""

MIN_SAMPLES = 20
"""Fewer images give neither a covariance nor an interval to rely on."""


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
        return cls(**{name: Estimate.of([getattr(scores, name) for scores in sets]) for name in names})


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How generated pictures compare with held-out real ones, and how training pictures would in their place.

    A generator that copies has a ``nearest_ratio`` near 0; one that memorizes nothing, that of ``real`` or more.

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


@dataclass(frozen=True, slots=True)
class ConceptShare:
    """How much of the image one concept takes up; standard errors are those over images.

    Args:
        concept: The concept's name.
        generated: Mean share of the pixels of generated images, 0 to 1.
        generated_stderr: Its standard error.
        real: Mean share of the pixels of real images, 0 to 1.
        real_stderr: Its standard error.
    """

    concept: str
    generated: float
    generated_stderr: float
    real: float
    real_stderr: float

    @property
    def difference(self) -> float:
        """Generated less real; below 0 where the generator leaves something out."""
        return self.generated - self.real

    @property
    def difference_stderr(self) -> float:
        """Standard error of the difference."""
        return math.hypot(self.generated_stderr, self.real_stderr)

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the difference, 95 %; of 20 concepts one is expected outside its own by chance."""
        reach = Z_95 * self.difference_stderr
        return self.difference - reach, self.difference + reach

    @property
    def z_score(self) -> float | None:
        """The difference in standard errors; None where no image differs from another."""
        return self.difference / self.difference_stderr if self.difference_stderr > 0 else None

    @property
    def log2_ratio(self) -> float | None:
        """Binary logarithm of generated by real, -1 for half as much; None where either is 0."""
        return math.log2(self.generated / self.real) if self.generated > 0 and self.real > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class ShareMoments:
    """Mean and covariance of the shares over some images.

    Args:
        mean: float64 ``[concept]``, 0 to 1.
        covariance: float64 ``[concept, concept]``, unbiased.
        num_images: Images, 2 or more.
    """

    mean: Float64[Tensor, " concept"]
    covariance: Float64[Tensor, "concept concept"]
    num_images: int

    def __post_init__(self) -> None:
        check_tensor("mean share", self.mean, torch.float64, (None,))
        check_tensor("covariance of shares", self.covariance, torch.float64, (len(self.mean), len(self.mean)))
        possible = bool((self.mean >= 0).all()) and float(self.mean.sum()) < 1 + 1e-9
        possible &= bool(self.covariance.isfinite().all()) and bool((self.covariance.diagonal() >= 0).all())
        if not possible or self.num_images < 2:
            raise ValueError(f"mean and covariance are not those of the shares of {self.num_images} images")

    @property
    def stderr(self) -> Float64[Tensor, " concept"]:
        """Standard error of the mean, float64 ``[concept]``."""
        return (self.covariance.diagonal() / self.num_images).sqrt()


@dataclass(frozen=True, slots=True)
class SegmentationDistance:
    """A Frechet segmentation distance.

    Args:
        value: In squared percentage points, 0 or more.
        stderr: Its standard error by the jackknife; too large rather than too small where the value is near its floor.
    """

    value: float
    stderr: float

    def __post_init__(self) -> None:
        if not (0 <= self.value < math.inf and 0 <= self.stderr < math.inf):
            raise ValueError(f"a distance and its standard error are 0 or more; got {self.value}, {self.stderr}")

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.stderr:.2f}"


@dataclass(frozen=True, slots=True)
class SharesProvenance:
    """What produced the shares.

    Args:
        generator: The generator's name and fingerprint.
        segmenter: The segmenter's name and fingerprint.
        real: The name of the real images.
        seed: Of the latent vectors and of the choice of real images.
        num_samples: Latent vectors, from index 0; twice as many real images were drawn.
        num_real: Real images that they were drawn from.
        batch_size: Images that went through the networks at once.
        image_size: Height and width of an image.
        device: Where it was computed.
        versions: Of the packages, by name.
        duration: Seconds that it took.
    """

    generator: NetworkId
    segmenter: NetworkId
    real: str
    seed: int
    num_samples: int
    num_real: int
    batch_size: int
    image_size: tuple[int, int]
    device: str = field(compare=False)
    versions: Mapping[str, str] = field(compare=False)
    duration: float = field(compare=False)

    def __post_init__(self) -> None:
        if not (MIN_SAMPLES <= self.num_samples <= self.num_real // 2 and 0 <= self.duration < math.inf):
            raise ValueError(f"provenance has a number out of range: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class ConceptShares(SavedResult):
    """How much of the image each concept takes up, in generated and in real images.

    ``shares["tree"]`` is the `ConceptShare` of that name, ``for share in shares`` goes through all of them.

    Args:
        concepts: What the segmenter names.
        generated: Moments over the generated images.
        real: Moments over the real ones, twice as many.
        distance: Of the generated images from the first half of the real ones.
        floor: Of the second half of the real images from the first, at the same n.
        provenance: What produced it.
    """

    FILE_NAME: ClassVar[str] = "shares.safetensors"
    VERSION: ClassVar[int] = 1

    concepts: tuple[Concept, ...]
    generated: ShareMoments
    real: ShareMoments
    distance: SegmentationDistance
    floor: SegmentationDistance
    provenance: SharesProvenance

    def __post_init__(self) -> None:
        check_concepts(self.concepts)
        lengths = {len(self.concepts), len(self.generated.mean), len(self.real.mean)}
        if len(lengths) > 1:
            raise ValueError(f"there are {len(self.concepts)} concepts, and moments of {sorted(lengths)}")

    def __getitem__(self, concept: str) -> ConceptShare:
        """Return the shares of one concept.

        Raises:
            KeyError: If the segmenter does not name it, naming the nearest match.
        """
        return lookup({share.concept: share for share in self}, concept, "concept")

    def __iter__(self) -> Iterator[ConceptShare]:
        sides = (self.generated, self.real)
        columns = [column.tolist() for side in sides for column in (side.mean, side.stderr)]
        for concept, *row in zip(self.concepts, *columns, strict=True):
            yield ConceptShare(concept.name, *row)

    def __len__(self) -> int:
        return len(self.concepts)

    def __str__(self) -> str:
        title = f"Frechet segmentation distance ({self.provenance.segmenter}, n={self.provenance.num_samples})"
        return f"{title} {self.distance}; real against real {self.floor}"

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary a concept, ready for JSON or a table.

        Keys: ``concept generated generated_stderr real real_stderr difference difference_low difference_high z_score
        log2_ratio``.
        """
        return [_make_record(share) for share in self]


def _make_record(share: ConceptShare) -> dict[str, Any]:
    """Return one concept as plain values."""
    low, high = share.interval
    return {
        "concept": share.concept,
        "generated": share.generated,
        "generated_stderr": share.generated_stderr,
        "real": share.real,
        "real_stderr": share.real_stderr,
        "difference": share.difference,
        "difference_low": low,
        "difference_high": high,
        "z_score": share.z_score,
        "log2_ratio": share.log2_ratio,
    }
