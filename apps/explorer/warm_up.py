"""Preparation before the server starts, so that the first visitor does not wait."""

from __future__ import annotations

import argparse
import gc

from .background.resources import load_dissector, load_generator, load_levels, load_segmenter
from .networks import fingerprint_of, label_image, make_images
from .picker import FIRST_SEED
from .sidebar import generator_names, segmenter_options
from .visit import find_inputs, first_layer


def warm_up(settings: argparse.Namespace) -> None:
    """Load what the first page shows into the caches that all visitors share.

    Streamlit collects garbage after each run of a page. Objects that stay alive are frozen here; scanning them would
    delay every picture by a third of a second.

    Args:
        settings: Options of `gandissect explore`.
    """
    name = generator_names(settings)[0]
    generator = load_generator(name, settings.device, find_inputs(name, settings))
    segmenter = load_segmenter(segmenter_options(name, settings)[0], settings.device)
    layer = first_layer(generator)
    load_dissector(settings.num_samples, settings.dissection).begin(generator, segmenter, layer)
    load_levels(generator, fingerprint_of(generator), layer)
    label_image(segmenter, make_images(generator, generator.sample_z(1, FIRST_SEED))[0])
    gc.collect()
    gc.freeze()
