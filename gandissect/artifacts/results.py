"""Results of choosing how many units to switch off, and of measuring a repair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from ..core.lookup import check_choice, lookup
from ..core.network_id import NetworkId
from ..core.types import Concept, UnitSet, check_concepts
from ..fidelity.results import Scores
from ..stats.intervals import Z_95, Change, Estimate, Shares
from ..storage.saved import SavedResult, check_tensor

ForcedTo = Literal["zero", "mean"]

Verdict = Literal["helps", "as_random", "harms", "inconclusive"]
"""What a repair's measurement shows; see `Repair.verdict`."""

SETS_TO_TELL = 5
"""Minimum number of sets of images from which a lack of evidence means anything: with 2 sets, the 95 % interval reaches
12.7 standard errors to either side of the mean, with 5 sets 2.8."""

FIGURES = (*(field.name for field in fields(Scores)), "worst_realism")
"""What a repair is measured by: the figures of `Scores`, and the realism that 5 % of the images do not exceed."""


@dataclass(frozen=True, slots=True, eq=False)
class RepairCurve(SavedResult):
    """The distance from real pictures against the number of units forced.

    Args:
        generator: The generator's name and fingerprint.
        network: The feature network's name.
        ranked: The units, in the order in which they are forced.
        force_to: What the units were forced to, ``zero`` or their ``mean``.
        counts: Numbers of units, rising; the first is 0.
        distance: float64 ``[count, set]``, Frechet distance.
        control: float64 ``[draw, count, set]``, the same for random units, in several orders.
        floor: Distance of as many of the real pictures from the rest of them.
        num_images: Images in a set.
        seed: Of the images.
        sample_seed: With which ``generator.sample_z`` draws them.
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
        check_choice(self.force_to, ForcedTo, "way")
        check_tensor("distance", self.distance, torch.float64, (len(self.counts), None))
        check_tensor("control", self.control, torch.float64, (None, *self.distance.shape))
        if self.counts[:1] != (0,) or list(self.counts) != sorted(set(self.counts)):
            raise ValueError(f"counts rise from 0; got {self.counts}")
        if self.distance.shape[1] < 2 or not len(self.control):
            raise ValueError("a curve is over 2 sets or more, with a control or more")
        if not bool(self.distance.isfinite().all() & self.control.isfinite().all()):
            raise ValueError("distances are finite")

    def change(self, index: int) -> Change:
        """Return what forcing ``counts[index]`` units changes."""
        return Change.of(self.distance[index] - self.distance[0])

    @property
    def num_units(self) -> int:
        """The least number of units that does as well as the best number, within that one's standard error.

        Only numbers whose change has an interval below 0, and which do better than all random units, come into
        question; 0 if there is none.
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
        """As many of the ranked units as were chosen."""
        return self.ranked.top(self.num_units)

    @property
    def units_to_measure(self) -> UnitSet:
        """The units chosen; where none is, as many as have the least distance, to show what they do."""
        if self.num_units:
            return self.units
        return self.ranked.top(self.counts[1 + int(self.distance[1:].mean(dim=1).argmin())])

    def __str__(self) -> str:
        """Say in a sentence what was chosen."""
        before = Estimate.of(self.distance[0].tolist())
        setting = f"from {before}, on {self.distance.shape[1]} sets of {self.num_images} images; floor {self.floor}"
        if not self.num_units:
            return f"no number of units up to {self.counts[-1]} brings the distance down for certain, {setting}"
        change = self.change(self.counts.index(self.num_units))
        return f"{_describe_units(self.units)} chosen, with which forced the distance changes by {change}, {setting}"


@dataclass(frozen=True, slots=True, eq=False)
class ConceptChanges:
    """What forcing some units changes of the share of the pixels that each concept has.

    Args:
        segmenter: The segmenter's name and fingerprint.
        concepts: What it names.
        num_images: Images, the first of the measurement.
        before: Shares of the images as they are.
        change: Their mean changes, image by image.
        control: The same with as many random units, in several draws.
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
            raise ValueError(f"each table has {len(self.concepts)} concepts")
        if not self.control:
            raise ValueError("changes are beside a control or more")

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept: share before, change with its 95 % interval, and control."""
        return [self._make_record(concept) for concept in self.concepts]

    def _make_record(self, concept: Concept) -> dict[str, Any]:
        row = concept.index
        change, reach = float(self.change.mean[row]), Z_95 * float(self.change.stderr[row])
        controls = [float(table.mean[row]) for table in self.control]
        record = {"concept": concept.name, "before": float(self.before.mean[row]), "change": change}
        record |= {"change_low": change - reach, "change_high": change + reach}
        return record | {"control_change_min": min(controls), "control_change_max": max(controls)}


@dataclass(frozen=True, slots=True, eq=False)
class Repair(SavedResult):
    """What forcing some units changes, on images and against real pictures that they were not chosen with.

    The columns of the tables are `FIGURES`. The held-out pictures are the same in all sets, so the chance in which they
    are is not in the intervals.

    Args:
        generator: The generator's name and fingerprint.
        network: The feature network's name.
        units: Which units were forced.
        force_to: What the units were forced to, ``zero`` or their ``mean``.
        before: float64 ``[set, figure]``, of the generator as it is.
        after: float64 ``[set, figure]``, of the same latent vectors.
        control: float64 ``[draw, set, figure]``, with as many random units forced, in several draws.
        real: float64 ``[set, figure]``, of training pictures in the place of generated ones.
        realism_before: float64 ``[image]``, of each image of all sets, one set after the other; may be infinite.
        realism_after: float64 ``[image]``.
        num_images: Images in a set.
        num_dims: Length of a feature vector.
        seed: Of the images.
        sample_seed: With which ``generator.sample_z`` draws them.
        concepts: What becomes of concepts, where a segmenter was given.
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
        check_choice(self.force_to, ForcedTo, "way")
        num_sets = len(self.before)
        if num_sets < 2 or not len(self.control):
            raise ValueError("a repair is measured on 2 sets or more, with a control or more")
        check_tensor("before", self.before, torch.float64, (None, len(FIGURES)))
        for name, table in (("after", self.after), ("real", self.real)):
            check_tensor(name, table, torch.float64, (num_sets, len(FIGURES)))
        check_tensor("control", self.control, torch.float64, (None, num_sets, len(FIGURES)))
        for name, realism in (("realism before", self.realism_before), ("realism after", self.realism_after)):
            check_tensor(name, realism, torch.float64, (num_sets * self.num_images,))
        if not all(bool(table.isfinite().all()) for table in (self.before, self.after, self.control, self.real)):
            raise ValueError("a figure is not finite: nearly all images are copies, or have the same features")

    def change(self, figure: str) -> Change:
        """Return what the repair changes of a figure.

        Raises:
            KeyError: If there is no such figure.
        """
        return Change.of((self.after - self.before)[:, _find_column(figure)])

    def control_changes(self, figure: str) -> tuple[float, ...]:
        """Return the mean change by each draw of random units.

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
        """What the 95 % interval of the change of the distance shows.

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
        units = _describe_units(self.units)
        action = f"switching off {units}" if self.force_to == "zero" else f"forcing {units} to the mean"
        setting = f"{self.network}, {self.num_dims} dims, n = {self.num_sets} x {self.num_images}"
        return (
            f"{action} {self._describe_verdict()}: distance {before} before, "
            f"{after} after, change {distance}; the same number of random units {min(controls):+.2f} to "
            f"{max(controls):+.2f}; floor {real} ({setting})"
        )

    def _describe_verdict(self) -> str:
        if self.verdict == "inconclusive":
            if self.num_sets < SETS_TO_TELL:
                remedy = f"use {SETS_TO_TELL} or more (num_sets, --num-sets)"
                return f"may or may not help, as {self.num_sets} sets of images are too few to tell; {remedy}"
            return f"makes no difference that {self.num_sets} sets of images can show"
        return {
            "helps": "helps",
            "as_random": "helps no more than random units",
            "harms": "moves the images away from real pictures",
        }[self.verdict]

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each figure: before, after, change with interval, control and real pictures."""
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


def _describe_units(units: UnitSet) -> str:
    return f"{len(units)} unit{'' if len(units) == 1 else 's'} of {units.layer}"


def _find_column(figure: str) -> int:
    return lookup({name: index for index, name in enumerate(FIGURES)}, figure, "figure")


def _estimate(table: Tensor, figure: str) -> Estimate:
    return Estimate.of(table[:, _find_column(figure)].tolist())
