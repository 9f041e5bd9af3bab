"""Progressive growing: which resolution is trained, and how far it is faded in, as a function of images seen.

The smallest resolution is held for ``hold`` images; each further one is faded in during ``fade`` images and then held,
the last until the end.

Source: Karras et al. 2018, Sec. 2 and Appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..architectures.blocks import double


@dataclass(frozen=True, slots=True)
class Growth:
    """How far networks have grown.

    Args:
        size: Height and width of the images in pixels.
        alpha: Weight of the newest blocks, 0 to 1; enlarged images of half the size have the rest.
    """

    size: int
    alpha: float


def growth_at(images_seen: int, sizes: tuple[int, ...], hold: int, fade: int) -> Growth:
    """Return how far networks have grown after a number of images.

    Args:
        images_seen: Number of real images shown so far, at least 0.
        sizes: Resolutions, each twice the previous one; a single resolution does not grow.
        hold: Images at each resolution but the last once it is faded in, at least 1 where there is growth.
        fade: Images during which a resolution is faded in, at least 1 where there is growth.
    """
    if len(sizes) == 1 or images_seen < hold:
        return Growth(sizes[0], 1.0)
    phase, into = divmod(images_seen - hold, hold + fade)
    if phase + 1 >= len(sizes):
        return Growth(sizes[-1], 1.0)
    return Growth(sizes[phase + 1], min(1.0, into / fade))


def shrink(images: Float[Tensor, "batch 3 H W"], growth: Growth) -> Float[Tensor, "batch 3 _ _"]:
    """Return full-size real images at the resolution that networks have grown to.

    Args:
        images: Real images, float ``[batch, 3, H, W]``.
        growth: How far the networks have grown; its size is H divided by a power of two.

    Source: Karras et al. 2018, Appendix A ("we interpolate between two resolutions of the real images").
    """
    factor = images.shape[3] // growth.size
    images = functional.avg_pool2d(images, factor) if factor > 1 else images
    if growth.alpha == 1:
        return images
    return torch.lerp(double(functional.avg_pool2d(images, 2)), images, growth.alpha)
