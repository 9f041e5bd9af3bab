"""Load segmenters by name: bundled networks, files, a palette, torchvision's networks."""

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
"""Name of the file that a training run writes into its folder."""
LABELED_AS = {"outdoor": "streets"}
"""Kinds of images without a segmenter of their own, with the kind whose segmenter knows some of their concepts."""

CARD_INDEX = CardIndex(Path(__file__).parent, "segmenter")
names = CARD_INDEX.names
"""Return the names of the bundled segmenters."""
card = CARD_INDEX.card
"""Return the card of a bundled network: its description, training and quality."""


def load(name_or_path: str | Path, device: str = "auto") -> Segmenter:
    """Load a segmenter.

    Args:
        name_or_path: Bundled name (`names`), path of a ``.safetensors`` file, training folder (its
            ``segmenter.safetensors``), ``"palette"`` (the eight corners of the color cube), or ``"torchvision:NAME"``.
        device: Device to compute on; ``"auto"`` is CUDA if available, else MPS if available, else the CPU.

    Raises:
        KeyError: If the name is unknown; the message suggests the nearest match.
        FileNotFoundError: If the file or folder does not exist, the folder holds no segmenter, or weights cannot be
            downloaded.
        ValueError: If the file is damaged or differs from its card, or the device is not available.

    Examples:
        >>> import segmenters
        >>> segmenters.load("unet-scenes", device="cpu")
        UNetSegmenter('unet-scenes', 17 concepts)
        >>> palette = segmenters.load("palette")
        >>> [concept.name for concept in palette.concepts[:3]]
        ['black', 'red', 'green']
    """
    check_type("name_or_path", name_or_path, (str, Path), f"pass a file, a folder, or one of {', '.join(names())}")
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
    """Return the bundled segmenters for a generator's images, e.g. ``unet-scenes`` for ``dcgan-scenes64``.

    Args:
        generator: Name of the generator.
    """
    ending = re.search(r"-([a-z]+)\d*( (of|on) .+)?$", generator)  # "cgan-digits32 of 3", "pix2pix-scenes64 on scenes"
    kind = LABELED_AS.get(ending[1], ending[1]) if ending else None
    return tuple(name for name in names() if name.rpartition("-")[2] == kind)


def find_for(generator: str) -> str:
    """Return the bundled segmenter for a generator's images.

    Args:
        generator: Name of the generator.

    Raises:
        ValueError: If no bundled segmenter matches the name.
    """
    matches = names_for(generator)
    if not matches:
        raise ValueError(f"no bundled segmenter matches {generator!r}; name one with --segmenter")
    return matches[0]
