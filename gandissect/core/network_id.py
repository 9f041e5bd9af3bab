"""The identity of the network that a result was computed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

DIGITS = 64
"""Hexadecimal digits of the first part of a fingerprint, a SHA-256 hash; other parts have a quarter of that."""

SHOWN = 8
"""Digits of each part that are shown to people."""


def join_fingerprint(whole: str, *parts: str) -> str:
    """Return a fingerprint of several hashes, joined by hyphens.

    Args:
        whole: SHA-256 of architecture and weights, which was the entire fingerprint in earlier versions.
        parts: SHA-256 of other properties that distinguish networks.
    """
    return "-".join([whole, *(part[: DIGITS // 4] for part in parts)])


def is_same_network(one: str, other: str) -> bool:
    """Return whether two fingerprints belong to the same network, comparing the parts that both have.

    Fingerprints from earlier versions have only the first part, which covers architecture and weights.

    Args:
        one: A fingerprint.
        other: Another fingerprint.
    """
    mine, theirs = one.split("-"), other.split("-")
    if len(mine[0]) < DIGITS:
        return one == other
    return all(my_part == their_part for my_part, their_part in zip(mine, theirs, strict=False))


def shorten_fingerprint(fingerprint: str) -> str:
    """Return the first digits of each part of a fingerprint, so that a difference in any part shows."""
    return "-".join(part[:SHOWN] for part in fingerprint.split("-"))


class Identified(Protocol):
    """A network with a name for people and a fingerprint for machines."""

    @property
    def name(self) -> str:
        """Name of the network."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture and weights, and of other properties that distinguish the network."""


@dataclass(frozen=True, slots=True, repr=False)
class NetworkId:
    """The identity of a generator or a segmenter.

    Args:
        name: Name of the network, e.g. ``dcgan-scenes64``.
        fingerprint: Hexadecimal SHA-256 of architecture and weights, and of other properties that distinguish the
            network.
    """

    SAVED_AS: ClassVar[Mapping[str, str]] = {"name": "{}", "fingerprint": "{}_fingerprint"}
    """Names of the fields in files, where ``{}`` is the name of the result's field that holds the identity."""

    name: str
    fingerprint: str

    @staticmethod
    def of(network: Identified) -> NetworkId:
        """Return the identity of a network; this hashes all of its weights."""
        return NetworkId(network.name, network.fingerprint)

    def check(self, network: Identified, subject: str) -> None:
        """Check that a network has this fingerprint, whatever its name.

        Args:
            network: Network to check.
            subject: Start of the message, which states what belongs to this identity, e.g. ``"the recipe"``.

        Raises:
            ValueError: If the fingerprints differ; the message names both networks.
        """
        if not is_same_network(network.fingerprint, self.fingerprint):
            own, other = map(shorten_fingerprint, (self.fingerprint, network.fingerprint))
            raise ValueError(
                f"{subject} belongs to {self.name} with fingerprint {own}, but {network.name} has fingerprint {other}; "
                f"load the original {self.name}"
            )

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"NetworkId({self.name!r}, {shorten_fingerprint(self.fingerprint)!r})"

    def __format__(self, form: str) -> str:
        return format(self.name, form)
