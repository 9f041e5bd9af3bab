"""What was found of the units of a layer and a concept, and what ablating the first few of them takes away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .causal_results import Shares
from .names import lookup
from .store import Kept, check_tensor
from .types import UnitSet


@dataclass(frozen=True, slots=True, eq=False)
class UnitRanking:
    """Units of a layer by how much they cause a concept.

    Args:
        layer: The layer.
        concept: The concept's name.
        method: How it was found.
        scores: float64 ``[unit]``: ``alpha``, or the share of all pixels that ablating the unit takes away.
        num_samples: Images that it was found with.
        seed: Theirs; judge the ranking on another.
    """

    layer: str
    concept: str
    method: str
    scores: Tensor
    num_samples: int
    seed: int

    def __post_init__(self) -> None:
        check_tensor("scores", self.scores, torch.float64, (None,))
        if not bool(self.scores.isfinite().all()):
            raise ValueError("scores are finite")

    def top(self, count: int) -> UnitSet:
        """Return the first units, best first; of equals the first in the layer."""
        order = self.scores.argsort(descending=True, stable=True)[:count]
        return UnitSet(self.layer, tuple(order.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class UnitEffects:
    """What ablating each unit of a layer alone takes away of each concept.

    Args:
        layer: The layer.
        concepts: Names.
        mean: float64 ``[unit, concept]``, shares of all pixels.
        stderr: float64 ``[unit, concept]``, standard errors over images.
        num_samples: Images.
        seed: Theirs.
    """

    layer: str
    concepts: tuple[str, ...]
    mean: Tensor
    stderr: Tensor
    num_samples: int
    seed: int

    def ranking(self, concept: str) -> UnitRanking:
        """Return the units by what they take away of a concept.

        Raises:
            KeyError: If there is no such concept.
        """
        column = lookup({name: index for index, name in enumerate(self.concepts)}, concept, "concept")
        scores = self.mean[:, column].clone()
        return UnitRanking(self.layer, concept, "effect", scores, self.num_samples, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class EffectCurves(Kept):
    """What ablating the first few units of rankings takes away of a concept, beside as many random units.

    Args:
        generator: The generator's name.
        generator_fingerprint: SHA-256 of its architecture and weights.
        segmenter: The segmenter's name.
        segmenter_fingerprint: SHA-256 of its architecture and weights.
        layer: The layer.
        concept: The concept's name.
        share: The concept's share of the pixels of unchanged images.
        counts: Numbers of units, rising.
        taken: Share of all pixels by ranking; the entries of each are those of ``counts``.
        control: The same of several random orders of the layer's units.
        num_samples: Images.
        seed: Theirs.
    """

    FILE_NAME: ClassVar[str] = "effect_curves.safetensors"
    VERSION: ClassVar[int] = 1

    generator: str
    generator_fingerprint: str
    segmenter: str
    segmenter_fingerprint: str
    layer: str
    concept: str
    share: float
    counts: tuple[int, ...]
    taken: Mapping[str, Shares]
    control: tuple[Shares, ...]
    num_samples: int
    seed: int

    def __post_init__(self) -> None:
        if not self.counts or list(self.counts) != sorted(set(self.counts)) or self.counts[0] < 1:
            raise ValueError(f"counts rise from 1 or more; got {self.counts}")
        if any(len(table.mean) != len(self.counts) for table in (*self.taken.values(), *self.control)):
            raise ValueError(f"each table has {len(self.counts)} counts")
        if not self.control:
            raise ValueError("curves are beside a control or more")

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each ranking and number of units: what they take, and what random ones do."""
        return [
            {
                "ranking": name,
                "num_units": count,
                "taken": float(table.mean[place]),
                "taken_stderr": float(table.stderr[place]),
                "control_min": min(float(other.mean[place]) for other in self.control),
                "control_max": max(float(other.mean[place]) for other in self.control),
            }
            for name, table in self.taken.items()
            for place, count in enumerate(self.counts)
        ]
