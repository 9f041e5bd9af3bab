"""Segmenters by name: those that are bundled, files of your own, a palette, torchvision's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gandissect.cards import Card, read_cards
from gandissect.names import lookup, unknown
from gandissect.protocols import Segmenter

from .palette import BASIC_CONCEPTS, PaletteSegmenter
from .torchvision import NETWORKS, PREFIX, load_torchvision
from .unet import UNetSegmenter


@cache
def _cards() -> dict[str, Card]:
    return read_cards(Path(__file__).parent)


def names() -> tuple[str, ...]:
    """Return the names of the bundled segmenters."""
    return tuple(_cards())


def card(name: str) -> Card:
    """Return the card of a bundled segmenter: how it was trained, how good it is, under which terms it may be used.

    Raises:
        KeyError: If none has that name, with the nearest match.
    """
    return lookup(_cards(), name, "bundled segmenter")


def load(name_or_path: str | Path, device: str = "auto") -> Segmenter:
    """Load a segmenter.

    Args:
        name_or_path: A bundled name (`names`), the path of a ``.safetensors`` file that a training wrote,
            ``"palette"`` (the eight corners of the colour cube), or ``"torchvision:NAME"``.
        device: Where it shall compute; ``"auto"`` is CUDA if there, else MPS if there, else the CPU.

    Raises:
        KeyError: If the name is unknown, with the nearest match.
        FileNotFoundError: If there is no such file, or weights cannot be fetched.
        ValueError: If a file is damaged or not the one that its card describes, or there is no such device.
    """
    name = str(name_or_path)
    if name == "palette":
        return PaletteSegmenter(BASIC_CONCEPTS)
    if name.startswith(PREFIX):
        return load_torchvision(name.removeprefix(PREFIX), device)
    if name in _cards():
        return UNetSegmenter.load(card(name).verified_path(), device, name)
    if isinstance(name_or_path, Path) or Path(name).suffix == ".safetensors" or Path(name).is_file():
        return UNetSegmenter.load(name_or_path, device)
    known = [*names(), "palette", *(PREFIX + network for network in NETWORKS)]
    raise KeyError(unknown("segmenter", name, known) + "; or give the path of a .safetensors file")
