"""The dissections that the explorer begins with: ``python -m apps.explorer.bundle`` makes them.

They are of the layer of each bundled generator that is shown first, without pictures, and lie in ``bundled/``.
"""

from __future__ import annotations

import generators
import segmenters
from apps.data import fitting_segmenter
from gandissect import dissect

from .kept import BUNDLED
from .visit import first_layer

NUM_SAMPLES = 300


def make_bundle() -> None:
    """Write a dissection for each bundled generator."""
    for name in generators.names():
        generator, segmenter = generators.load(name), segmenters.load(fitting_segmenter(name))
        layer = first_layer(generator)
        found = dissect(generator, segmenter, layer, NUM_SAMPLES, top_images=0)
        print(found.save(BUNDLED / f"{name}.safetensors"))


if __name__ == "__main__":
    make_bundle()
