"""A visitor's choices, which all pages share."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from gandissect import Generator
from generators import Translator

DEFAULT_INPUTS = ("scenes",)
"""Specifications of the pictures that a translator is put on where none are named."""

DIGITS = Path(__file__).parent / "bundled" / "digits"
"""Digits that cgan-digits32 drew, since real ones do not ship; examples/draw_digits.py writes them."""

INPUTS = {
    "cyclegan-dusk-scenes64": ("scenes@noon",),
    "cyclegan-noon-scenes64": ("scenes@dusk",),
    "pix2pix-scenes64": ("scenes@noon",),
    "stargan-scenes64": ("scenes@noon@summer",),
    "unit-digits32": (str(DIGITS),),
    "unit-scenes64": ("scenes@noon",),
}
"""Specifications for bundled translators, of pictures like those that they were trained on."""


@dataclass(frozen=True, slots=True)
class Visit:
    """The choices in the sidebar, the picker and the URL.

    Args:
        settings: Options that `gandissect explore` passed to the app.
        generator: Generator, which all visitors share; never written to.
        segmenter_name: Bundled name or path of the segmenter, as `load_segmenter` takes it.
        layer: Name of a layer of the generator.
        seed: Seed of the pictures.
        number: Index of the chosen picture among those of the seed.
        offered: The translator on the pictures that the page offers, if `generator` is on an uploaded one.
    """

    settings: argparse.Namespace
    generator: Generator
    segmenter_name: str
    layer: str
    seed: int
    number: int
    offered: Generator | None = None

    @property
    def measured(self) -> Generator:
        """Generator whose units are measured; with an uploaded picture, the translator on the pictures offered."""
        return self.generator if self.offered is None else self.offered

    @property
    def z(self) -> Float32[Tensor, "1 z"]:
        """The picture's latent vector, ``[1, z_dim]``."""
        return self.generator.sample_z(1, self.seed, self.number)


def first_layer(generator: Generator) -> str:
    """Return the layer that is shown first: the middle one, where units match objects best.

    For a translator it is the middle one of those that draw, which begin at the coarsest grid.
    """
    layers = list(generator.layers)
    if isinstance(generator, Translator):
        areas = [info.height * info.width for info in generator.layers.values()]
        layers = layers[areas.index(min(areas)) :]
    return layers[len(layers) // 2]


def find_inputs(name: str, settings: argparse.Namespace) -> tuple[str, ...]:
    """Return the specifications of the pictures that a translator is put on: ``--inputs``, or those by default.

    Args:
        name: Name or path by which the translator was chosen.
        settings: Options of `gandissect explore`; its inputs are for its generator.
    """
    own = settings.inputs if settings.generator in (None, name) else ()
    return tuple(own) or choose_inputs(name)


def choose_inputs(name: str) -> tuple[str, ...]:
    """Return the specifications of the pictures that a translator is put on by default."""
    return INPUTS.get(name, DEFAULT_INPUTS)


def parse_settings() -> argparse.Namespace:
    """Return the options that `gandissect explore` passed to the app."""
    parser = argparse.ArgumentParser()
    for name in ("generator", "segmenter", "dissection"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--inputs", action="append", default=[])
    parser.add_argument("--skip-broken", action="store_true")
    parser.add_argument("--num-samples", type=int, default=300)
    parser.add_argument("--device", default="auto")
    return parser.parse_known_args(sys.argv[1:])[0]
