"""Pictures beside their reconstructions by a generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..core.images import from_uint8
from ..latent.inversion.results import Inversion
from .sheets import draw_columns

WHITE = 0.25
"""Error drawn as white, as a share of the range from black to white."""


def draw_inversion(
    inversion: Inversion,
    edited: Float[Tensor, "batch 3 H W"] | None = None,
    others: Mapping[str, Float[Tensor, "batch 3 H W"]] | None = None,
) -> Image.Image:
    """Draw one row per picture: the picture, its reconstruction, and where the two differ.

    Args:
        inversion: Pictures and their reconstructions.
        edited: Edited reconstructions, ``[batch, 3, H, W]`` in [-1, 1], drawn as another column.
        others: Further columns by title, such as the same latent vectors in other classes.
    """
    errors = (inversion.error_maps / WHITE).clamp(max=1) * 2 - 1
    columns = {"picture": from_uint8(inversion.pictures), "inverted": from_uint8(inversion.reconstructions)}
    columns["error"] = errors[:, None].expand(-1, 3, -1, -1)
    if edited is not None:
        columns["edited"] = edited
    columns |= others or {}
    notes = [f"{psnr:.1f} dB" for psnr in inversion.psnr.tolist()]
    return draw_columns(list(columns), torch.stack(list(columns.values()), dim=1), notes)
