"""Choose how many units to switch off, and measure the result.

A repair is measured on data that played no part in choosing it. `rank_artifact_units` and `choose_num_units` use only
the yardstick's training pictures, and `measure_repair` only compares with the held-out ones. Each of the three draws
latent vectors from its own random stream, so no two see the same images, whatever their seeds.

Source: Bau et al. 2019, Sec. 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from ..core.lookup import lookup
from ..core.network_id import NetworkId
from ..core.protocols import Generator, Segmenter, check_generator, check_protocols
from ..core.sampling import check_seed, derive_seed, make_rng
from ..core.types import UnitSet, check_type
from ..fidelity.distances import Normal
from ..fidelity.neighbors import realism
from ..fidelity.yardstick import Yardstick
from ..inference.areas import ConceptAreas
from ..inference.bench import Bench
from ..interventions.edits import Edit, Insertion, check_units, control_units
from ..stats.intervals import summarize_shares
from ..stats.streaming import AreaMoments
from .rank import BATCH, make_feature_reader, measure_floor
from .repair import compute_forced_values
from .results import FIGURES, ConceptChanges, ForcedTo, Repair, RepairCurve

T = TypeVar("T")

COUNTS = (0, 1, 2, 5, 10, 20, 40)
"""Numbers of units to try by default."""

WORST = 0.05
"""Quantile of the images' realism that ``worst_realism`` reports."""

NUM_LABELED = 512
"""Maximum number of images whose concepts are compared."""


@torch.inference_mode()
def choose_num_units(
    generator: Generator,
    units: UnitSet,
    yardstick: Yardstick,
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
    *,
    force_to: ForcedTo = "zero",
    num_images: int = 512,
    num_sets: int = 4,
    num_controls: int = 3,
    progress: bool = True,
) -> RepairCurve:
    """Measure the distance from real pictures for several numbers of forced units, and choose a number.

    Args:
        generator: Generator whose units are forced.
        units: Units in the order in which they are forced, such as ``ranking.top(40)``.
        yardstick: Real pictures as features; only its training pictures are used.
        counts: Numbers of units to try; 0 is always included, and numbers above ``len(units)`` are dropped.
        seed: Seed of the latent vectors and of the random control units. The latent vectors differ from those of the
            ranking and of the measurement.
        force_to: Value that the units are forced to: ``zero``, or each unit's ``mean``.
        num_images: Number of images in a set, at least 2.
        num_sets: Number of sets, at least 2.
        num_controls: Number of random orders of control units, at least 1.
        progress: Show a progress bar.

    Returns:
        The distances, from which `RepairCurve.num_units` chooses a number.

    Raises:
        KeyError: If there is no such layer or value to force to.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 4.2; the rule of one standard error: Breiman et al. 1984, Sec. 3.4.3.
    """
    seed = check_seed(seed)
    _check_arguments(generator, units, yardstick)
    _check_numbers(num_images, num_sets, num_controls)
    sizes = sorted({0, *(count for count in counts if count <= len(units))})
    if sizes[0] < 0:
        raise ValueError(f"counts must be at least 0; got {list(counts)}")
    ranked = [units.top(size) for size in sizes[1:]]
    controls = [_draw_controls(generator, unit_set, seed, num_controls) for unit_set in ranked]
    sample_seed, real = derive_seed(seed, "number of units"), Normal.of(yardstick.train)
    bench = _RepairBench(generator, yardstick, units.layer, force_to, sample_seed)

    def measure_distance(features: Tensor, _: int) -> float:
        return real.distance(features)

    edits = bench.make_edits([*ranked, *(draws[index] for index in range(num_controls) for draws in controls)])
    plain, *forced = bench.measure_figures(
        edits, num_images, num_sets, measure_distance, "number of units", progress=progress
    )
    table = torch.tensor(forced, dtype=torch.float64, device="cpu").reshape(1 + num_controls, len(ranked), num_sets)
    start = torch.tensor(plain, dtype=torch.float64, device="cpu").expand(1 + num_controls, 1, -1)
    table = torch.cat([start, table], dim=1)
    return RepairCurve(
        generator=NetworkId.of(generator),
        network=yardstick.network,
        ranked=units,
        force_to=force_to,
        counts=tuple(sizes),
        distance=table[0].clone(),
        control=table[1:].clone(),
        floor=measure_floor(yardstick.train, num_images, seed),
        num_images=num_images,
        seed=seed,
        sample_seed=sample_seed,
    )


@torch.inference_mode()
def measure_repair(
    generator: Generator,
    units: UnitSet,
    yardstick: Yardstick,
    seed: int = 0,
    *,
    force_to: ForcedTo = "zero",
    num_sets: int = 5,
    num_controls: int = 3,
    segmenter: Segmenter | None = None,
    progress: bool = True,
) -> Repair:
    """Measure the effect of forcing units, on images and real pictures that played no part in choosing them.

    The number of images in a set equals the number of held-out pictures.

    Args:
        generator: Generator without the repair.
        units: Units to force, at least one, such as ``curve.units`` or ``ranking.top(20)``.
        yardstick: Real pictures as features; images are compared with its held-out pictures.
        seed: Seed of the latent vectors and of the random control units. The latent vectors differ from those of the
            ranking and of the choice.
        force_to: Value that the units are forced to: ``zero``, or each unit's ``mean``.
        num_sets: Number of sets of images, at least 2; with fewer than 5, intervals are wide.
        num_controls: Number of draws of random control units, at least 1.
        segmenter: Segmenter that measures the change of each concept's share, on the first 512 images; None skips
            this.
        progress: Show a progress bar.

    Returns:
        The figures before and after, with their change and the verdict.

    Raises:
        KeyError: If there is no such layer or value to force to.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If there is no such unit, or a number is out of range.

    Source: Bau et al. 2019, Sec. 4.2, Table 1.
    """
    seed = check_seed(seed)
    _check_arguments(generator, units, yardstick)
    count = len(yardstick.held_out)
    _check_numbers(count, num_sets, num_controls)
    if not len(units):
        raise ValueError("units must name at least one unit; got none")
    if segmenter is not None:
        check_protocols(generator, segmenter)
    control_sets = _draw_controls(generator, units, seed, num_controls)
    sample_seed = derive_seed(seed, "repair")
    bench = _RepairBench(generator, yardstick, units.layer, force_to, sample_seed)
    judge = _Judge(yardstick, seed)
    edits, num_labeled = bench.make_edits([units, *control_sets]), min(NUM_LABELED, count * num_sets)
    measurements = bench.measure_figures(edits, count, num_sets, judge.judge, "repair", progress=progress)
    before, after, *control = (torch.stack([figures for figures, _ in sets]) for sets in measurements)
    realism_before, realism_after = (torch.cat([scores for _, scores in sets]) for sets in measurements[:2])
    return Repair(
        generator=NetworkId.of(generator),
        network=yardstick.network,
        units=units,
        force_to=force_to,
        before=before,
        after=after,
        control=torch.stack(control),
        real=torch.stack([judge.judge_real(index)[0] for index in range(num_sets)]),
        realism_before=realism_before,
        realism_after=realism_after,
        num_images=count,
        num_dims=yardstick.held_out.shape[1],
        seed=seed,
        sample_seed=sample_seed,
        concepts=bench.measure_concepts(segmenter, edits, num_labeled, progress=progress) if segmenter else None,
    )


@dataclass(frozen=True, slots=True)
class _RepairBench:
    """Measures images with and without units forced."""

    generator: Generator
    yardstick: Yardstick
    layer: str
    force_to: ForcedTo
    seed: int

    def measure_figures(
        self,
        edits: Sequence[Edit],
        count: int,
        num_sets: int,
        measure: Callable[[Tensor, int], T],
        title: str,
        *,
        progress: bool,
    ) -> list[list[T]]:
        """Return the measurement of each set of images, for the unedited images and for each edit alone.

        Args:
            edits: Edits, each applied alone.
            count: Number of images in a set.
            num_sets: Number of sets of images.
            measure: Function of a set's features ``[image, feature]`` and its index.
            title: Title of the progress bar.
            progress: Show a progress bar.

        Returns:
            One list per edit, the unedited images first, with one measurement per set.
        """
        bench = Bench(self.generator, self.layer, make_feature_reader(self.yardstick, self.generator), progress)
        sets = [range(index * count, (index + 1) * count) for index in range(num_sets)]
        figures: list[list[T]] = [[] for _ in range(1 + len(edits))]
        features: list[list[Tensor]] = [[] for _ in figures]
        for block, z, activation in bench.heads(sets, self.seed, BATCH, title):
            features[0].append(bench.measure_edited(block, z, activation))
            for rows, edit in zip(features[1:], edits, strict=True):
                rows.append(bench.measure_edited(block, z, activation, edit))
            if block.stop % count == 0:  # the set is complete
                for row, parts in zip(figures, features, strict=True):
                    row.append(measure(torch.cat(parts), block.start // count))
                    parts.clear()
        return figures

    def measure_concepts(
        self, segmenter: Segmenter, edits: Sequence[Edit], num_images: int, *, progress: bool
    ) -> ConceptChanges:
        """Return how each edit changes the concepts' shares; all edits but the first are controls."""
        areas = ConceptAreas.of(self.generator, segmenter)
        bench = Bench(self.generator, self.layer, areas.count, progress)
        moments = [AreaMoments(areas.num_concepts, areas.num_pixels) for _ in range(1 + len(edits))]
        for block, z, activation in bench.heads([range(num_images)], self.seed, BATCH, "concepts"):
            base = bench.measure_edited(block, z, activation)
            changes = (bench.measure_edited(block, z, activation, edit) - base for edit in edits)
            for moment, counts in zip(moments, (base, *changes), strict=True):
                moment.update(counts)
        before, change, *control = map(summarize_shares, moments)
        return ConceptChanges(
            segmenter=NetworkId.of(segmenter),
            concepts=tuple(segmenter.concepts),
            num_images=num_images,
            before=before,
            change=change,
            control=tuple(control),
        )

    def make_edits(self, unit_sets: Sequence[UnitSet]) -> list[Edit]:
        """Return one edit per set of units."""
        return [Insertion(units, compute_forced_values(self.generator, units, self.force_to)) for units in unit_sets]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Compares sets of images with the held-out pictures."""

    yardstick: Yardstick
    seed: int

    def judge(
        self, features: Float64[Tensor, "image feature"], index: int
    ) -> tuple[Float64[Tensor, " figure"], Float64[Tensor, " image"]]:
        """Return the `FIGURES` of a set of images, float64 ``[figure]``, and the realism of each image."""
        return self._score(features, self._split_train(index)[1])

    def judge_real(self, index: int) -> tuple[Float64[Tensor, " figure"], Float64[Tensor, " image"]]:
        """Return the figures and realism of training pictures in place of generated images."""
        return self._score(*self._split_train(index))

    def _score(self, features: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.yardstick.compare(features, train)
        realisms = realism(self.yardstick.held_out, features)
        worst = float(realisms.kthvalue(math.ceil(WORST * len(realisms))).values)
        figures = [*(getattr(scores, name) for name in FIGURES[:-1]), worst]
        return torch.tensor(figures, dtype=torch.float64, device="cpu"), realisms

    def _split_train(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a random subset of the training pictures, as large as the held-out set, and the rest of them."""
        train, count = self.yardstick.train, len(self.yardstick.held_out)
        order = torch.randperm(len(train), generator=make_rng(self.seed, "repair floor", index), device="cpu")
        return train[order[:count]], train[order[count:]]


def _draw_controls(generator: Generator, units: UnitSet, seed: int, count: int) -> list[UnitSet]:
    """Return several random sets of units of the same size."""
    num_units = lookup(generator.layers, units.layer, "layer").units
    check_units(units, num_units)
    return [control_units(units, num_units, derive_seed(seed, "repair control", draw)) for draw in range(count)]


def _check_arguments(generator: Generator, units: UnitSet, yardstick: Yardstick) -> None:
    """Raise TypeError if an argument has the wrong type."""
    check_generator(generator)
    UnitSet.check(units)
    check_type("yardstick", yardstick, Yardstick, "create one with Yardstick.of(network, train, held_out)")


def _check_numbers(num_images: int, num_sets: int, num_controls: int) -> None:
    if num_images < 2 or num_sets < 2 or num_controls < 1:
        raise ValueError(
            f"need at least 2 images per set, 2 sets and 1 control; got {num_images}, {num_sets} and {num_controls}"
        )
