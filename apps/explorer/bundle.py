"""Precompute the results that ship with the explorer: ``python -m apps.explorer.bundle [GENERATOR ...]``.

For the first layer shown of each bundled generator: its dissection, without pictures, in ``bundled/``, and the effects
of its single units in ``bundled/effects/``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import generators
import segmenters
from gandissect import dissect
from gandissect.causal.units import measure_unit_effects

from .background.disk_cache import BUNDLED, attach_networks
from .networks import open_generator
from .units.chooser import EFFECT_SEED
from .visit import choose_inputs, first_layer

NUM_SAMPLES, NUM_EFFECT_SAMPLES = 300, 50


def make_bundle(names: Sequence[str]) -> None:
    """Write a dissection and unit effects for bundled generators.

    Args:
        names: Names of the generators.
    """
    for name in names:
        generator = open_generator(name, "auto", choose_inputs(name))
        segmenter = segmenters.load(segmenters.find_for(name))
        layer = first_layer(generator)
        dissection = dissect(generator, segmenter, layer, NUM_SAMPLES, top_images=0)
        print(dissection.save(BUNDLED / f"{name}.safetensors", overwrite=True))
        effects = measure_unit_effects(generator, segmenter, layer, NUM_EFFECT_SAMPLES, EFFECT_SEED)
        kept = attach_networks(generator, segmenter, effects)
        print(kept.save(BUNDLED / "effects" / f"{name}.safetensors", overwrite=True))


if __name__ == "__main__":
    make_bundle(sys.argv[1:] or generators.names())
