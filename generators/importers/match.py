"""The layouts that are known, and which of them a network has."""

from __future__ import annotations

from dataclasses import dataclass

from .families import (
    dcgan,
    fastgan,
    gan_zoo,
    lucidrains,
    progan,
    pytorch_gan,
    studiogan,
    stylegan,
    stylegan2,
    stylegan3,
)
from .layouts import Fit, Layout
from .networks import Network

FAMILY_MODULES = (dcgan, progan, stylegan, stylegan2, stylegan3, studiogan, gan_zoo, pytorch_gan, lucidrains, fastgan)
LAYOUTS: tuple[Layout, ...] = tuple(layout for family in FAMILY_MODULES for layout in family.LAYOUTS)


@dataclass(frozen=True, slots=True)
class Match:
    """A network of a file and a layout, and how far they fit.

    Args:
        network: The network.
        layout: The layout.
        fit: How far it is of it.
    """

    network: Network
    layout: Layout
    fit: Fit

    @property
    def num_taken(self) -> int:
        """How many of the tensors the layout takes."""
        return len(self.network.tensors) - sum(name in self.network.tensors for name in self.fit.unexpected)

    @property
    def is_near(self) -> bool:
        """Whether all names fit: then what does not is a shape, or something that options can say."""
        return bool(self.num_taken) and not self.fit.missing and self.num_taken == len(self.network.tensors)

    @property
    def distance(self) -> tuple[int, int]:
        """How far the network is of the layout: least is nearest."""
        wrong = len(self.fit.missing) + len(self.fit.unexpected)
        return (0 if self.fit.is_whole else 1 if self.is_near else 2), wrong - self.num_taken


def rank_layouts(network: Network) -> list[Match]:
    """Return how far a network is of each layout, nearest first."""
    matches = [Match(network, layout, layout.fit(network.tensors, network.facts)) for layout in LAYOUTS]
    return sorted(matches, key=lambda match: match.distance)
