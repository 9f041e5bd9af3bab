"""Features of a segmenter's encoder, in whose space sets of pictures are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ..core.protocols import Features, Segmenter


@runtime_checkable
class Encoder(Protocol):
    """A segmenter that exposes the features of its encoder, like the U-Nets of ``segmenters``."""

    @property
    def name(self) -> str:
        """Name of the network in reports."""

    def encode(self, images: Float[Tensor, "batch 3 H W"]) -> Sequence[Float[Tensor, "batch feature rows columns"]]:
        """Return the features of images ``[batch, 3, H, W]`` in [-1, 1] at every stage, the coarsest last."""


def encoder_features(segmenter: Segmenter | Encoder) -> Features:
    """Return a function that computes the coarsest features of a segmenter's encoder, averaged over the picture.

    Args:
        segmenter: Segmenter with an encoder.

    Raises:
        ValueError: If the segmenter has no encoder.
    """
    if not isinstance(segmenter, Encoder):
        name = getattr(segmenter, "name", type(segmenter).__name__)
        raise ValueError(f"{name!r} has no encoder to take features from; use a U-Net, such as 'unet-scenes'")
    encoder = segmenter
    return lambda images: encoder.encode(images)[-1].mean(dim=(2, 3))
