"""Which modes of a known distribution a generator covers: of a mixture of Gaussians, or of stacked digits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..core.protocols import Generator, check_generator
from ..core.ranges import Range, check_number
from ..inference.batches import check_counts, sample_blocks
from .classes import Judge

CONFIDENT = 0.9
"""Smallest probability that the judge of a good digit gives to its class."""


@dataclass(frozen=True, slots=True)
class ModeCoverage:
    """How well samples cover the modes of a distribution.

    Attributes:
        num_modes: Number of modes of the distribution.
        num_covered: Modes with at least one sample.
        num_well_covered: Modes with at least 20 samples.
        share_good: Share of the samples that are good: within three standard deviations of a mode, or, of digits,
            those that the judge is sure of.
        divergence: Kullback-Leibler divergence of the histogram of samples over modes from uniform, in nats; infinite
            where no mode has a sample.
        num_points: Number of samples, of which a mixture's modes count the good ones and those of digits all.
    """

    num_modes: int
    num_covered: int
    num_well_covered: int
    share_good: float
    divergence: float
    num_points: int


def measure_modes(
    points: Float[Tensor, "point axis"], centers: Float[Tensor, "mode axis"], sigma: float
) -> ModeCoverage:
    """Measure which modes of a mixture of Gaussians points cover.

    Args:
        points: Points, float ``[point, axis]``, at least 1.
        centers: Means of the modes, float ``[mode, axis]``.
        sigma: Standard deviation of every mode along each axis.

    Source: Metz et al. 2017, Sec. 3; Lin et al. 2018, Sec. 4 (good points, modes, divergence).
    """
    distance, nearest = torch.cdist(points.double(), centers.double()).min(1)
    good = distance <= 3 * sigma
    return _summarize(torch.bincount(nearest[good], minlength=len(centers)), int(good.sum()), len(points))


@torch.inference_mode()
def measure_stacked_modes(
    generator: Generator,
    judge: Judge,
    num_samples: int = 26_000,
    seed: int = 0,
    *,
    stacked: int = 3,
    batch_size: int = 64,
    progress: bool = True,
) -> ModeCoverage:
    """Measure which combinations of three digits a generator of stacked digits covers, or which digits one of digits.

    Args:
        generator: Generator trained on `segmenters.datasets.StackedDigits`, or on gray digits.
        judge: Function from gray images in [-1, 1], ``[batch, 3, H, W]`` with equal channels, to one logit per class of
            digits.
        num_samples: Number of samples, at least 2. With ``n`` samples and ``m`` modes, real pictures have a divergence
            of about ``(m - 1) / 2n``: 0.02 for the default and ten digits.
        seed: Seed of the samples.
        stacked: Number of channels, from the first, that are digits of their own: 3 of stacked digits, 1 of gray ones.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator does not implement its protocol.
        ValueError: If a number is out of range.

    Source: Metz et al. 2017, arXiv 1611.02163, Sec. 3.3.1.
    """
    check_generator(generator)
    check_counts(num_samples, batch_size)
    blocks = sample_blocks(generator, [range(num_samples)], seed, batch_size, "modes", progress=progress)
    return count_stacked_modes((generator(z).clamp(-1, 1) for _, z in blocks), judge, stacked=stacked)


def count_stacked_modes(batches: Iterable[Float[Tensor, "_ 3 H W"]], judge: Judge, *, stacked: int = 3) -> ModeCoverage:
    """Count the combinations of digits in images; see `measure_stacked_modes`.

    Args:
        batches: Images in [-1, 1].
        judge: Function from gray images to one logit per class of digits.
        stacked: Number of channels, from the first, that are digits of their own.

    Raises:
        ValueError: If there are no images, ``stacked`` is not 1 to 3, or the judge returns another shape or a number
            that is not finite.
    """
    check_number("stacked", stacked, Range(1, 3, whole=True))
    modes: list[Tensor] = []
    num_good, num_classes = 0, 0
    for images in batches:
        digits = images[:, :stacked].flatten(0, 1)[:, None].expand(-1, 3, -1, -1)
        logits = judge(digits).float().cpu()
        if logits.ndim != 2 or len(logits) != len(digits) or not bool(logits.isfinite().all()):
            got = (
                f"{list(logits.shape)}" if logits.shape[:1] != (len(digits),) or logits.ndim != 2 else "NaN or infinity"
            )
            raise ValueError(f"the judge must return finite logits [{len(digits)}, classes]; got {got}")
        num_classes = logits.shape[1]
        probability, named = logits.softmax(1).max(1)
        num_good += int((probability >= CONFIDENT).view(-1, stacked).all(1).sum())
        places = num_classes ** torch.arange(stacked - 1, -1, -1, device="cpu")
        modes.append((named.view(-1, stacked) * places).sum(1))
    if not modes:
        raise ValueError("batches must hold at least one image; got none")
    counts = torch.bincount(torch.cat(modes), minlength=num_classes**stacked)
    return _summarize(counts, num_good, int(counts.sum()))


def _summarize(counts: Int64[Tensor, " mode"], num_good: int, num_points: int) -> ModeCoverage:
    total = int(counts.sum())
    share = counts[counts > 0].double() / max(total, 1)
    divergence = float((share * (share * len(counts)).log()).sum()) if total else math.inf
    return ModeCoverage(
        num_modes=len(counts),
        num_covered=int((counts >= 1).sum()),
        num_well_covered=int((counts >= 20).sum()),
        share_good=num_good / num_points,
        divergence=divergence,
        num_points=num_points,
    )
