"""Label pictures by their class: every pixel of a picture is of the picture's class.

A segmenter that learns from such labels says which part of a picture looks like which class. It is supervised by whole
pictures only, and its figures are shares of right pictures rather than of right outlines.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gandissect.core.protocols import as_classed
from gandissect.core.types import Concept

from ..colors import index_color
from .source import ImageSource, LabeledPictures, describe_source


class LabeledByClass:
    """Source of the same pictures, labeled by their class.

    Args:
        source: Pictures with classes, such as `Photos` of a folder with a subfolder per class.

    Attributes:
        concepts: One concept per class.

    Raises:
        ValueError: If the pictures have no classes.
    """

    def __init__(self, source: ImageSource) -> None:
        if (classed := as_classed(source)) is None:
            raise ValueError(f"the pictures must have classes; {source.name} has none")
        self._source, self._class_indices = source, classed.class_indices
        self.name, self.size = source.name, source.size
        self.concepts = tuple(Concept(index, name, index_color(index)) for index, name in enumerate(classed.classes))

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures, each with one label at every pixel."""
        images = self._source.batch(indices, rng).images
        labels = self._class_indices[list(indices), None, None].expand(-1, *images.shape[2:])
        return LabeledPictures(images, labels.contiguous())
