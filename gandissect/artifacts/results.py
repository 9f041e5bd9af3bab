"""Results of choosing how many units to switch off, and of measuring a repair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from ..core.display import Tabular, count_units
from ..core.lookup import check_choice, lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, UnitSet, check_concepts
from ..fidelity.results import Scores
from ..stats.intervals import Z_95, Change, Estimate, Shares
from ..storage.saved import SavedResult, check_tensor

ForcedTo = Literal["zero", "mean"]
"""Value that units are forced to: zero, or each unit's mean activation."""

Verdict = Literal["helps", "as_random", "harms", "inconclusive"]
"""Conclusion from the measurement of a repair; see `Repair.verdict`."""

SETS_TO_TELL = 5
"""Minimum number of sets of images from which a lack of evidence means anything: with 2 sets, the 95% interval reaches
12.7 standard errors to either side of the mean, with 5 sets 2.8."""

FIGURES = (*(field.name for field in fields(Scores)), "worst_realism")
"""Figures of a repair: those of `Scores`, and the 5th percentile of the images' realism."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RepairCurve(SavedResult, Tabular):
    """The distance from real pictures as a function of the number of units forced.

    Args:
        generator: The generator's name and fingerprint.
        network: The feature network's name.
        ranked: Units in the order in which they are forced.
        force_to: Value that the units were forced to, ``zero`` or their ``mean``.
        counts: Numbers of units, in ascending order; the first is 0.
        distance: Fréchet distance, float64 ``[count, set]``.
        control: Fréchet distance with random units forced, in several orders, float64 ``[draw, count, set]``.
        floor: Distance between a random subset of the real pictures, as large as a set, and the rest of them.
        num_images: Number of images in a set.
        seed: Seed of the whole measurement.
        sample_seed: Seed with which ``generator.sample_z`` draws the latent vectors.
    """

    FILE_NAME: ClassVar[str] = "repair_curve.safetensors"
    VERSION: ClassVar[int] = 1

    generator: NetworkId
    network: str
    ranked: UnitSet
    force_to: ForcedTo = field(metadata={"saved_as": "to"})
    counts: tuple[int, ...]
    distance: Float64[Tensor, "count set"]
    control: Float64[Tensor, "draw count set"]
    floor: Estimate
    num_images: int
    seed: int
    sample_seed: int

    def __post_init__(self) -> None:
        check_choice(self.force_to, ForcedTo, "force_to")
        check_tensor("distance", self.distance, torch.float64, (len(self.counts), None))
        check_tensor("control", self.control, torch.float64, (None, *self.distance.shape))
        if self.counts[:1] != (0,) or list(self.counts) != sorted(set(self.counts)):
            raise ValueError(f"counts must start at 0 and increase; got {self.counts}")
        if self.distance.shape[1] < 2 or not len(self.control):
            got = f"{self.distance.shape[1]} and {len(self.control)}"
            raise ValueError(f"a curve needs at least 2 sets and 1 control; got {got}")
        if not bool(self.distance.isfinite().all() & self.control.isfinite().all()):
            raise ValueError("distances must be finite")

    def change(self, index: int) -> Change:
        """Return the change of the distance when ``counts[index]`` units are forced."""
        return Change.of(self.distance[index] - self.distance[0])

    @property
    def num_units(self) -> int:
        """The smallest number of units whose change is within one standard error of the best change.

        Only numbers whose change has an interval below 0, and which do better than every draw of random units, are
        considered; 0 if no number qualifies.
        """
        change = self.distance - self.distance[0]
        mean = change.mean(dim=1)
        helps = mean < (self.control - self.distance[0]).mean(dim=2).amin(dim=0)
        lowered = [self.change(index).high < 0 for index in range(len(self.counts))]
        helps &= torch.tensor(lowered, dtype=torch.bool, device="cpu")
        if not bool(helps.any()):
            return 0
        best = int(mean.masked_fill(~helps, math.inf).argmin())
        bar = float(mean[best] + change[best].std() / math.sqrt(change.shape[1]))
        return next(count for count, value, ok in zip(self.counts, mean, helps, strict=True) if ok and value <= bar)

    @property
    def units(self) -> UnitSet:
        """The first `num_units` of the ranked units."""
        return self.ranked.top(self.num_units)

    @property
    def units_to_measure(self) -> UnitSet:
        """The chosen units; if no number was chosen, those with the smallest distance, to show their effect."""
        if self.num_units:
            return self.units
        return self.ranked.top(self.counts[1 + int(self.distance[1:].mean(dim=1).argmin())])

    def __str__(self) -> str:
        """Return one sentence that states how many units were chosen."""
        before = Estimate.of(self.distance[0].tolist())
        setting = f"from {before}, on {self.distance.shape[1]} sets of {self.num_images} images; floor {self.floor}"
        if not self.num_units:
            return f"no number of units up to {self.counts[-1]} reliably lowers the distance, {setting}"
        change = self.change(self.counts.index(self.num_units))
        units = count_units(len(self.units), self.units.layer)
        return f"{units} chosen; forcing them changes the distance by {change}, {setting}"

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each number of units: the distance, and the range of random units."""
        control, means, stds = self.control.mean(dim=2), self.distance.mean(dim=1), self.distance.std(dim=1)
        return [
            {
                "num_units": count,
                "distance": float(means[place]),
                "distance_std": float(stds[place]),
                "control_min": float(control[:, place].min()),
                "control_max": float(control[:, place].max()),
            }
            for place, count in enumerate(self.counts)
        ]

    def _summarize(self) -> str:
        before = Estimate.of(self.distance[0].tolist())
        chosen = f"{count_units(self.num_units, self.ranked.layer)} chosen of up to {self.counts[-1]}"
        return f"{chosen}, distance {before} before, floor {self.floor}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConceptChanges(Tabular):
    """How forcing units changes each concept's share of the pixels.

    Args:
        segmenter: The segmenter's name and fingerprint.
        concepts: The segmenter's concepts.
        num_images: Number of images, the first ones of the measurement.
        before: Shares in the unedited images.
        change: Mean changes of the shares, paired by image.
        control: Mean changes with the same number of random units forced, in several draws.
    """

    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    num_images: int
    before: Shares
    change: Shares
    control: tuple[Shares, ...]

    def __post_init__(self) -> None:
        check_concepts(self.concepts)
        if any(len(table.mean) != len(self.concepts) for table in (self.before, self.change, *self.control)):
            raise ValueError(f"each table must have {len(self.concepts)} concepts")
        if not self.control:
            raise ValueError("changes of concepts need at least 1 control")

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept: share before, change with 95% interval, and range of the control."""
        return [self._make_record(concept) for concept in self.concepts]

    def _make_record(self, concept: Concept) -> dict[str, Any]:
        row = concept.index
        change, reach = float(self.change.mean[row]), Z_95 * float(self.change.stderr[row])
        controls = [float(table.mean[row]) for table in self.control]
        record = {"concept": concept.name, "before": float(self.before.mean[row]), "change": change}
        record |= {"change_low": change - reach, "change_high": change + reach}
        return record | {"control_change_min": min(controls), "control_change_max": max(controls)}

    def _summarize(self) -> str:
        return f"{len(self.concepts)} concepts by {self.segmenter}, n={self.num_images}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Repair(SavedResult, Tabular):
    """The effect of forcing units, measured on images and real pictures that played no part in choosing them.

    The columns of the tables are `FIGURES`. All sets are compared with the same held-out pictures, so the intervals do
    not cover the uncertainty from choosing these.

    Args:
        generator: The generator's name and fingerprint.
        network: The feature network's name.
        units: Units that were forced.
        force_to: Value that the units were forced to, ``zero`` or their ``mean``.
        before: Figures of the unedited generator, float64 ``[set, figure]``.
        after: Figures with the units forced, for the same latent vectors, float64 ``[set, figure]``.
        control: Figures with the same number of random units forced, in several draws, float64
            ``[draw, set, figure]``.
        real: Figures of training pictures in place of generated images, float64 ``[set, figure]``.
        realism_before: Realism of each unedited image, set by set, float64 ``[image]``; may be infinite.
        realism_after: Realism of each image with the units forced, in the same order, float64 ``[image]``.
        num_images: Number of images in a set.
        num_dims: Length of a feature vector.
        seed: Seed of the whole measurement.
        sample_seed: Seed with which ``generator.sample_z`` draws the latent vectors.
        concepts: Changes of each concept's share; None without a segmenter.
    """

    FILE_NAME: ClassVar[str] = "repair.safetensors"
    VERSION: ClassVar[int] = 2

    generator: NetworkId
    network: str
    units: UnitSet
    force_to: ForcedTo = field(metadata={"saved_as": "to"})
    before: Float64[Tensor, "set figure"]
    after: Float64[Tensor, "set figure"]
    control: Float64[Tensor, "draw set figure"]
    real: Float64[Tensor, "set figure"]
    realism_before: Float64[Tensor, " image"]
    realism_after: Float64[Tensor, " image"]
    num_images: int
    num_dims: int
    seed: int
    sample_seed: int
    concepts: ConceptChanges | None

    def __post_init__(self) -> None:
        check_choice(self.force_to, ForcedTo, "force_to")
        num_sets = len(self.before)
        if num_sets < 2 or not len(self.control):
            raise ValueError(f"a repair needs at least 2 sets and 1 control; got {num_sets} and {len(self.control)}")
        check_tensor("before", self.before, torch.float64, (None, len(FIGURES)))
        for name, table in (("after", self.after), ("real", self.real)):
            check_tensor(name, table, torch.float64, (num_sets, len(FIGURES)))
        check_tensor("control", self.control, torch.float64, (None, num_sets, len(FIGURES)))
        for name, realism in (("realism before", self.realism_before), ("realism after", self.realism_after)):
            check_tensor(name, realism, torch.float64, (num_sets * self.num_images,))
        if not all(bool(table.isfinite().all()) for table in (self.before, self.after, self.control, self.real)):
            raise ValueError("figures must be finite; nearly all images are copies or have the same features")

    def change(self, figure: str) -> Change:
        """Return the change of a figure.

        Raises:
            KeyError: If there is no such figure.
        """
        return Change.of((self.after - self.before)[:, _find_column(figure)])

    def control_changes(self, figure: str) -> tuple[float, ...]:
        """Return the mean change of a figure for each draw of random units.

        Raises:
            KeyError: If there is no such figure.
        """
        return tuple((self.control - self.before)[:, :, _find_column(figure)].mean(dim=1).tolist())

    @property
    def num_sets(self) -> int:
        """Number of sets of images."""
        return len(self.before)

    @property
    def verdict(self) -> Verdict:
        """The conclusion from the 95% interval of the change of the distance.

        ``helps``: the interval is below 0, and the mean is below that of every draw of random units; ``as_random``: the
        interval is below 0, but some draw of random units does as well; ``harms``: the interval is above 0;
        ``inconclusive``: the interval contains 0, so no difference could be shown with this number of sets. Below
        `SETS_TO_TELL` sets, an inconclusive repair should be measured again with more.
        """
        change = self.change("distance")
        if change.high < 0:
            return "helps" if change.mean < min(self.control_changes("distance")) else "as_random"
        return "harms" if change.low > 0 else "inconclusive"

    @property
    def helps(self) -> bool:
        """Whether the verdict is ``helps``."""
        return self.verdict == "helps"

    def __str__(self) -> str:
        """Return the verdict and its figures in one sentence."""
        distance, controls = self.change("distance"), self.control_changes("distance")
        before, after, real = (_estimate(table, "distance") for table in (self.before, self.after, self.real))
        setting = f"{self.network}, {self.num_dims} dims, n = {self.num_sets} x {self.num_images}"
        return (
            f"{self._describe_verdict()}: distance {before} before, {after} after, change {distance}, "
            f"{min(controls):+.2f} to {max(controls):+.2f} with the same number of random units; floor {real} "
            f"({setting})"
        )

    def _describe_verdict(self) -> str:
        units = count_units(len(self.units), self.units.layer)
        action = f"switching off {units}" if self.force_to == "zero" else f"forcing {units} to the mean"
        if self.verdict == "inconclusive" and self.num_sets < SETS_TO_TELL:
            remedy = f"use at least {SETS_TO_TELL} (num_sets, --num-sets)"
            return f"{self.num_sets} sets of images are too few to tell whether {action} helps; {remedy}"
        effects = {
            "helps": "helps",
            "as_random": "helps no more than random units",
            "harms": "moves the images away from real pictures",
            "inconclusive": f"makes no difference that {self.num_sets} sets of images can show",
        }
        return f"{action} {effects[self.verdict]}"

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each figure: before, after, real, change with interval, and range of the control."""
        return [self._make_record(figure) for figure in FIGURES]

    def _make_record(self, figure: str) -> dict[str, Any]:
        change, controls = self.change(figure), self.control_changes(figure)
        sides = {"before": self.before, "after": self.after, "real": self.real}
        record: dict[str, Any] = {"figure": figure}
        for name, table in sides.items():
            estimate = _estimate(table, figure)
            record |= {name: estimate.mean, f"{name}_std": estimate.std}
        record |= {"change": change.mean, "change_low": change.low, "change_high": change.high}
        return record | {"control_change_min": min(controls), "control_change_max": max(controls)}

    def _summarize(self) -> str:
        units, change = count_units(len(self.units), self.units.layer), self.change("distance")
        return f"{units} to {self.force_to}: {self.verdict}, distance {change}, n={self.num_sets} x {self.num_images}"


def _find_column(figure: str) -> int:
    return lookup({name: index for index, name in enumerate(FIGURES)}, figure, "figure")


def _estimate(table: Tensor, figure: str) -> Estimate:
    return Estimate.of(table[:, _find_column(figure)].tolist())
