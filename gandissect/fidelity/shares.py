"""What a generator leaves out: how much of the image each concept takes up, in generated and in real images.

Beside the shares of single concepts (`ConceptShare`) stands the Frechet segmentation distance over all of them: that
of the normal distributions fitted to the vectors ``100 s(x)`` of each side, in squared percentage points, where s_c(x)
is the share of the pixels of image x that the segmenter gives to concept c. It is above 0 even between real images and
real ones, the more so the fewer they are. Therefore twice as many real images as generated ones are labeled: the first
half is what the generated ones are compared with, the second stands in their place for the floor of the distance.

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
"""Groups of images, each left out once to see how far the distance depends on it."""


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
    """Compare how much of the image each concept takes up, in generated and in real images.

    A share is of all pixels of an image; an unlabeled pixel belongs to no concept.

    Args:
        generator: A `Generator`; all runs on its device.
        segmenter: A `Segmenter` for its images.
        real: Real images of the generator's size, twice ``num_samples`` or more, of which that many are drawn.
        num_samples: n, latent vectors, 20 or more: those of index 0 to ``num_samples - 1``.
        seed: Of the latent vectors and of the choice of real images.
        batch_size: Images at once, 1 or more.
        progress: Show progress bars.

    Returns:
        The result, on CPU.

    Raises:
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, images have another size or are not finite, or a label map is not one.

    Source: Bau et al. 2019 (arXiv 1910.11626), Sec. 3.
    """
    seed = check_seed(seed)
    started = time.monotonic()
    check_protocols(generator, segmenter)
    check_type(
        "real", real, PictureSource, "give a source of pictures, such as segmenters.datasets.Photos(folder, size)"
    )
    _check_numbers(num_samples, batch_size, len(real))
    drawn = torch.randperm(len(real), generator=make_rng(seed, "shares"), device="cpu")[: 2 * num_samples].tolist()
    batches = _Batches(generator, batch_size)
    label = _Labeler(segmenter, generator.image_size, progress)
    with torch.inference_mode():
        generated = label(batches.generate(num_samples, seed), num_samples, "generated")
        reference = label(batches.read_real(real, drawn[:num_samples]), num_samples, "real")
        stand_in = label(batches.read_real(real, drawn[num_samples:]), num_samples, "real again")
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
    """Return the Frechet segmentation distance of two sets of images, each cut into groups of about the same size.

    The standard error is that of the jackknife for two independent sets: with d_(k) the distance without group k of K,
    the variance is the sum over both sets of ``(K - 1) / K sum_k (d_(k) - mean d_(k))^2``.

    Args:
        x: The groups of one set, two or more; all but one hold 2 images or more.
        y: The groups of the other set.

    Raises:
        ValueError: If there are too few images, or they have different sizes or concepts.

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
    """The images of both sides, batch by batch."""

    generator: Generator
    batch_size: int

    def generate(self, num_samples: int, seed: int) -> Iterator[Tensor]:
        """Yield generated images, as they are seen."""
        sets = [range(num_samples)]
        for samples, z in sample_blocks(self.generator, sets, seed, self.batch_size, "samples", progress=False):
            images = self.generator(z)
            check_images(images, len(samples), self.generator.image_size)
            check_pixels(images, samples)
            yield images.clamp(-1, 1)

    def read_real(self, pictures: PictureSource, indices: Sequence[int]) -> Iterator[Tensor]:
        """Yield real images of these indices."""
        for part in blocks(len(indices), self.batch_size):
            images = pictures.batch(indices[part.start : part.stop]).images
            expected = (len(part), 3, *self.generator.image_size)
            if images.dtype != torch.uint8 or tuple(images.shape) != expected:
                wanted = f"uint8 images {list(expected)}, as large as the generator's"
                raise ValueError(f"{pictures.name} should give {wanted}; got {images.dtype} {list(images.shape)}")
            yield from_uint8(images.to(self.generator.device))


@dataclass(frozen=True, slots=True)
class _Labeler:
    """Labels images and counts the pixels of each concept."""

    segmenter: Segmenter
    image_size: tuple[int, int]
    progress: bool

    def __call__(self, batches: Iterator[Tensor], num_images: int, title: str) -> list[AreaMoments]:
        """Return the moments of the images, in groups that take them in turn."""
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
        raise ValueError(f"batch_size is a whole number, 1 or more; got {batch_size}")
    if num_samples < MIN_SAMPLES:
        raise ValueError(f"num_samples is a whole number, {MIN_SAMPLES} or more; got {num_samples}")
    if num_real < 2 * num_samples:
        remedy = f"{num_real} real images allow num_samples up to {num_real // 2}"
        if num_real < 2 * MIN_SAMPLES:
            remedy = f"got {num_real}, and {2 * MIN_SAMPLES} are the least that will do"
        why = "one half to compare with, one half in the place of the generated images"
        raise ValueError(f"{num_samples} samples need {2 * num_samples} real images, {why}; {remedy}")


def _merge(groups: Sequence[AreaMoments]) -> AreaMoments:
    """Return the moments of all groups together."""
    whole = AreaMoments(len(groups[0].areas), groups[0].num_pixels)
    for group in groups:
        whole.merge(group)
    return whole


def _leave_each_out(groups: Sequence[AreaMoments]) -> Iterator[AreaMoments]:
    """Yield the moments without each group."""
    for number in range(len(groups)):
        yield _merge([*groups[:number], *groups[number + 1 :]])


def _measure_distance(x: AreaMoments, y: AreaMoments) -> float:
    """Return the distance in squared percentage points."""
    moments_x, moments_y = x.compute(), y.compute()
    return 100**2 * frechet_distance_of_moments(
        moments_x["mean"], moments_x["covariance"], moments_y["mean"], moments_y["covariance"]
    )


def _estimate_jackknife_variance(values: Sequence[float]) -> float:
    """Return the variance of a figure from its values without each group."""
    mean = math.fsum(values) / len(values)
    return (len(values) - 1) / len(values) * math.fsum((value - mean) ** 2 for value in values)


def _summarize(groups: Sequence[AreaMoments]) -> ShareMoments:
    whole = _merge(groups)
    return ShareMoments(**whole.compute(), num_images=int(whole.num_images))
