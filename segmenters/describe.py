"""Short representations of segmenters and picture sources."""

from __future__ import annotations

from gandissect.core.protocols import Segmenter

from .datasets.source import ImageSource


def describe_segmenter(segmenter: Segmenter) -> str:
    """Return a segmenter's representation, e.g. ``UNetSegmenter('unet-scenes', 17 concepts)``."""
    count = len(segmenter.concepts)
    return f"{type(segmenter).__name__}({segmenter.name!r}, {count} concept{'s' * (count != 1)})"


def describe_source(source: ImageSource, name: str | None = None) -> str:
    """Return a source's representation, e.g. ``Subset('streets (held out)', size=64, num_images=9, concepts=8)``.

    Args:
        source: Source of pictures.
        name: First argument of the representation; by default the name of the source.
    """
    sizes = f"size={source.size}, num_images={len(source)}, concepts={len(source.concepts)}"
    return f"{type(source).__name__}({source.name if name is None else name!r}, {sizes})"
