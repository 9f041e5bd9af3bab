"""Segmenters by name: those that are bundled, files of your own, a palette, torchvision's."""

from __future__ import annotations

import re
from pathlib import Path

from gandissect.core.protocols import Segmenter
from gandissect.core.types import check_type
from gandissect.storage.cards import CardIndex

from .palette import BASIC_CONCEPTS, PaletteSegmenter
from .torchvision import NETWORKS, PREFIX, load_torchvision
from .unet import UNetSegmenter

LAST = "segmenter.safetensors"
"""What a training writes into its folder."""

CARD_INDEX = CardIndex(Path(__file__).parent, "segmenter")
names = CARD_INDEX.names
"""Return the names of the bundled segmenters."""
card = CARD_INDEX.card
"""Return the card of a bundled network: what it is, how it was trained, and how good it is."""


def load(name_or_path: str | Path, device: str = "auto") -> Segmenter:
    """Load a segmenter.

    Args:
        name_or_path: A bundled name (`names`), the path of a ``.safetensors`` file, the folder of a training, whose
            ``segmenter.safetensors`` is taken, ``"palette"`` (the eight corners of the color cube), or
            ``"torchvision:NAME"``.
        device: Where it shall compute; ``"auto"`` is CUDA if there, else MPS if there, else the CPU.

    Raises:
        KeyError: If the name is unknown, with the nearest match.
        FileNotFoundError: If there is no such file or folder, a folder holds none, or weights cannot be fetched.
        ValueError: If a file is damaged or not the one that its card describes, or there is no such device.
    """
    check_type("name_or_path", name_or_path, (str, Path), f"give a file, a folder, or one of {', '.join(names())}")
    name = str(name_or_path)
    if name == "palette":
        return PaletteSegmenter(BASIC_CONCEPTS)
    if name.startswith(PREFIX):
        return load_torchvision(name.removeprefix(PREFIX), device)
    if name in names():
        return UNetSegmenter.load(card(name).verified_path(), device, name)
    path = CARD_INDEX.path(name_or_path, (LAST,), ("palette", *(PREFIX + network for network in NETWORKS)))
    return UNetSegmenter.load(path, device, str(path))


def names_for(generator: str) -> tuple[str, ...]:
    """Return the bundled segmenters made for a generator's images, e.g. ``unet-scenes`` for ``dcgan-scenes64``.

    Args:
        generator: The generator's name.
    """
    ending = re.search(r"-([a-z]+)\d*$", generator)
    return tuple(name for name in names() if ending and name.rpartition("-")[2] == ending[1])


def find_for(generator: str) -> str:
    """Return the bundled segmenter made for a generator's images.

    Args:
        generator: The generator's name.

    Raises:
        ValueError: If there is none.
    """
    fitting = names_for(generator)
    if not fitting:
        raise ValueError(f"no bundled segmenter is known to fit {generator!r}; name one with --segmenter")
    return fitting[0]
