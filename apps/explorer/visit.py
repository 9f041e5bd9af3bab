"""A visitor's choices, which all pages share."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from gandissect import Generator


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
    """

    settings: argparse.Namespace
    generator: Generator
    segmenter_name: str
    layer: str
    seed: int
    number: int

    @property
    def z(self) -> Float32[Tensor, "1 z"]:
        """The picture's latent vector, ``[1, z_dim]``."""
        return self.generator.sample_z(1, self.seed, self.number)


def first_layer(generator: Generator) -> str:
    """Return the layer that is shown first: the middle one, where units match objects best."""
    layers = list(generator.layers)
    return layers[len(layers) // 2]


def parse_settings() -> argparse.Namespace:
    """Return the options that `gandissect explore` passed to the app."""
    parser = argparse.ArgumentParser()
    for name in ("generator", "segmenter", "dissection"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--skip-broken", action="store_true")
    parser.add_argument("--num-samples", type=int, default=300)
    parser.add_argument("--device", default="auto")
    return parser.parse_known_args(sys.argv[1:])[0]
