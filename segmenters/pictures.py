"""Color label maps, and write the grids of pictures, ground truth and predictions of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.protocols import Segmenter
from gandissect.core.types import Concept
from gandissect.storage.files import atomic_path

from .datasets.source import ImageSource

_UNNAMED = (255, 255, 255)


def color_labels(labels: Int64[Tensor, "batch H W"], concepts: Sequence[Concept]) -> UInt8[Tensor, "batch 3 H W"]:
    """Return label maps in the colors of their concepts; unlabeled pixels are white.

    Args:
        labels: Label maps, int64 ``[batch, H, W]``.
        concepts: Concepts that the labels index.

    Returns:
        uint8 ``[batch, 3, H, W]``.
    """
    colors = torch.tensor([*(concept.color for concept in concepts), _UNNAMED], dtype=torch.uint8, device="cpu")
    known = (labels >= 0) & (labels < len(concepts))
    return colors[torch.where(known, labels, len(concepts))].permute(0, 3, 1, 2)


def save_grid(
    path: Path | str, segmenter: Segmenter, source: ImageSource, num_images: int = 12, *, overwrite: bool = False
) -> None:
    """Write a PNG with one column per picture: the picture, the ground truth, and the prediction below.

    Args:
        path: File to write.
        segmenter: Segmenter that predicts the labels.
        source: Labeled pictures, from which evenly spaced ones are chosen.
        num_images: Maximum number of columns.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
    """
    count = min(num_images, len(source))
    batch = source.batch([index * len(source) // count for index in range(count)])
    rows = [batch.images, color_labels(segmenter(from_uint8(batch.images)).cpu(), source.concepts)]
    if batch.labels is not None:
        rows.insert(1, color_labels(batch.labels, source.concepts))
    joined = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    with atomic_path(path, overwrite=overwrite) as temporary:
        Image.fromarray(joined.permute(1, 2, 0).numpy()).save(temporary, "PNG")
