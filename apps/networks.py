"""Generators and segmenters that are named on the command line."""

from __future__ import annotations

import generators
import segmenters
from gandissect import Segmenter
from generators import LayeredGenerator


def load_generator(name: str, device: str) -> LayeredGenerator:
    """Load a generator.

    Args:
        name: As `generators.load` takes it.
        device: auto, cpu, cuda or mps.

    Raises:
        KeyError: If it is unknown, or a segmenter's.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a file is damaged or holds something else.
    """
    if name in segmenters.names() or name == "palette":
        wanted = ", ".join(generators.names())
        raise KeyError(f"{name!r} is a segmenter, and a generator is wanted: {wanted}, or a file or folder")
    return generators.load(name, device)


def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter.

    Args:
        name: As `segmenters.load` takes it.
        device: auto, cpu, cuda or mps.

    Raises:
        KeyError: If it is unknown, or a generator's.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a file is damaged or holds something else.
    """
    if name in generators.names():
        wanted = ", ".join(segmenters.names())
        raise KeyError(f"{name!r} is a generator, and a segmenter is wanted: {wanted}, or a file or folder")
    return segmenters.load(name, device)
