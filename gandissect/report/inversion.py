"""How pictures look that were found in a generator's latent space, beside the pictures themselves."""

from __future__ import annotations

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..core.images import from_uint8
from ..latent.inversion.results import Inversion
from .sheets import draw_columns

WHITE = 0.25
"""An error that is drawn white, as a share of the way from black to white."""


def draw_inversion(inversion: Inversion, edited: Float[Tensor, "batch 3 H W"] | None = None) -> Image.Image:
    """Draw a row for each picture: the picture, its reconstruction, and where the two differ.

    Args:
        inversion: The pictures and their reconstructions.
        edited: The reconstructions with edits, ``[batch, 3, H, W]`` in [-1, 1], as one more column.
    """
    errors = (inversion.error_maps / WHITE).clamp(max=1) * 2 - 1
    columns = {"picture": from_uint8(inversion.pictures), "inverted": from_uint8(inversion.reconstructions)}
    columns["error"] = errors[:, None].expand(-1, 3, -1, -1)
    if edited is not None:
        columns["edited"] = edited
    notes = [f"{psnr:.1f} dB" for psnr in inversion.psnr.tolist()]
    return draw_columns(list(columns), torch.stack(list(columns.values()), dim=1), notes)
