"""Networks that give each pixel of an image a concept, and the labelled pictures that they learn from.

``segmenters.load("unet-scenes")`` is all that most need; names that cost an import are resolved when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .evaluation import Evaluation, evaluate
    from .hub import card, load, names
    from .palette import PaletteSegmenter
    from .training import SegmenterSettings, train_segmenter
    from .unet import UNetSegmenter

_HOMES = {
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "card": "hub",
    "load": "hub",
    "names": "hub",
    "PaletteSegmenter": "palette",
    "SegmenterSettings": "training",
    "train_segmenter": "training",
    "UNetSegmenter": "unet",
}

__all__ = [
    "Evaluation",
    "PaletteSegmenter",
    "SegmenterSettings",
    "UNetSegmenter",
    "card",
    "evaluate",
    "load",
    "names",
    "train_segmenter",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
