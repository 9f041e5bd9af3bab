"""Short representations of segmenters."""

from __future__ import annotations

from gandissect.core.protocols import Segmenter


def describe_segmenter(segmenter: Segmenter) -> str:
    """Return a segmenter's representation, e.g. ``UNetSegmenter('unet-scenes', 17 concepts)``."""
    count = len(segmenter.concepts)
    return f"{type(segmenter).__name__}({segmenter.name!r}, {count} concept{'s' * (count != 1)})"
