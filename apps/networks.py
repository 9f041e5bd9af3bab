"""Generators and segmenters that are named on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

import generators
import segmenters
from gandissect import Segmenter
from generators import LayeredGenerator

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
"""A generator, in the first place of a command; ``--generator MODEL`` says the same."""


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
    if name in (*segmenters.names(), "palette"):
        raise KeyError(_wrong_kind_message(name, "segmenter", "generator", generators.names()))
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
        raise KeyError(_wrong_kind_message(name, "generator", "segmenter", segmenters.names()))
    return segmenters.load(name, device)


def _wrong_kind_message(name: str, kind: str, wanted: str, names: Sequence[str]) -> str:
    return f"{name!r} is a {kind}, and a {wanted} is wanted: {', '.join(names)}, or a file or folder"
