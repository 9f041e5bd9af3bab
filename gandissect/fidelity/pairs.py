"""Whether images of the same noise in two domains show the same things.

The masks of both images of a pair are compared by their IoU. Chance is the IoU of images of different noise.

Source: Liu and Tuzel 2016, arXiv 1606.07536, Sec. 4 (images of one domain, transformed, against those of the other).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..core.display import Displayed
from ..core.protocols import Generator, as_conditional, check_generator
from ..core.sampling import derive_seed
from ..core.types import check_type
from ..inference.batches import check_counts, sample_blocks
from ..stats.intervals import half_width

Masks: TypeAlias = Callable[[Float[Tensor, "batch 3 H W"]], Bool[Tensor, "batch concept H W"]]
"""Function from images in [-1, 1] to one mask per concept."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PairOverlap(Displayed):
    """IoU of the masks of two images, for pairs and for others.

    Args:
        pairs: IoU of each pair, float64 ``[pair]``.
        others: IoU of each pair's first image and the second image of another, float64 ``[pair]``.
    """

    pairs: Float64[Tensor, " pair"]
    others: Float64[Tensor, " pair"]

    @property
    def mean(self) -> float:
        """Mean IoU of pairs."""
        return float(self.pairs.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean IoU of pairs, by Student's t."""
        reach = half_width(float(self.pairs.std()) / len(self.pairs) ** 0.5, len(self.pairs) - 1)
        return self.mean - reach, self.mean + reach

    @property
    def chance(self) -> float:
        """Mean IoU of images that are not of the same pair."""
        return float(self.others.mean())

    def _summarize(self) -> str:
        low, high = self.interval
        return f"IoU {self.mean:.4f} ({low:.4f} to {high:.4f}), chance {self.chance:.4f}, n={len(self.pairs)}"


def overlap(first: Tensor, second: Tensor) -> Float64[Tensor, " batch"]:
    """Return the IoU of the masks of each pair, averaged over the concepts that are in either image.

    Args:
        first: Masks of the first images, bool ``[batch, concept, H, W]``.
        second: Masks of the second images, of the same shape.

    Returns:
        float64 ``[batch]``; 1 where no concept is in either image.

    Raises:
        ValueError: If the masks differ in shape, have another number of axes, or are not bool.
    """
    if first.shape != second.shape or first.ndim != 4 or not first.dtype == second.dtype == torch.bool:
        raise ValueError(
            "masks of both domains must be bool and of the same shape [batch, concept, H, W]; got "
            f"{first.dtype} {list(first.shape)} and {second.dtype} {list(second.shape)}"
        )
    both, either = (mask.flatten(2).sum(2).double() for mask in (first & second, first | second))
    present = either > 0
    iou = (both / either.clamp(min=1)).sum(1) / present.sum(1).clamp(min=1)
    return torch.where(present.any(1), iou, 1.0)


@torch.inference_mode()
def measure_pairs(
    generator: Generator,
    domains: Sequence[str],
    masks: Sequence[Masks],
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    batch_size: int = 64,
    progress: bool = True,
) -> PairOverlap:
    """Measure how well images of the same noise in two domains agree.

    Args:
        generator: Generator whose classes are domains.
        domains: Names of two of its classes.
        masks: Function that returns the masks of images, for each of the two domains.
        num_samples: Number of pairs, at least 2.
        seed: Seed of the samples.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        TypeError: If the generator does not implement its protocol, or domains or masks are not a list or a tuple.
        KeyError: If there is no such domain.
        ValueError: If the generator has no classes, there are not two domains, or a number is out of range.

    Source: Liu and Tuzel 2016, Sec. 4.
    """
    check_generator(generator)
    check_counts(num_samples, batch_size)
    check_type("domains", domains, (list, tuple), "name two domains")
    check_type("masks", masks, (list, tuple), "pass a function for each of the two domains")
    if (conditional := as_conditional(generator)) is None:
        raise ValueError(f"{generator.name} has no classes, so it has no domains")
    if len(domains) != 2 or len(masks) != 2:
        raise ValueError(
            f"there must be two domains, each with its masks; got {len(domains)} domains and {len(masks)} masks"
        )
    first, second = (conditional.of_classes(name) for name in domains)
    pairs, others = list[Tensor](), list[Tensor]()
    samples = [range(num_samples)]
    for block, z in sample_blocks(first, samples, seed, batch_size, "pairs", progress=progress):
        given = masks[0](first(z))
        for kept, start in ((pairs, seed), (others, derive_seed(seed, "other pairs"))):
            rows = second.sample_z(len(block), start, block.start).to(second.device)
            kept.append(overlap(given, masks[1](second(rows))).cpu())
    return PairOverlap(torch.cat(pairs), torch.cat(others))
