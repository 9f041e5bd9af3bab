"""What a layout is: how far tensors are those of one known kind of checkpoint, and the generator they make.

A layout is recognized from the names and shapes of its tensors, never from the name of a file. Each family has a
module that exports its layouts; `match.LAYOUTS` holds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..architectures.base import LayeredGenerator

Tensors = Mapping[str, Tensor]
"""A network's tensors by dotted name, prefixes of wrappers such as ``module.`` taken off."""

Facts = Mapping[str, Any]
"""What the file says besides: see `networks.Network`."""

ImportOptions = Mapping[str, Any]
"""What the caller says that the file does not: ``size``, and what ``--arch`` holds, by name."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How far tensors are of a layout.

    Args:
        settings: What they say of the network, such as ``{"architecture": "stylegan2", "size": 256, "z_dim": 512}``.
        missing: Names that the layout needs and that are not there.
        unexpected: Names that are there and that the layout does not have; what it leaves out on purpose, such as
            buffers of filters, is not among them.
        assumed: What the file does not say and was guessed, and how to say otherwise; empty if nothing was.
    """

    settings: dict[str, str | int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    assumed: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing and nothing is left over."""
        return bool(self.settings) and not self.missing and not self.unexpected


@dataclass(frozen=True, slots=True)
class Layout:
    """A known kind of checkpoint.

    Args:
        name: What it is called, such as ``"rosinality StyleGAN2"``.
        fit: Says how far tensors are of this layout; it never raises, whatever it is given.
        build: Makes the generator, in eval mode, float32, without gradients; raises ValueError, with the names of the
            tensors and what is wrong, if they do not make one.
    """

    name: str
    fit: Callable[[Tensors, Facts], Fit]
    build: Callable[[Tensors, Facts, ImportOptions], LayeredGenerator]
