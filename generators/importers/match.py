"""All known layouts, and the one that matches a network best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .families import (
    biggan,
    cyclegan,
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

FAMILY_MODULES = (
    dcgan,
    progan,
    stylegan,
    stylegan2,
    stylegan3,
    studiogan,
    biggan,
    gan_zoo,
    pytorch_gan,
    lucidrains,
    fastgan,
    cyclegan,
)
LAYOUTS: tuple[Layout, ...] = tuple(layout for family in FAMILY_MODULES for layout in family.LAYOUTS)
MAX_HEADS, MAX_RENAMED = 3, 2_000
"""Maximum number of prefix parts before a network's names, and of tensors to rename, which bounds the running time."""


@dataclass(frozen=True, slots=True)
class Match:
    """A network of a file, a layout, and how well they match.

    Args:
        network: Network in the file.
        layout: Layout that it is compared with.
        fit: Result of the comparison.
    """

    network: Network
    layout: Layout
    fit: Fit

    @property
    def num_taken(self) -> int:
        """Number of the network's tensors that the layout knows."""
        return len(self.network.tensors) - sum(name in self.network.tensors for name in self.fit.unexpected)

    @property
    def is_near(self) -> bool:
        """Whether all names match, so that any mismatch is a shape, or a setting that options can supply."""
        return bool(self.num_taken) and not self.fit.missing and self.num_taken == len(self.network.tensors)

    @property
    def distance(self) -> tuple[int, int]:
        """Sort key of the mismatch between network and layout; the smallest is the nearest."""
        wrong = len(self.fit.missing) + len(self.fit.unexpected) + bool(self.fit.problem)
        return (0 if self.fit.is_whole else 1 if self.is_near else 2), wrong - self.num_taken


def match_networks(networks: Sequence[Network]) -> list[Match]:
    """Return the best-matching layout of each network of a file.

    An average that the file contains only in part, or without names, is completed from the network that it averages.
    """
    matches = [find_match(network) for network in networks]
    plain = [match for match in matches if match.is_near and match.network.role in {GENERATOR, NETWORK}]
    return [_complete(match, plain) if match.network.role == AVERAGED else match for match in matches]


def is_partial(averaged: Network, plain: Network) -> bool:
    """Return whether a network may be an average of another, judging by the shapes of its tensors."""
    shapes, other_shapes = (
        Counter(tuple(tensor.shape) for tensor in network.tensors.values()) for network in (averaged, plain)
    )
    del shapes[()]  # scalars such as a decay
    return bool(shapes) and shapes <= other_shapes


def find_match(network: Network) -> Match:
    """Return the best-matching layout of a network, possibly after removing a common prefix of its names."""
    best = match = rank_layouts(network)[0]
    for _ in range(MAX_HEADS):
        is_large = len(network.tensors) > MAX_RENAMED
        if match.is_near or is_large or (bare := strip_head(match.network.tensors)) is None:
            break
        match = rank_layouts(replace(network, tensors=bare, facts=_strip_facts(match.network)))[0]
    return match if match.is_near else best


def _strip_facts(network: Network) -> dict[str, Any]:
    """Return the facts of a network without the first part of its modules' names."""
    attributes = network.facts.get("attributes")
    if not isinstance(attributes, dict):
        return network.facts
    within = {name.partition(".")[2]: value for name, value in attributes.items() if name}
    return {**network.facts, "attributes": within}


def _complete(match: Match, plain: Sequence[Match]) -> Match:
    """Complete an averaged network that matches no layout from the network that it averages, if that is in the file."""
    for other in () if match.is_near else plain:
        if (tensors := complete_average(match.network.tensors, other.network.tensors)) is not None:
            facts = {**other.network.facts, **match.network.facts}
            return rank_layouts(replace(match.network, tensors=tensors, facts=facts))[0]
    return match


def rank_layouts(network: Network) -> list[Match]:
    """Return the match of a network with each layout, nearest first."""
    matches = [Match(network, layout, layout.fit(network.tensors, network.facts)) for layout in LAYOUTS]
    return sorted(matches, key=lambda match: match.distance)
