"""Which network a result was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

DIGITS = 64
"""Hexadecimal digits of SHA-256, as long as the first part of a fingerprint; other parts are a quarter as long."""

SHOWN = 8
"""Digits of each part that people are shown."""


def join_fingerprint(whole: str, *parts: str) -> str:
    """Return a fingerprint of several hashes, joined by hyphens.

    Args:
        whole: SHA-256 of architecture and weights, the fingerprint of earlier versions.
        parts: SHA-256 of what else tells networks apart.
    """
    return "-".join([whole, *(part[: DIGITS // 4] for part in parts)])


def is_same_network(one: str, other: str) -> bool:
    """Tell whether two fingerprints are of one network, as far as both of them go.

    The fingerprints of earlier versions have the first part only, and go no further than the weights.

    Args:
        one: A fingerprint.
        other: Another fingerprint.
    """
    mine, theirs = one.split("-"), other.split("-")
    if len(mine[0]) < DIGITS:
        return one == other
    return all(my_part == their_part for my_part, their_part in zip(mine, theirs, strict=False))


def shorten_fingerprint(fingerprint: str) -> str:
    """Return the first digits of each part of a fingerprint, so that whichever part differs is seen to."""
    return "-".join(part[:SHOWN] for part in fingerprint.split("-"))


class Identified(Protocol):
    """A network with a name for people and a fingerprint for machines."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def fingerprint(self) -> str:
        """What tells it from others: SHA-256 of architecture and weights, hexadecimal, and what else there is."""


@dataclass(frozen=True, slots=True)
class NetworkId:
    """The identity of a generator or a segmenter; two are equal if name and fingerprint are.

    Args:
        name: What to call the network, e.g. ``dcgan-scenes64``.
        fingerprint: SHA-256 of its architecture and weights, hexadecimal, and what else tells it from others.
    """

    SAVED_AS: ClassVar[Mapping[str, str]] = {"name": "{}", "fingerprint": "{}_fingerprint"}
    """How files name the fields of an identity that a result holds as ``{}``."""

    name: str
    fingerprint: str

    @staticmethod
    def of(network: Identified) -> NetworkId:
        """Return the identity of a network; its fingerprint is computed from all of its weights."""
        return NetworkId(network.name, network.fingerprint)

    def check(self, network: Identified, subject: str) -> None:
        """Check that a network is the one of this identity, whatever its name.

        Args:
            network: The network at hand.
            subject: What belongs to this identity, at the beginning of the message, e.g. ``"the recipe"``.

        Raises:
            ValueError: If the fingerprint differs, naming both networks.
        """
        if not is_same_network(network.fingerprint, self.fingerprint):
            own, other = map(shorten_fingerprint, (self.fingerprint, network.fingerprint))
            raise ValueError(
                f"{subject} belongs to {self.name} with fingerprint {own}, and {network.name} has fingerprint {other}; "
                f"load {self.name} as it was then"
            )

    def __str__(self) -> str:
        return self.name

    def __format__(self, form: str) -> str:
        return format(self.name, form)
