"""The layouts that are known, and which of them a network has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from .roles import AVERAGED, GENERATOR, NETWORK
from .wrappers import complete_average, strip_head

FAMILY_MODULES = (dcgan, progan, stylegan, stylegan2, stylegan3, studiogan, gan_zoo, pytorch_gan, lucidrains, fastgan)
LAYOUTS: tuple[Layout, ...] = tuple(layout for family in FAMILY_MODULES for layout in family.LAYOUTS)
MAX_HEADS, MAX_RENAMED = 3, 2_000
"""How many parts of names may be put before those of a network, and of how many tensors; to compare more takes long."""


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


def match_networks(networks: Sequence[Network]) -> list[Match]:
    """Return for each network of a file the layout that it fits best.

    An average that the file keeps only in part, or without names, is completed by the network that it is an average of.
    """
    matches = [find_match(network) for network in networks]
    plain = [match for match in matches if match.is_near and match.network.role in {GENERATOR, NETWORK}]
    return [_complete(match, plain) if match.network.role == AVERAGED else match for match in matches]


def is_partial(averaged: Network, plain: Network) -> bool:
    """Say whether an averaged network may be an average of another, by the shapes of its tensors."""
    own, others = (Counter(tuple(tensor.shape) for tensor in network.tensors.values()) for network in (averaged, plain))
    del own[()]  # numbers that are kept beside, such as a decay
    return bool(own) and own <= others


def find_match(network: Network) -> Match:
    """Return the layout that a network fits best, perhaps without parts that all its names begin with."""
    best = match = rank_layouts(network)[0]
    for _ in range(MAX_HEADS):
        is_large = len(network.tensors) > MAX_RENAMED
        if match.is_near or is_large or (bare := strip_head(match.network.tensors)) is None:
            break
        match = rank_layouts(replace(network, tensors=bare, facts=_strip_facts(match.network)))[0]
    return match if match.is_near else best


def _strip_facts(network: Network) -> dict[str, Any]:
    """Return what is said of a network without the first part of the names of its modules."""
    attributes = network.facts.get("attributes")
    if not isinstance(attributes, dict):
        return network.facts
    within = {name.partition(".")[2]: value for name, value in attributes.items() if name}
    return {**network.facts, "attributes": within}


def _complete(match: Match, plain: Sequence[Match]) -> Match:
    """Return the match of an averaged network with what it lacks, if it fits no layout and another network has it."""
    for other in () if match.is_near else plain:
        if (tensors := complete_average(match.network.tensors, other.network.tensors)) is not None:
            facts = {**other.network.facts, **match.network.facts}
            return rank_layouts(replace(match.network, tensors=tensors, facts=facts))[0]
    return match


def rank_layouts(network: Network) -> list[Match]:
    """Return how far a network is of each layout, nearest first."""
    matches = [Match(network, layout, layout.fit(network.tensors, network.facts)) for layout in LAYOUTS]
    return sorted(matches, key=lambda match: match.distance)
