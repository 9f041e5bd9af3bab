"""Load the generators and segmenters named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

import generators
import segmenters
from gandissect import Segmenter
from generators import ConditionalGenerator, LayeredGenerator

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
"""Generator, the first argument of a command; ``--generator MODEL`` is equivalent."""


def load_generator(name: str, device: str, classes: Sequence[str] = ()) -> LayeredGenerator:
    """Load a generator.

    Args:
        name: Bundled name, file or folder, as for `generators.load`.
        device: Device to load it on: auto, cpu, cuda or mps.
        classes: Names of the classes that samples are drawn from; all by default.

    Raises:
        KeyError: If the name or a class is unknown, or it names a segmenter.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the file is damaged or does not hold a generator, or classes are named and it has none.
    """
    if name in (*segmenters.names(), "palette"):
        raise KeyError(_wrong_kind_message(name, "segmenter", "generator", generators.names()))
    generator = generators.load(name, device)
    if not classes:
        return generator
    if not isinstance(generator, ConditionalGenerator):
        raise ValueError(f"{generator.name} has no classes to draw from; omit --classes")
    return generator.of_classes(*classes)


def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter.

    Args:
        name: Bundled name, file or folder, as for `segmenters.load`.
        device: Device to load it on: auto, cpu, cuda or mps.

    Raises:
        KeyError: If the name is unknown, or names a generator.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the file is damaged or does not hold a segmenter.
    """
    if name in generators.names():
        raise KeyError(_wrong_kind_message(name, "generator", "segmenter", segmenters.names()))
    return segmenters.load(name, device)


def _wrong_kind_message(name: str, actual: str, expected: str, names: Sequence[str]) -> str:
    return f"{name!r} is a {actual}, not a {expected}; name one of {', '.join(names)}, or a file or folder"
