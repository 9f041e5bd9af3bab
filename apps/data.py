"""Pictures named on the command line.

``scenes`` or ``scenes:COUNT`` are rendered scenes; anything else is a folder of photographs, with ``@SPLIT`` for one of
its split files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import segmenters


def fitting(generator: str, segmenters: Sequence[str]) -> tuple[str, ...]:
    """Return the segmenters made for a generator's pictures: ``unet-scenes`` for ``dcgan-scenes64``.

    Args:
        generator: The generator's name.
        segmenters: Names to choose from.
    """
    family = re.search(r"-([a-z]+)\d*$", generator)
    return tuple(name for name in segmenters if family and name.rpartition("-")[2] == family[1])


def fitting_segmenter(generator: str) -> str:
    """Return the bundled segmenter made for a generator's pictures.

    Raises:
        ValueError: If there is none.
    """
    found = fitting(generator, segmenters.names())
    if not found:
        raise ValueError(f"no bundled segmenter is known to fit {generator!r}; name one with --segmenter")
    return found[0]
