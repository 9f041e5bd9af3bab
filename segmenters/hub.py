"""Segmenters by name: those that are bundled, files of your own, a palette, torchvision's."""

from __future__ import annotations

from pathlib import Path

from gandissect.core.protocols import Segmenter
from gandissect.storage.cards import Shelf

from .palette import BASIC_CONCEPTS, PaletteSegmenter
from .torchvision import NETWORKS, PREFIX, load_torchvision
from .unet import UNetSegmenter

LAST = "segmenter.safetensors"
"""What a training writes into its folder."""

SHELF = Shelf(Path(__file__).parent, "segmenter")
names, card = SHELF.names, SHELF.card


def load(name_or_path: str | Path, device: str = "auto") -> Segmenter:
    """Load a segmenter.

    Args:
        name_or_path: A bundled name (`names`), the path of a ``.safetensors`` file, the folder of a training, whose
            ``segmenter.safetensors`` is taken, ``"palette"`` (the eight corners of the colour cube), or
            ``"torchvision:NAME"``.
        device: Where it shall compute; ``"auto"`` is CUDA if there, else MPS if there, else the CPU.

    Raises:
        KeyError: If the name is unknown, with the nearest match.
        FileNotFoundError: If there is no such file or folder, a folder holds none, or weights cannot be fetched.
        ValueError: If a file is damaged or not the one that its card describes, or there is no such device.
    """
    name = str(name_or_path)
    if name == "palette":
        return PaletteSegmenter(BASIC_CONCEPTS)
    if name.startswith(PREFIX):
        return load_torchvision(name.removeprefix(PREFIX), device)
    if name in names():
        return UNetSegmenter.load(card(name).verified_path(), device, name)
    path = SHELF.path(name_or_path, (LAST,), ("palette", *(PREFIX + network for network in NETWORKS)))
    return UNetSegmenter.load(path, device, str(path))
