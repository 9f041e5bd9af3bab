"""Layouts: the known kinds of checkpoints.

A layout is recognized by the names and shapes of its tensors, never by the name of a file. Each family has a module
that exports its layouts; `match.LAYOUTS` contains all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..architectures.base import LayeredGenerator

Tensors = Mapping[str, Tensor]
"""Tensors of a network by dotted name, without the prefixes of wrappers such as ``module.``."""

Facts = Mapping[str, Any]
"""Other information in the file: see `networks.Network`."""

ImportOptions = Mapping[str, Any]
"""Settings from the caller that the file does not contain, by name: ``size`` and the entries of ``--arch``."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well tensors match a layout.

    Args:
        settings: Settings that follow from the tensors, such as ``{"architecture": "stylegan2", "z_dim": 512}``.
        missing: Names that the layout requires and the file lacks.
        unexpected: Names in the file that the layout does not know; names that it ignores on purpose, such as filter
            buffers, are not included.
        problem: Reason why no generator can be built though no name is missing, or empty.
        assumed: Description of guessed settings that the file does not contain; empty if nothing was guessed.
    """

    settings: dict[str, str | int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    problem: str = ""
    assumed: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether no names are missing or unexpected, and a generator can be built."""
        return bool(self.settings) and not self.missing and not self.unexpected


@dataclass(frozen=True, slots=True)
class Layout:
    """A known kind of checkpoint.

    Args:
        name: Name of the layout, such as ``"rosinality StyleGAN2"``.
        fit: Function that compares tensors with this layout; it never raises, whatever the tensors.
        build: Function that builds the generator, in eval mode, in float32, without gradients; it raises ValueError,
            with the names of the tensors and the problem, if that is impossible.
    """

    name: str
    fit: Callable[[Tensors, Facts], Fit]
    build: Callable[[Tensors, Facts, ImportOptions], LayeredGenerator]
