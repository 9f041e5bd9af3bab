"""Features of a segmenter's encoder, over which sets of pictures are compared."""

from __future__ import annotations

from gandissect.core.protocols import Features, Segmenter

from .unet import UNetSegmenter


def encoder_features(network: Segmenter) -> Features:
    """Return the coarsest features of a segmenter's encoder, averaged over the picture.

    Raises:
        ValueError: If it has no encoder.
    """
    if not isinstance(network, UNetSegmenter):
        raise ValueError(f"{network.name!r} has no encoder to take features from; name a U-Net, e.g. 'unet-scenes'")
    return lambda images: network.encode(images)[-1].mean(dim=(2, 3))
