"""Results of measuring what units cause: effects, rankings, and curves over the number of units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, UnitSet, check_concepts
from ..stats.intervals import Z_95, Shares
from ..storage.saved import SavedResult, check_tensor

EFFECT_KINDS = ("insertion", "ablation", "ace")
"""What is measured of some units."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitEffect:
    """What forcing some units does to every concept.

    Args:
        units: Which units.
        values: What they were forced to.
        insertion: Share of the pixels that insertion adds.
        ablation: Share of the pixels that ablation takes away.
        ace: Sum of both.
    """

    units: UnitSet
    values: tuple[float, ...]
    insertion: Shares
    ablation: Shares
    ace: Shares

    def __post_init__(self) -> None:
        if len(self.values) != len(self.units):
            raise ValueError(f"{len(self.units)} units have {len(self.values)} values")


@dataclass(frozen=True, slots=True, eq=False)
class EffectsByPlace:
    """What insertion adds of the concept by where it is made.

    Args:
        mean: float64 ``[row, column]``, share of all pixels; NaN where nothing was inserted.
        stderr: float64 ``[row, column]``; NaN where fewer than 2 insertions were made.
        count: int64 ``[row, column]``, insertions.
    """

    mean: Float64[Tensor, "row column"]
    stderr: Float64[Tensor, "row column"]
    count: Int64[Tensor, "row column"]

    def __post_init__(self) -> None:
        shape = tuple(self.count.shape)
        check_tensor("count", self.count, torch.int64, (None, None))
        for name, table in (("mean", self.mean), ("stderr", self.stderr)):
            check_tensor(name, table, torch.float64, shape)


@dataclass(frozen=True, slots=True, eq=False)
class CausalEffect(SavedResult):
    """What some units cause, beside what random units of their layer cause.

    Args:
        generator: The generator's name and fingerprint.
        segmenter: The segmenter's name and fingerprint.
        concepts: What it names.
        concept: The concept that was asked for.
        num_samples: Images.
        seed: Of the latent vectors.
        patch: Side of the square in which units are forced on, in cells of the layer's grid.
        base: Shares of the concepts in the unchanged images.
        effect: Of the units.
        control: Of random units.
        advantage: How much more the units' ACE is than the control's.
        by_place: What inserting the units adds of the concept, place by place.
    """

    FILE_NAME: ClassVar[str] = "effect.safetensors"
    VERSION: ClassVar[int] = 1

    generator: NetworkId
    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    concept: str
    num_samples: int
    seed: int
    patch: int
    base: Shares
    effect: UnitEffect
    control: UnitEffect
    advantage: Shares
    by_place: EffectsByPlace

    def __post_init__(self) -> None:
        check_concepts(self.concepts)
        lookup({concept.name: concept for concept in self.concepts}, self.concept, "concept")
        tables = [self.base, self.advantage]
        tables += [getattr(side, kind) for side in (self.effect, self.control) for kind in EFFECT_KINDS]
        if any(len(table.mean) != len(self.concepts) for table in tables):
            raise ValueError(f"each table has {len(self.concepts)} concepts")

    @property
    def ace(self) -> float:
        """Average causal effect on the concept, a share of all pixels, -1 to 2."""
        return float(self.effect.ace.mean[self._index])

    @property
    def stderr(self) -> float:
        """Standard error of `ace` over images."""
        return float(self.effect.ace.stderr[self._index])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `ace`."""
        reach = Z_95 * self.stderr
        return self.ace - reach, self.ace + reach

    @property
    def relative(self) -> float:
        """`ace` as a multiple of the concept's mean share in unchanged images; infinite where that is 0."""
        share = float(self.base.mean[self._index])
        return self.ace / share if share else math.copysign(math.inf, self.ace) if self.ace else 0.0

    @property
    def _index(self) -> int:
        return next(concept.index for concept in self.concepts if concept.name == self.concept)

    def __str__(self) -> str:
        """Say in a sentence what was found."""
        row, units = self._index, self.effect.units
        ace, control = _percent(self.effect.ace, row), _percent(self.control.ace, row)
        parts = f"insertion {_percent(self.effect.insertion, row)}, ablation {_percent(self.effect.ablation, row)}"
        return (
            f"{len(units)} units of {units.layer} on {self.concept}: ACE {ace} of the pixels ({parts}); "
            f"{100 * float(self.base.mean[row]):.2f} % of unchanged images are {self.concept}; "
            f"as many random units {control}; n = {self.num_samples}"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept: its share, and both sides' effects with standard errors."""
        return [self._record(concept) for concept in self.concepts]

    def _record(self, concept: Concept) -> dict[str, Any]:
        row = concept.index
        record: dict[str, Any] = {"concept": concept.name, "share": float(self.base.mean[row])}
        for prefix, side in (("", self.effect), ("control_", self.control)):
            for kind in EFFECT_KINDS:
                table: Shares = getattr(side, kind)
                record[f"{prefix}{kind}"] = float(table.mean[row])
                record[f"{prefix}{kind}_stderr"] = float(table.stderr[row])
        advantage, stderr = float(self.advantage.mean[row]), float(self.advantage.stderr[row])
        return record | {"advantage": advantage, "advantage_stderr": stderr}


def _percent(table: Shares, row: int) -> str:
    return f"{100 * float(table.mean[row]):+.2f} ± {100 * Z_95 * float(table.stderr[row]):.2f} %"


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
    scores: Float64[Tensor, " unit"]
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
        seed: Seed of the latent vectors.
    """

    layer: str
    concepts: tuple[str, ...]
    mean: Float64[Tensor, "unit concept"]
    stderr: Float64[Tensor, "unit concept"]
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
class EffectCurves(SavedResult):
    """What ablating the first few units of rankings takes away of a concept, beside as many random units.

    Args:
        generator: The generator's name and fingerprint.
        segmenter: The segmenter's name and fingerprint.
        layer: The layer.
        concept: The concept's name.
        share: The concept's share of the pixels of unchanged images.
        counts: Numbers of units, rising.
        taken: Share of all pixels by ranking; the entries of each are those of ``counts``.
        control: The same of several random orders of the layer's units.
        num_samples: Images.
        seed: Seed of the latent vectors.
    """

    FILE_NAME: ClassVar[str] = "effect_curves.safetensors"
    VERSION: ClassVar[int] = 1

    generator: NetworkId
    segmenter: NetworkId
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
