"""Results of measuring causal effects: effects, rankings, and curves over the number of units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..core.display import Displayed, Tabular, count_units, format_error
from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, UnitSet, check_concepts
from ..stats.intervals import Z_95, Shares
from ..storage.saved import SavedResult, check_tensor

EFFECT_KINDS = ("insertion", "ablation", "ace")
"""Names of the measured effects: of insertion, of ablation, and their sum."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnitEffect(Displayed):
    """The effect of forcing units on every concept.

    Args:
        units: Units that were forced.
        values: Values that the units were forced on to, one per unit.
        insertion: Share of all pixels that insertion adds to each concept.
        ablation: Share of all pixels that ablation removes from each concept.
        ace: Average causal effect on each concept, the sum of insertion and ablation.
    """

    units: UnitSet
    values: tuple[float, ...]
    insertion: Shares
    ablation: Shares
    ace: Shares

    def __post_init__(self) -> None:
        if len(self.values) != len(self.units):
            raise ValueError(f"values must have one value per unit, {len(self.units)}; got {len(self.values)}")

    def _summarize(self) -> str:
        return f"{count_units(len(self.units), self.units.layer)}, {len(self.ace.mean)} concepts"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EffectsByPlace(Displayed):
    """The effect of insertion on the concept, by the place of the insertion.

    Args:
        mean: Mean share of all pixels that insertion adds, float64 ``[row, column]``; NaN where nothing was inserted.
        stderr: Standard error of the mean, float64 ``[row, column]``; NaN where there were fewer than 2 insertions.
        count: Number of insertions, int64 ``[row, column]``.
    """

    mean: Float64[Tensor, "row column"]
    stderr: Float64[Tensor, "row column"]
    count: Int64[Tensor, "row column"]

    def __post_init__(self) -> None:
        shape = tuple(self.count.shape)
        check_tensor("count", self.count, torch.int64, (None, None))
        for name, table in (("mean", self.mean), ("stderr", self.stderr)):
            check_tensor(name, table, torch.float64, shape)

    def _summarize(self) -> str:
        return f"{self.mean.shape[0]} x {self.mean.shape[1]} places, {int(self.count.sum()):,} insertions"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CausalEffect(SavedResult, Tabular):
    """The average causal effect of units, and of random control units of the same layer.

    Args:
        generator: Name and fingerprint of the generator.
        segmenter: Name and fingerprint of the segmenter.
        concepts: Concepts of the segmenter.
        concept: Name of the concept that the units were measured for.
        num_samples: Number of images.
        seed: Seed of the latent vectors, the places and the control units.
        patch: Side of the square where units are forced on, in cells of the layer's grid.
        base: Share of each concept in the pixels of the unedited images.
        effect: Effect of the units.
        control: Effect of the random control units.
        advantage: Difference between the ACE of the units and that of the control units, paired by image.
        by_place: Effect of insertion on the concept, by place.
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
            raise ValueError(f"every table must have {len(self.concepts)} concepts")

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
        """95% confidence interval of `ace`, (low, high)."""
        half = Z_95 * self.stderr
        return self.ace - half, self.ace + half

    @property
    def relative(self) -> float:
        """`ace` as a multiple of the concept's mean share in unedited images; infinite if that share is 0."""
        share = float(self.base.mean[self._index])
        return self.ace / share if share else math.copysign(math.inf, self.ace) if self.ace else 0.0

    @property
    def _index(self) -> int:
        return next(concept.index for concept in self.concepts if concept.name == self.concept)

    def __str__(self) -> str:
        """Summarize the effect in one sentence."""
        row, units = self._index, self.effect.units
        ace, control = _format_percent(self.effect.ace, row), _format_percent(self.control.ace, row)
        insertion, ablation = _format_percent(self.effect.insertion, row), _format_percent(self.effect.ablation, row)
        return (
            f"{len(units)} units of {units.layer} on {self.concept}: ACE {ace} of the pixels "
            f"(insertion {insertion}, ablation {ablation}); "
            f"{self.concept} covers {100 * float(self.base.mean[row]):.2f}% of the pixels of unedited images; "
            f"{len(self.control.units)} random units {control}; n = {self.num_samples}"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per concept, with its share, all effects and their standard errors."""
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

    def _summarize(self) -> str:
        units, ace = self.effect.units, f"ace={format_error(self.ace, self.stderr)}"
        return f"{self.concept}, {count_units(len(units), units.layer)}, {ace}, n={self.num_samples}"

    def _html_parts(self) -> Iterable[str]:
        from ..core.rich import draw_records

        records = sorted(self.records(), key=lambda record: (record["concept"] != self.concept, -abs(record["ace"])))
        return (draw_records(list(map(drop_details, records))),)


def _format_percent(table: Shares, row: int) -> str:
    return f"{100 * float(table.mean[row]):+.2f} ± {100 * Z_95 * float(table.stderr[row]):.2f}%"


def drop_details(record: dict[str, Any]) -> dict[str, Any]:
    """Return an effect's record without the parts of the control and the advantage, so that a table fits a page."""
    hidden = ("control_insertion", "control_ablation", "advantage")
    return {name: value for name, value in record.items() if not name.startswith(hidden)}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnitRanking(Tabular):
    """A ranking of the units of a layer for a concept.

    Args:
        layer: Name of the layer.
        concept: Name of the concept.
        method: Method of the ranking: ``"iou"``, ``"effect"`` or ``"optimization"``.
        scores: Score of each unit, float64 ``[unit]``: its IoU, the share of all pixels that ablating the unit alone
            removes, or ``alpha``.
        num_samples: Number of images that the ranking is based on.
        seed: Seed of these images; evaluate the ranking on another.
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
            raise ValueError("scores must be finite")

    def top(self, count: int) -> UnitSet:
        """Return the best ``count`` units, best first; ties in the order of the units."""
        order = self.scores.argsort(descending=True, stable=True)[:count]
        return UnitSet(self.layer, tuple(order.tolist()))

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each unit, best first."""
        return [{"unit": unit, "score": float(self.scores[unit])} for unit in self.top(len(self.scores)).units]

    def _summarize(self) -> str:
        units, best = count_units(len(self.scores), self.layer), ", ".join(map(str, self.top(3).units))
        return f"{self.concept}, {units} by {self.method}, best {best}, n={self.num_samples}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnitEffects(Tabular):
    """The effect of ablating each unit of a layer alone, on every concept.

    Args:
        layer: Name of the layer.
        concepts: Names of the concepts.
        mean: Mean share of all pixels that ablation removes, float64 ``[unit, concept]``.
        stderr: Standard error of the mean over images, float64 ``[unit, concept]``.
        num_samples: Number of images.
        seed: Seed of the latent vectors.
    """

    layer: str
    concepts: tuple[str, ...]
    mean: Float64[Tensor, "unit concept"]
    stderr: Float64[Tensor, "unit concept"]
    num_samples: int
    seed: int

    def ranking(self, concept: str) -> UnitRanking:
        """Rank the units by the share of all pixels that ablating each of them removes from a concept.

        Raises:
            KeyError: If there is no such concept.
        """
        column = lookup({name: index for index, name in enumerate(self.concepts)}, concept, "concept")
        scores = self.mean[:, column].clone()
        return UnitRanking(self.layer, concept, "effect", scores, self.num_samples, self.seed)

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each unit and concept, in the order of both."""
        means, errors = self.mean.tolist(), self.stderr.tolist()
        return [
            {"unit": unit, "concept": concept, "taken": means[unit][column], "taken_stderr": errors[unit][column]}
            for unit in range(len(means))
            for column, concept in enumerate(self.concepts)
        ]

    def _summarize(self) -> str:
        return f"{count_units(len(self.mean), self.layer)}, {len(self.concepts)} concepts, n={self.num_samples}"

    def _html_parts(self) -> Iterable[str]:
        from ..core.rich import draw_records

        best = sorted(self.records(), key=lambda record: -record["taken"])
        return (draw_records(best),)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EffectCurves(SavedResult, Tabular):
    """The effect of ablating the top units of rankings on a concept, compared with random control units.

    Args:
        generator: Name and fingerprint of the generator.
        segmenter: Name and fingerprint of the segmenter.
        layer: Name of the layer.
        concept: Name of the concept.
        share: Mean share of the concept's pixels in unedited images, 0 to 1.
        counts: Numbers of ablated units, strictly ascending.
        taken: Share of all pixels that ablation removes, by name of the ranking, with one entry per number in
            ``counts``.
        control: Share of all pixels that ablation removes, for each of several random orders of the layer's units.
        num_samples: Number of images.
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
            raise ValueError(f"counts must be strictly ascending and at least 1; got {self.counts}")
        if any(len(table.mean) != len(self.counts) for table in (*self.taken.values(), *self.control)):
            raise ValueError(f"every table must have {len(self.counts)} counts")
        if not self.control:
            raise ValueError("curves must have at least one control")

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per ranking and number of units, with the range of the controls."""
        return [
            {
                "ranking": name,
                "num_units": count,
                "taken": float(table.mean[index]),
                "taken_stderr": float(table.stderr[index]),
                "control_min": min(float(control.mean[index]) for control in self.control),
                "control_max": max(float(control.mean[index]) for control in self.control),
            }
            for name, table in self.taken.items()
            for index, count in enumerate(self.counts)
        ]

    def _summarize(self) -> str:
        counts = f"{self.counts[0]} to {self.counts[-1]} units of {self.layer}"
        return f"{self.concept}, {counts} by {', '.join(self.taken)}, n={self.num_samples}"
