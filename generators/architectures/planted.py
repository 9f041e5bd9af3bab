"""A generator in closed form, whose units have known effects.

The image is a ground with at most one square cell of each concept. Concept ``k`` appears in row ``k`` of a grid of
cells if ``z[2k] > 0``, in column ``floor(cells * Phi(z[2k + 1]))``.

=============  ==================================================  ======================  ==================
unit           activation                                          IoU with its concept    effect of ablation
=============  ==================================================  ======================  ==================
``0 .. n-1``   1 on the cell of concept ``k``, else 0              1                       the concept is gone
``n``          the same as unit 0, but not used by the output      1 with concept 0        none
``n+1``        0 everywhere (dead)                                 0                       none
=============  ==================================================  ======================  ==================

A concept appears with probability 1/2 and then covers ``1 / cells**2`` of the image, so its expected share of pixels is
``1 / (2 * cells**2)``. The IoU of 1 holds for ``layer2``, whose grid is the image's, if the quantile is at least the
concept's share.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gandissect.core.types import Concept

from .base import LayeredGenerator

GROUND = Concept(0, "ground", (40, 40, 40))
PLANTED = (
    Concept(1, "red", (230, 40, 40)),
    Concept(2, "green", (40, 230, 40)),
    Concept(3, "blue", (40, 40, 230)),
    Concept(4, "yellow", (230, 230, 40)),
)


class PlantedGenerator(LayeredGenerator):
    """The generator described above, with ``layer1`` on the grid of cells and ``layer2`` on the image's.

    Args:
        size: Height and width of an image, a multiple of ``cells`` up to 4096.
        cells: Number of rows and columns of the grid of cells, at least the number of planted concepts.

    Raises:
        ValueError: If a number is out of range.
    """

    architecture = "planted"
    concepts = (GROUND, *PLANTED)
    """Concepts with which a palette segmenter labels the images exactly."""

    def __init__(self, size: int = 64, cells: int = 16) -> None:
        super().__init__(2 * len(PLANTED), {"size": size, "cells": cells})
        if cells < len(PLANTED) or not cells <= size <= 4096 or size % cells:
            requirement = f"cells must be at least {len(PLANTED)}, and size a multiple of cells up to 4096"
            raise ValueError(f"{requirement}; got {size=}, {cells=}")
        self.layer1 = _CellLayer(cells)
        self.layer2 = nn.Upsample(scale_factor=size // cells, mode="nearest")
        self.output = _make_paint()
        self.eval().requires_grad_(False)


class _CellLayer(nn.Module):
    """From latent vectors ``[batch, 2n, 1, 1]`` to activations ``[batch, n + 2, cells, cells]``."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, z: Tensor) -> Tensor:
        present, position = z[:, 0::2, 0, 0] > 0, torch.special.ndtr(z[:, 1::2, 0, 0])
        column = (position * self.cells).long().clamp(max=self.cells - 1)
        units = len(PLANTED)
        activation = z.new_zeros(len(z), units + 2, self.cells, self.cells)
        sample, unit = torch.arange(len(z), device=z.device)[:, None], torch.arange(units, device=z.device)[None]
        activation[sample, unit, unit, column] = present.to(z.dtype)
        activation[:, units] = activation[:, 0]
        return activation


def _make_paint() -> nn.Conv2d:
    """Return the 1x1 convolution that adds each concept's color, relative to the ground's."""
    units = len(PLANTED)
    paint = nn.Conv2d(units + 2, 3, 1)
    ground = _color(GROUND)
    with torch.no_grad():
        paint.weight.zero_()
        paint.bias = nn.Parameter(ground)
        for unit, concept in enumerate(PLANTED):
            paint.weight[:, unit, 0, 0] = _color(concept) - ground
    return paint


def _color(concept: Concept) -> Tensor:
    return torch.tensor(concept.color, dtype=torch.float32) / 127.5 - 1
