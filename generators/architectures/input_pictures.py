"""The pictures that a translator is put on, as rows of numbers.

A row is the picture itself, flattened: ``[channel * H * W]``. So a translator remains a function of its rows alone, and
whatever takes rows of a generator works for it unchanged. A label map is one channel of concept indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gandissect.core.images import from_uint8
from gandissect.core.pictures import pick_evenly
from gandissect.core.protocols import PictureSource
from gandissect.core.rows import check_row_range
from gandissect.core.types import check_type
from gandissect.storage.files import hash_tensors

HASHED = 64
"""Maximum number of pictures of a source that enter its fingerprint, evenly spaced."""

Pictures = PictureSource | Tensor
"""A source of pictures; uint8 ``[picture, 3, H, W]``; float ``[picture, channel, H, W]``, taken as they are; or, for a
translator of label maps, int64 ``[picture, H, W]``."""


class InputPictures:
    """Pictures, or label maps, as rows.

    Args:
        pictures: Pictures that are translated, at least one, all of one size; of pairs, the inputs.
        concepts: Names of the concepts that label maps index; empty for pictures.

    Attributes:
        name: Name for reports.

    Raises:
        TypeError: If the pictures are neither a source nor a tensor of the required dtype.
        ValueError: If there are no pictures, a tensor has another shape, a value is not finite or is no label, or a
            source has other concepts.
    """

    def __init__(self, pictures: Pictures, concepts: Sequence[str] = ()) -> None:
        check_type("pictures", pictures, (PictureSource, Tensor), "use a source such as segmenters.datasets.Photos")
        self._concepts = tuple(concepts)
        pictures = self._pictures = self._take_inputs(pictures)
        if not len(pictures):
            raise ValueError("pictures must be at least one; got none")
        if isinstance(pictures, Tensor):
            _check_tensor(pictures, len(self._concepts))
            self.name = f"{len(pictures)} {'label maps' if concepts else 'pictures'}"
        else:
            _check_concepts(pictures, self._concepts)
            self.name = pictures.name

    def __len__(self) -> int:
        return len(self._pictures)

    def _take_inputs(self, pictures: Pictures) -> Pictures:
        """Return the source of the inputs if pictures are pairs of inputs and targets."""
        inputs: PictureSource | None = getattr(pictures, "inputs", None)
        if inputs is not None and getattr(pictures, "label_maps", False) and not self._concepts:
            raise ValueError(
                f"the inputs of {getattr(pictures, 'name', 'the pairs')} are label maps, but the network takes "
                "pictures; pass segmenters.datasets.LabelMaps for label maps in colors"
            )
        return pictures if inputs is None else inputs

    def __deepcopy__(self, memo: dict[int, Any]) -> InputPictures:
        """Return the same pictures, which are never modified."""
        return self

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture; a label map has one channel."""
        channels, height, width = self.maps(range(1)).shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of all pictures of a tensor; of a source, of its name, its length and a few pictures."""
        if isinstance(self._pictures, Tensor):
            return hash_tensors({"pictures": self._pictures}, {"concepts": self._concepts})
        facts = {"name": self.name, "number": len(self), "concepts": self._concepts}
        return hash_tensors({"pictures": self.maps(pick_evenly(self._pictures, HASHED))}, facts)

    def maps(self, indices: Sequence[int]) -> Float32[Tensor, "batch channel H W"]:
        """Return pictures in [-1, 1], float pictures as they are, or label maps as numbers.

        Args:
            indices: Indices of the pictures, each from 0 to ``len(self) - 1``, at least one.
        """
        if isinstance(self._pictures, Tensor):
            chosen = self._pictures[list(indices)].cpu()
        elif self._concepts:
            chosen = self.labels(indices)
        else:
            chosen = self._pictures.batch(indices).images
        return as_maps(chosen)

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts that `labels` index; none where the pictures have no labels."""
        return self._concepts or tuple(concept.name for concept in getattr(self._pictures, "concepts", ()))

    def labels(self, indices: Sequence[int]) -> Int64[Tensor, "batch H W"]:
        """Return the true label maps of pictures, int64 ``[batch, H, W]``; -1 where a pixel has no concept.

        Args:
            indices: Indices of the pictures, each from 0 to ``len(self) - 1``, at least one.

        Raises:
            ValueError: If the pictures have no labels.
        """
        if isinstance(self._pictures, Tensor):
            if not self._concepts:
                raise ValueError(f"{self.name} have no labels")
            return self._pictures[list(indices)].cpu()
        labels: Int64[Tensor, "batch H W"] | None = getattr(self._pictures.batch(indices), "labels", None)
        if labels is None:
            raise ValueError(f"{self.name} has no labels")
        return labels

    def rows(self, num_rows: int, start: int) -> Float32[Tensor, "batch z"]:
        """Return the rows of consecutive pictures.

        Args:
            num_rows: Number of rows, at least 0.
            start: Index of the first picture.

        Raises:
            ValueError: If there are no such pictures.
        """
        check_row_range(num_rows, start, len(self))
        if not num_rows:
            channels, height, width = self.shape
            return torch.zeros(0, channels * height * width, dtype=torch.float32, device="cpu")
        return self.maps(range(start, start + num_rows)).flatten(1)


def as_maps(pictures: Tensor) -> Float32[Tensor, "batch channel H W"]:
    """Return uint8 pictures in [-1, 1], float pictures as they are, or int64 label maps as numbers of one channel."""
    if pictures.dtype == torch.uint8:
        return from_uint8(pictures)
    return pictures.float() if pictures.is_floating_point() else pictures[:, None].float()


def _check_tensor(pictures: Tensor, num_concepts: int) -> None:
    shape = list(pictures.shape)
    if num_concepts:
        if pictures.dtype != torch.int64:
            raise TypeError(f"label maps must be int64; got {pictures.dtype}")
        if pictures.ndim != 3:
            raise ValueError(f"label maps must be int64 [n, H, W]; got {shape}")
        lowest, highest = int(pictures.min()), int(pictures.max())
        if lowest < -1 or highest >= num_concepts:
            raise ValueError(f"labels must be -1 to {num_concepts - 1}; got {lowest} to {highest}")
        return
    if pictures.dtype != torch.uint8 and not pictures.is_floating_point():
        raise TypeError(f"pictures must be uint8, 0 to 255, or float, in [-1, 1]; got {pictures.dtype}")
    if pictures.ndim != 4 or (pictures.dtype == torch.uint8 and pictures.shape[1] != 3):
        raise ValueError(f"pictures must be uint8 [n, 3, H, W] or float [n, channel, H, W]; got {shape}")
    if pictures.is_floating_point() and not bool(pictures.isfinite().all()):
        raise ValueError("pictures must be finite; got NaN or infinity")


def _check_concepts(source: PictureSource, concepts: tuple[str, ...]) -> None:
    names = tuple(concept.name for concept in getattr(source, "concepts", ()))
    if concepts and names != concepts:
        raise ValueError(
            f"{source.name} must have label maps of the concepts {', '.join(concepts)}; "
            f"got {', '.join(names) or 'no labels'}"
        )
