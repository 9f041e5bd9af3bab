"""Segmenters by name: those that are bundled, files of your own, a palette, torchvision's."""

from __future__ import annotations

from pathlib import Path

from gandissect.cards import Shelf
from gandissect.names import unknown
from gandissect.protocols import Segmenter

from .palette import BASIC_CONCEPTS, PaletteSegmenter
from .torchvision import NETWORKS, PREFIX, load_torchvision
from .unet import UNetSegmenter

SHELF = Shelf(Path(__file__).parent, "segmenter")
names, card = SHELF.names, SHELF.card


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
    if name in names():
        return UNetSegmenter.load(card(name).verified_path(), device, name)
    if isinstance(name_or_path, Path) or Path(name).suffix == ".safetensors" or Path(name).is_file():
        return UNetSegmenter.load(name_or_path, device, name)
    known = [*names(), "palette", *(PREFIX + network for network in NETWORKS)]
    raise KeyError(unknown("segmenter", name, known) + "; or give the path of a .safetensors file")
