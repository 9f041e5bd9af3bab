"""A segmenter's encoder as the features over which pictures are compared."""

from __future__ import annotations

from torch import Tensor

from gandissect.fidelity import Yardstick
from gandissect.protocols import Segmenter
from segmenters import UNetSegmenter
from segmenters.datasets import ImageSource

from .data import as_tensor

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Pictures that generated ones are compared with, at most; copies of training pictures beyond these go unseen."""


def yardstick(segmenter: Segmenter, train: ImageSource, held_out: ImageSource | None) -> Yardstick:
    """Return the measure over the coarsest features of a segmenter's encoder, averaged over the picture.

    Args:
        segmenter: One with an encoder.
        train: Pictures that the generator learns from.
        held_out: Pictures that it does not see.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
    """
    if not isinstance(segmenter, UNetSegmenter):
        raise ValueError(f"{segmenter.name!r} has no encoder to take features from; name a U-Net, e.g. 'unet-scenes'")

    if held_out is None:
        raise ValueError("nothing is held out to judge by; name at least one folder without @SPLIT, or scenes")

    def features(images: Tensor) -> Tensor:
        return segmenter.encode(images)[-1].mean(dim=(2, 3))

    return Yardstick(segmenter.name, features, as_tensor(train, MAX_TRAIN), as_tensor(held_out, MAX_HELD_OUT))
