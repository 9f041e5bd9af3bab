"""Where the noise of a generator's layers changes its images."""

from __future__ import annotations

import torch
from PIL import Image

from ..latent.noise import NoiseEffects
from .sheets import draw_columns, stack_images

LAYERS_A_ROW = 6
"""Maps of layers beside each other."""


def draw_noise_maps(effects: NoiseEffects) -> Image.Image:
    """Draw a map for each layer: white where its noise changes pixels most over all layers, black where not at all.

    Args:
        effects: What `noise_effects` returned.
    """
    maps = effects.stds / effects.stds.max().clamp(min=1e-12) * 2 - 1
    rows = torch.split(maps[:, None].expand(-1, 3, -1, -1), LAYERS_A_ROW)
    starts = range(0, len(maps), LAYERS_A_ROW)
    names = [effects.layers[start : start + LAYERS_A_ROW] for start in starts]
    return stack_images([draw_columns(headings, row[None]) for headings, row in zip(names, rows, strict=True)])
