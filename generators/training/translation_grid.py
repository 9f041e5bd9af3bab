"""A picture of translations: one row for each input, with its translation to each domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gandissect.core.pictures import load_pictures, pick_evenly
from gandissect.core.protocols import PictureSource, as_classed

from ..architectures.base import LayeredGenerator
from .pictures import to_images
from .translation import draw_columns

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
    draw_columns([images, *translated], path, 1)
