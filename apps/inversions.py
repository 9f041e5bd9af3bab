"""How a picture is given to a generator to be found in its latent space, and how what was found is drawn."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gandissect import Generator, Segmenter
from gandissect.core import from_uint8
from gandissect.latent import Inversion, capabilities
from gandissect.latent.inversion.descent import FeatureExtractor
from segmenters.datasets.decoding import read_picture, read_sent_picture

from .pictures import draw_columns

MARGIN = 1.125
"""Short side of a picture over that of its crop, as of the pictures that generators learn from."""
WHITE = 0.25
"""An error that is drawn white, as a share of the way from black to white."""


def read_middle(file: Path | bytes, size: int) -> Tensor:
    """Return the middle of a picture, upright and resized, ``[3, size, size]`` in [-1, 1].

    Args:
        file: A file, or what a visitor of a web page has sent, who may send less: `read_sent_picture`.
        size: Pixels a side.

    Raises:
        ValueError: If it cannot be read, saying what is wrong.
    """
    read = read_sent_picture if isinstance(file, bytes) else read_picture
    pixels = torch.from_numpy(read(file, round(size * MARGIN)))  # type: ignore[arg-type]
    top, left = ((side - size + 1) // 2 for side in pixels.shape[:2])
    return from_uint8(pixels[top : top + size, left : left + size].permute(2, 0, 1))


def spaces_of(generator: Generator) -> tuple[str, ...]:
    """Return the spaces in which a generator's pictures can be found, that which comes nearest to them last."""
    return ("z", "w", "ws") if capabilities(generator).has_w else ("z",)


def features_of(segmenter: Segmenter | None) -> FeatureExtractor | None:
    """Return what a segmenter compares pictures by besides pixels; None if it has no encoder."""
    from segmenters import UNetSegmenter

    return segmenter.encode if isinstance(segmenter, UNetSegmenter) else None


def draw_inversion(found: Inversion, edited: Tensor | None = None) -> Image.Image:
    """Draw a row for each picture: as it was given, as it was found, where that is off, and edited if it was."""
    errors = (found.error_maps / WHITE).clamp(max=1) * 2 - 1
    columns = {"picture": from_uint8(found.pictures), "inverted": from_uint8(found.reconstructions)}
    columns["error"] = errors[:, None].expand(-1, 3, -1, -1)
    if edited is not None:
        columns["edited"] = edited
    notes = [f"{psnr:.1f} dB" for psnr in found.psnr.tolist()]
    return draw_columns(list(columns), torch.stack(list(columns.values()), dim=1), notes)
