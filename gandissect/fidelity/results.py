"""Results: scores of generated and of real images, and shares of concepts in both.

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

from ..core.display import Displayed, Tabular
from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, check_concepts
from ..stats.intervals import Z_95, Estimate
from ..storage.saved import SavedResult, check_tensor
from .neighbors import BALL_K, MANIFOLD_K

INCEPTION, INCEPTION_DIMS = "inception-v3", 2048
"""Name and dimensions of the features that make a Fréchet distance an FID, and a kernel distance a KID."""

MIN_SAMPLES = 20
"""Minimum number of generated images; with fewer, neither covariances nor intervals are reliable."""


@dataclass(frozen=True, slots=True, repr=False)
class SetScores(Displayed):
    """The scores of one set of pictures against the held-out pictures.

    Args:
        distance: Fréchet distance.
        kernel_distance: Unbiased kernel distance.
        kernel_stderr: Standard error of the kernel distance, over this set and the held-out pictures.
        precision: Share of the set in the region of the held-out pictures, k = 3.
        recall: Share of the held-out pictures in the region of the set, k = 3.
        density: Density of the set in the balls of the held-out pictures, k = 5; nonnegative.
        coverage: Share of the balls of the held-out pictures that contain a picture of the set, k = 5.
        nearest_ratio: Median distance to the nearest training picture, divided by the median distance to the nearest
            held-out picture.
    """

    distance: float
    kernel_distance: float
    kernel_stderr: float
    precision: float
    recall: float
    density: float
    coverage: float
    nearest_ratio: float

    def _summarize(self) -> str:
        return f"distance={self.distance:.4g}, precision={self.precision:.3f}, recall={self.recall:.3f}"


@dataclass(frozen=True, slots=True, repr=False)
class Scores(Displayed):
    """The scores of `SetScores` as means and standard deviations over several sets of pictures.

    The held-out pictures are the same for all sets, so standard deviations do not include their sampling error.
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

    def _summarize(self) -> str:
        return f"distance {self.distance}, precision {self.precision}, recall {self.recall}"


@dataclass(frozen=True, slots=True, repr=False)
class Fidelity(Tabular):
    """The scores of generated pictures against held-out pictures, and the same scores of training pictures.

    A generator that copies training pictures has a ``nearest_ratio`` near 0; a generator that memorizes nothing has a
    ``nearest_ratio`` of at least that of ``real``.

    Args:
        network: Name of the feature network.
        generated: Scores of generated pictures.
        real: Scores of training pictures, in sets of the same size.
        num_images: Number n of pictures in each set.
        num_sets: Number of sets of generated, and of training, pictures.
        num_train: Number of other training pictures, among which the nearest is searched.
        num_dims: Number of dimensions of the features.
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
        """Mean Fréchet distance between generated and held-out pictures."""
        return self.generated.distance.mean

    @property
    def distance_std(self) -> float:
        """Standard deviation of the distance over the sets."""
        return self.generated.distance.std

    @property
    def floor(self) -> float:
        """Mean Fréchet distance between training and held-out pictures, at the same n."""
        return self.real.distance.mean

    @property
    def floor_std(self) -> float:
        """Standard deviation of the floor over the sets."""
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

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each figure of `Scores`: of generated and of real pictures."""
        sides = {"generated": self.generated, "real": self.real}
        return [
            {"figure": name}
            | {side: getattr(scores, name).mean for side, scores in sides.items()}
            | {f"{side}_std": getattr(scores, name).std for side, scores in sides.items()}
            for name in (field.name for field in fields(Scores))
        ]

    def _summarize(self) -> str:
        figures = f"distance={self.generated.distance}, floor={self.real.distance}"
        return f"{self.network}, {self.num_dims} dims: {figures}, n={self.num_sets} x {self.num_images}"


@dataclass(frozen=True, slots=True, repr=False)
class ConceptShare(Displayed):
    """The share of the pixels that one concept occupies, in generated and in real images.

    Args:
        concept: Name of the concept.
        generated: Mean share of the pixels of generated images, 0 to 1.
        generated_stderr: Standard error of ``generated`` over images.
        real: Mean share of the pixels of real images, 0 to 1.
        real_stderr: Standard error of ``real`` over images.
    """

    concept: str
    generated: float
    generated_stderr: float
    real: float
    real_stderr: float

    @property
    def difference(self) -> float:
        """Share in generated minus share in real images; negative if the generator under-produces the concept."""
        return self.generated - self.real

    @property
    def difference_stderr(self) -> float:
        """Standard error of the difference."""
        return math.hypot(self.generated_stderr, self.real_stderr)

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the difference, (low, high), for a single concept.

        Of 20 concepts without a difference, one is expected to have an interval that excludes 0.
        """
        half = Z_95 * self.difference_stderr
        return self.difference - half, self.difference + half

    @property
    def z_score(self) -> float | None:
        """The difference in standard errors; None if the share does not vary between images."""
        return self.difference / self.difference_stderr if self.difference_stderr > 0 else None

    @property
    def log2_ratio(self) -> float | None:
        """log2 of generated / real, -1 for half the share; None if either share is 0."""
        return math.log2(self.generated / self.real) if self.generated > 0 and self.real > 0 else None

    def _summarize(self) -> str:
        return f"{self.concept}: {100 * self.generated:.2f}% generated, {100 * self.real:.2f}% real"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ShareMoments(Displayed):
    """Mean and covariance of the shares of concepts over images.

    Args:
        mean: Mean shares, float64 ``[concept]``, 0 to 1.
        covariance: Unbiased covariance of the shares, float64 ``[concept, concept]``.
        num_images: Number of images, at least 2.
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
            raise ValueError(f"shares of {self.num_images} images cannot have this mean and covariance")

    @property
    def stderr(self) -> Float64[Tensor, " concept"]:
        """Standard error of the mean, float64 ``[concept]``."""
        return (self.covariance.diagonal() / self.num_images).sqrt()

    def _summarize(self) -> str:
        return f"{len(self.mean)} concepts, n={self.num_images}"


@dataclass(frozen=True, slots=True)
class SegmentationDistance:
    """A Fréchet segmentation distance with its standard error.

    Args:
        value: Distance in squared percentage points, nonnegative.
        stderr: Jackknife standard error of the distance; conservative if the distance is near its floor.
    """

    value: float
    stderr: float

    def __post_init__(self) -> None:
        if not (0 <= self.value < math.inf and 0 <= self.stderr < math.inf):
            raise ValueError(
                f"a distance and its standard error must be finite and at least 0; got {self.value} and {self.stderr}"
            )

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.stderr:.2f}"


@dataclass(frozen=True, slots=True, repr=False)
class SharesProvenance(Displayed):
    """The networks, pictures, settings and software versions that produced the shares.

    Args:
        generator: Name and fingerprint of the generator.
        segmenter: Name and fingerprint of the segmenter.
        real: Name of the source of real images.
        seed: Seed of the latent vectors and of the choice of real images.
        num_samples: Number of generated images; their indices start at 0, and twice this number of real images is used.
        num_real: Number of real images in the source.
        batch_size: Images per batch.
        image_size: Height and width of an image.
        device: Device of the computation.
        versions: Versions of the packages, by name.
        duration: Duration of the computation in seconds.
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

    def _summarize(self) -> str:
        return f"{self.generator} and {self.real} by {self.segmenter}: n={self.num_samples}, seed={self.seed}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConceptShares(SavedResult, Tabular):
    """The share of the pixels that each concept occupies, in generated and in real images.

    ``shares["tree"]`` is the `ConceptShare` of that concept, and ``for share in shares`` iterates over all concepts.

    Args:
        concepts: Concepts of the segmenter.
        generated: Moments over the generated images.
        real: Moments over the real images, twice the number of the generated images.
        distance: Distance between the generated images and the first half of the real images.
        floor: Distance between the second and the first half of the real images, at the same n.
        provenance: Networks, pictures, settings and software versions that produced the shares.
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
            raise ValueError(f"moments must be those of {len(self.concepts)} concepts; got {sorted(lengths)}")

    def __getitem__(self, concept: str) -> ConceptShare:
        """Return the shares of one concept.

        Raises:
            KeyError: If the segmenter has no such concept; the message names the nearest match.
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
        title = f"Fréchet segmentation distance ({self.provenance.segmenter}, n={self.provenance.num_samples})"
        return f"{title} {self.distance}; real against real {self.floor}"

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per concept, ready for JSON or a table.

        The keys are ``concept generated generated_stderr real real_stderr difference difference_low difference_high
        z_score log2_ratio``.
        """
        return [_make_record(share) for share in self]

    def _summarize(self) -> str:
        distance = f"distance={self.distance}, floor={self.floor}"
        return f"{len(self)} concepts of {self.provenance.generator}, {distance}, n={self.provenance.num_samples}"


def _make_record(share: ConceptShare) -> dict[str, Any]:
    """Return one concept as a plain dictionary."""
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
