"""A picture of translations: one row for each input, with its translation to each domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.utils import save_image

from gandissect.core.pictures import load_pictures, pick_evenly
from gandissect.core.protocols import PictureSource, as_classed
from gandissect.storage.files import atomic_path

from ..architectures.base import LayeredGenerator
from .pictures import to_images

NUM_SHOWN = 8
"""Number of inputs."""


def load_shown(
    source: PictureSource, device: torch.device
) -> tuple[Float[Tensor, "batch 3 H W"], Int64[Tensor, " batch"]]:
    """Return a few evenly spaced pictures of a source that has domains, with the index of each domain."""
    classed = as_classed(source)
    assert classed is not None  # a task of several domains has checked it
    domains = classed.class_indices[list(pick_evenly(source, NUM_SHOWN))]
    return to_images(load_pictures(source, NUM_SHOWN).to(device)), domains.to(device)


def draw_translations(
    generator: LayeredGenerator,
    images: Float[Tensor, "batch 3 H W"],
    columns: Sequence[Int64[Tensor, " batch"]],
    path: Path,
) -> None:
    """Write a grid: each picture, then its translations.

    Args:
        generator: Translator whose rows end with a class.
        images: Pictures to translate, one row each.
        columns: Classes of the rows of each further column.
        path: File to write, a PNG.
    """
    with torch.inference_mode():
        translated = [generator(generator.join_row(images.flatten(1), classes)) for classes in columns]
    grid = torch.stack([images, *translated], dim=1).flatten(0, 1)
    with atomic_path(path, overwrite=True) as temporary:
        save_image(grid, temporary, nrow=len(columns) + 1, normalize=True, value_range=(-1, 1), format="png")
