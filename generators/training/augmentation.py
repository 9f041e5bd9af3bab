"""DiffAugment: the same differentiable changes to real and generated images before the discriminator.

Images are float ``[batch, 3, H, W]`` in [-1, 1]. Each policy draws separate numbers for each image.

Source: Zhao et al. 2020, arXiv 2006.10738, Sec. 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gandissect.core.lookup import lookup

from .draws import Draws


def color(images: Float[Tensor, "batch 3 H W"], draws: Draws) -> Float[Tensor, "batch 3 H W"]:
    """Shift brightness by up to 0.5, scale saturation by up to 2 and contrast by 0.5 to 1.5."""
    shift = _uniform(images, draws) - 0.5
    images = images + shift
    gray = images.mean(dim=1, keepdim=True)
    images = torch.lerp(gray, images, 2 * _uniform(images, draws))
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(middle, images, _uniform(images, draws) + 0.5)


def translation(images: Float[Tensor, "batch 3 H W"], draws: Draws) -> Float[Tensor, "batch 3 H W"]:
    """Move each image by up to an eighth of its size; vacated pixels are zero."""
    height, width = images.shape[2:]
    reach_y, reach_x = height // 8, width // 8
    dy = draws.integers(0, 2 * reach_y + 1, 1)
    dx = draws.integers(0, 2 * reach_x + 1, 1)
    rows = (dy + torch.arange(height, device="cpu")).to(images.device)[:, None, :, None]
    columns = (dx + torch.arange(width, device="cpu")).to(images.device)[:, None, None, :]
    padded = functional.pad(images, (reach_x, reach_x, reach_y, reach_y))
    padded = padded.gather(2, rows.expand(-1, images.shape[1], -1, padded.shape[3]))
    return padded.gather(3, columns.expand(-1, images.shape[1], height, -1))


def cutout(images: Float[Tensor, "batch 3 H W"], draws: Draws) -> Float[Tensor, "batch 3 H W"]:
    """Set a random square of half the image's size, which may extend past the border, to zero."""
    height, width = images.shape[2:]
    top = draws.integers(-(height // 4), height - height // 4 + 1, 1, 1)
    left = draws.integers(-(width // 4), width - width // 4 + 1, 1, 1)
    rows, columns = torch.arange(height, device="cpu")[None, :, None], torch.arange(width, device="cpu")[None, None, :]
    inside_rows = (rows >= top) & (rows < top + height // 2)
    inside_columns = (columns >= left) & (columns < left + width // 2)
    kept = ~(inside_rows & inside_columns)[:, None]
    return images * kept.to(images.device, images.dtype)


POLICIES: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}
"""The policies by name."""


def diff_augment(
    images: Float[Tensor, "batch 3 H W"], policies: Sequence[str], draws: Draws
) -> Float[Tensor, "batch 3 H W"]:
    """Apply policies one after the other.

    Args:
        images: Images, float ``[batch, 3, H, W]`` in [-1, 1].
        policies: Names of policies, from `POLICIES`.
        draws: Random numbers of the batch.

    Raises:
        KeyError: If there is no such policy.

    Source: Zhao et al. 2020, Sec. 3.
    """
    for name in policies:
        images = lookup(POLICIES, name, "augmentation")(images, draws)
    return images


def _uniform(images: Tensor, draws: Draws) -> Tensor:
    return draws.uniform(1, 1, 1).to(images.device, images.dtype)
