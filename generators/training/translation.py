"""What the trainings of translators show: pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.utils import save_image

from gandissect.core.pictures import PictureSubset
from gandissect.core.protocols import ClassedSource, PairedSource, PictureSource
from gandissect.core.types import Concept
from gandissect.storage.files import atomic_path

NUM_SHOWN = 12
"""Number of inputs of a snapshot's samples."""
NUM_MEASURED = 64
"""Number of held-out inputs that a snapshot is measured on."""


def draw_columns(columns: Sequence[Float[Tensor, "_ 3 H W"]], path: Path, cells_per_row: int = 2) -> None:
    """Write a grid whose cells show the same picture of every column side by side, such as input, output and target.

    Args:
        columns: Pictures in [-1, 1]; of longer columns, the first ones are shown.
        path: File to write, a PNG.
        cells_per_row: Number of cells per row.
    """
    shown = min(len(column) for column in columns)
    cells = torch.stack([column[:shown].float().cpu() for column in columns], dim=1).flatten(0, 1)
    per_row = cells_per_row * len(columns)
    with atomic_path(path, overwrite=True) as temporary:
        save_image(cells, temporary, nrow=per_row, normalize=True, value_range=(-1, 1), format="png")


def show_inputs(source: PairedSource, maps: Float[Tensor, "batch channel H W"]) -> Float[Tensor, "batch 3 H W"]:
    """Return inputs as pictures in [-1, 1]: label maps in the colors of their concepts, unlabeled pixels in black."""
    if not source.label_maps:
        return maps
    concepts: Sequence[Concept] = getattr(source.inputs, "concepts", ())
    colors = torch.tensor([*(concept.color for concept in concepts), (0, 0, 0)], dtype=torch.float32, device="cpu")
    labels = maps[:, 0].long().cpu()
    known = labels.where((labels >= 0) & (labels < len(concepts)), len(concepts))
    return colors[known].permute(0, 3, 1, 2) / 127.5 - 1


def pick_domain(source: PictureSource, name: str) -> PictureSubset:
    """Return the pictures of a domain.

    Args:
        source: Pictures of several domains, which are their classes.
        name: Name of the domain.
    """
    classed = cast(ClassedSource, source)  # a task of several domains has checked that there are classes
    own = classed.class_indices == classed.classes.index(name)
    return PictureSubset(source, tuple(own.nonzero().flatten().tolist()))
