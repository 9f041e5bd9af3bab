"""Maps of where the noise of a generator's layers changes its images."""

from __future__ import annotations

import torch
from PIL import Image

from ..latent.noise import NoiseEffects
from .sheets import draw_columns, stack_images

LAYERS_PER_ROW = 6
"""Maximum number of maps side by side."""


def draw_noise_maps(effects: NoiseEffects) -> Image.Image:
    """Draw one map per layer: white is the largest change over all layers, black is no change.

    Args:
        effects: Result of `noise_effects`.
    """
    maps = effects.stds / effects.stds.max().clamp(min=1e-12) * 2 - 1
    rows = torch.split(maps[:, None].expand(-1, 3, -1, -1), LAYERS_PER_ROW)
    starts = range(0, len(maps), LAYERS_PER_ROW)
    names = [effects.layers[start : start + LAYERS_PER_ROW] for start in starts]
    return stack_images([draw_columns(headings, row[None]) for headings, row in zip(names, rows, strict=True)])
