"""Find the concepts that a generator under- or over-produces: the share of the pixels of each, generated and real.

The shares of single concepts (`ConceptShare`) are summarized by the Fréchet segmentation distance: the Fréchet distance
between the normal distributions fitted to the vectors ``100 s(x)`` of generated and of real images, in squared
percentage points, where s_c(x) is the share of the pixels of image x that the segmenter assigns to concept c. It is
positive even between two sets of real images, and larger for fewer images. Twice the number of real images is therefore
labeled: generated images are compared with the first half, and the second half takes their place to measure the floor.

Source: Bau et al. 2019, "Seeing what a GAN cannot generate" (arXiv 1910.11626), Sec. 3.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.environment import installed_versions
from ..core.images import from_uint8
from ..core.network_id import NetworkId
from ..core.progress import progress_bar
from ..core.protocols import Generator, PictureSource, Segmenter, check_protocols
from ..core.sampling import blocks, check_seed, make_rng
from ..core.types import check_type
from ..inference.areas import concept_areas
from ..inference.batches import sample_blocks
from ..inference.checks import check_images, check_labels, check_pixels
from ..stats.streaming import AreaMoments
from .distances import frechet_distance_of_moments
from .results import MIN_SAMPLES, ConceptShares, SegmentationDistance, ShareMoments, SharesProvenance

logger = logging.getLogger(__name__)

NUM_GROUPS = 10
"""Number of groups of images for the jackknife, which leaves out one group at a time."""


def measure_concept_shares(
    generator: Generator,
    segmenter: Segmenter,
    real: PictureSource,
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> ConceptShares:
    """Compare the share of the pixels that each concept occupies in generated and in real images.

    Shares are relative to all pixels of an image; an unlabeled pixel belongs to no concept.

    Args:
        generator: Generator to evaluate; everything runs on its device.
        segmenter: Segmenter for the generator's images.
        real: Real images of the generator's size, at least ``2 * num_samples``; exactly this number is drawn at random.
        num_samples: Number n of generated images, at least 20; their indices are 0 to ``num_samples - 1``.
        seed: Seed of the latent vectors and of the choice of real images.
        batch_size: Images per batch, at least 1.
        progress: Show progress bars.

    Returns:
        The shares and the Fréchet segmentation distance, on CPU.

    Raises:
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range, images have the wrong size or are not finite, or the segmenter returns
            an invalid label map.

    Source: Bau et al. 2019 (arXiv 1910.11626), Sec. 3.
    """
    seed = check_seed(seed)
    started = time.monotonic()
    check_protocols(generator, segmenter)
    check_type(
        "real", real, PictureSource, "pass a source of pictures, such as segmenters.datasets.Photos(folder, size)"
    )
    _check_numbers(num_samples, batch_size, len(real))
    drawn = torch.randperm(len(real), generator=make_rng(seed, "shares"), device="cpu")[: 2 * num_samples].tolist()
    batches = _Batches(generator, batch_size)
    label = _Labeler(segmenter, generator.image_size, progress)
    with torch.inference_mode():
        generated = label(batches.generate(num_samples, seed), num_samples, "generated")
        reference = label(batches.read_real(real, drawn[:num_samples]), num_samples, "real")
        stand_in = label(batches.read_real(real, drawn[num_samples:]), num_samples, "real (floor)")
    distance, floor = segmentation_distance(generated, reference), segmentation_distance(stand_in, reference)
    duration = time.monotonic() - started
    logger.info("compared %s with %s: %d samples, %.1f s", generator.name, real.name, num_samples, duration)
    provenance = SharesProvenance(
        generator=NetworkId.of(generator),
        segmenter=NetworkId.of(segmenter),
        real=real.name,
        seed=seed,
        num_samples=num_samples,
        num_real=len(real),
        batch_size=batch_size,
        image_size=(int(generator.image_size[0]), int(generator.image_size[1])),
        device=str(generator.device),
        versions=installed_versions(),
        duration=duration,
    )
    fake, both_halves = _summarize(generated), _summarize([*reference, *stand_in])
    return ConceptShares(tuple(segmenter.concepts), fake, both_halves, distance, floor, provenance)


def segmentation_distance(x: Sequence[AreaMoments], y: Sequence[AreaMoments]) -> SegmentationDistance:
    """Return the Fréchet segmentation distance between two sets of images, each divided into groups of similar size.

    The standard error is that of the jackknife for two independent sets: with d_(k) the distance without group k of K
    groups, the variance is the sum over both sets of ``(K - 1) / K sum_k (d_(k) - mean d_(k))^2``.

    Args:
        x: Moments of the groups of one set, at least two groups; all but one must hold at least 2 images.
        y: Moments of the groups of the other set, with the same conditions.

    Raises:
        ValueError: If there are too few images, or the sets differ in image size or concepts.

    Source: Efron and Tibshirani 1993, Ch. 11.
    """
    whole_x, whole_y = _merge(x), _merge(y)
    spreads = (
        _estimate_jackknife_variance([_measure_distance(part, whole_y) for part in _leave_each_out(x)]),
        _estimate_jackknife_variance([_measure_distance(whole_x, part) for part in _leave_each_out(y)]),
    )
    return SegmentationDistance(_measure_distance(whole_x, whole_y), math.sqrt(sum(spreads)))


@dataclass(frozen=True, slots=True)
class _Batches:
    """Batches of generated and of real images."""

    generator: Generator
    batch_size: int

    def generate(self, num_samples: int, seed: int) -> Iterator[Tensor]:
        """Yield generated images, clamped to [-1, 1]."""
        sets = [range(num_samples)]
        for samples, z in sample_blocks(self.generator, sets, seed, self.batch_size, "samples", progress=False):
            images = self.generator(z)
            check_images(images, len(samples), self.generator.image_size)
            check_pixels(images, samples)
            yield images.clamp(-1, 1)

    def read_real(self, pictures: PictureSource, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield the real images with these indices."""
        for part in blocks(len(indices), self.batch_size):
            images = pictures.batch(indices[part.start : part.stop]).images
            expected = (len(part), 3, *self.generator.image_size)
            if images.dtype != torch.uint8 or tuple(images.shape) != expected:
                raise ValueError(
                    f"{pictures.name} must return uint8 images {list(expected)}, of the generator's size; "
                    f"got {images.dtype} {list(images.shape)}"
                )
            yield from_uint8(images.to(self.generator.device))


@dataclass(frozen=True, slots=True)
class _Labeler:
    """A labeler of images that counts the pixels of each concept."""

    segmenter: Segmenter
    image_size: tuple[int, int]
    progress: bool

    def __call__(self, batches: Iterator[Tensor], num_images: int, title: str) -> list[AreaMoments]:
        """Return the moments of the images, which are assigned to the groups in rotation."""
        num_concepts = len(self.segmenter.concepts)
        groups = [AreaMoments(num_concepts, math.prod(self.image_size)) for _ in range(NUM_GROUPS)]
        num_labeled = 0
        with progress_bar(num_images, title, show=self.progress) as bar:
            for images in batches:
                labels = self.segmenter(images)
                channels = labels.shape[1] if isinstance(labels, Tensor) and labels.ndim == 4 else 1
                shape = (len(images), channels, *self.image_size)
                areas = concept_areas(check_labels(labels, shape, num_concepts), num_concepts)
                for number, group in enumerate(groups):
                    group.update(areas[(number - num_labeled) % NUM_GROUPS :: NUM_GROUPS])
                num_labeled += len(images)
                bar.update(len(images))
        return groups


def _check_numbers(num_samples: int, batch_size: int, num_real: int) -> None:
    """Raise ValueError if a number is out of range."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1; got {batch_size}")
    if num_samples < MIN_SAMPLES:
        raise ValueError(f"num_samples must be an integer of at least {MIN_SAMPLES}; got {num_samples}")
    if num_real < 2 * num_samples:
        remedy = f"lower num_samples to at most {num_real // 2}"
        if num_real < 2 * MIN_SAMPLES:
            remedy = f"at least {2 * MIN_SAMPLES} are required"
        raise ValueError(
            f"{num_samples} samples require {2 * num_samples} real images, one half to compare with and one half for "
            f"the floor; got {num_real}; {remedy}"
        )


def _merge(groups: Sequence[AreaMoments]) -> AreaMoments:
    """Return the moments over all groups."""
    whole = AreaMoments(len(groups[0].areas), groups[0].num_pixels)
    for group in groups:
        whole.merge(group)
    return whole


def _leave_each_out(groups: Sequence[AreaMoments]) -> Iterator[AreaMoments]:
    """Yield the moments without each of the groups."""
    for number in range(len(groups)):
        yield _merge([*groups[:number], *groups[number + 1 :]])


def _measure_distance(x: AreaMoments, y: AreaMoments) -> float:
    """Return the Fréchet segmentation distance in squared percentage points."""
    moments_x, moments_y = x.compute(), y.compute()
    return 100**2 * frechet_distance_of_moments(
        moments_x["mean"], moments_x["covariance"], moments_y["mean"], moments_y["covariance"]
    )


def _estimate_jackknife_variance(values: Sequence[float]) -> float:
    """Return the jackknife variance of an estimate from its leave-one-out values."""
    mean = math.fsum(values) / len(values)
    return (len(values) - 1) / len(values) * math.fsum((value - mean) ** 2 for value in values)


def _summarize(groups: Sequence[AreaMoments]) -> ShareMoments:
    whole = _merge(groups)
    return ShareMoments(**whole.compute(), num_images=int(whole.num_images))
