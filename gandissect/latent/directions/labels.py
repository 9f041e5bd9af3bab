"""Label directions by the effect of moving along them on each concept's share of the pixels.

Let ``s_c(x)`` be concept c's share of the pixels of image x, and ``x_t`` the image after a move of t steps. Then

    change_c(t) = E[s_c(x_t) - s_c(x_0)],    slope_c = E[s_c(x_b) - s_c(x_a)] / (b - a),

where a and b are the lowest and the highest step, including 0. All images of a sample come from the same z, so
differences are paired by image. A random direction with steps of the same length is the control.

Source: Yang et al. 2021 (HiGAN, arXiv 1911.09267), with shares in place of their scores, and with signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.display import Displayed, Tabular
from ...core.network_id import NetworkId, is_same_network, shorten_fingerprint
from ...core.protocols import Generator, Segmenter, check_protocols
from ...core.rows import noise_length
from ...core.sampling import check_seed, make_rng
from ...core.types import Concept, check_concepts, concept_index
from ...inference.areas import ConceptAreas
from ...inference.batches import check_counts, sample_blocks
from ...stats.intervals import Shares, half_width, summarize_shares
from ...stats.significance import student_t_quantile
from ...stats.streaming import AreaMoments
from ...storage.saved import SavedResult, check_all_finite
from .direction import Direction, Label
from .moves import Mover, check_steps

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Default steps, in standard deviations."""

CHANCE = 0.05
"""Probability of labeling a direction that changes no concept."""

MAX_LABELS = 3
"""Maximum number of labels of a direction."""

MIN_IMAGES = 10
"""Minimum number of images to label a direction on."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SideEffect(Displayed):
    """The effect of moving along one direction on every concept.

    Args:
        changes: Mean changes of the shares at each step, relative to the unmoved image.
        slope: Mean change of the shares per step, from the lowest to the highest step.
    """

    changes: tuple[Shares, ...]
    slope: Shares

    def _summarize(self) -> str:
        return f"{len(self.slope.mean)} concepts at {len(self.changes)} steps"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DirectionEffect(SavedResult, Tabular):
    """The effect of moving along a direction, with that of a random direction as control.

    Args:
        direction: The direction's name.
        generator: The generator's name and fingerprint.
        segmenter: The segmenter's name and fingerprint.
        concepts: The segmenter's concepts.
        steps: Step lengths, in standard deviations.
        num_samples: Number of images.
        seed: Seed of the latent vectors and of the random direction.
        base: Shares of the concepts in the unmoved images.
        effect: Effect of the direction.
        control: Effect of the random direction, whose steps have the same length.
    """

    FILE_NAME: ClassVar[str] = "direction_effect.safetensors"
    VERSION: ClassVar[int] = 1

    direction: str
    generator: NetworkId
    segmenter: NetworkId
    concepts: tuple[Concept, ...]
    steps: tuple[float, ...]
    num_samples: int
    seed: int
    base: Shares
    effect: SideEffect
    control: SideEffect

    def __post_init__(self) -> None:
        check_concepts(self.concepts)
        sides = (self.effect, self.control)
        if any(len(side.changes) != len(self.steps) for side in sides):
            raise ValueError(f"effect and control must have {len(self.steps)} changes, one per step")
        tables = [self.base, *(table for side in sides for table in (*side.changes, side.slope))]
        if any(len(table.mean) != len(self.concepts) for table in tables):
            raise ValueError(f"each table must have {len(self.concepts)} concepts")
        for table in tables:
            check_all_finite("standard errors", table.stderr)
        check_steps(self.steps)
        if self.num_samples < 2:
            raise ValueError(f"num_samples must be at least 2; got {self.num_samples}")

    @property
    def labels(self) -> tuple[Label, ...]:
        """The concepts that change beyond chance, at most three, the one that changes most first.

        A slope is beyond chance if Student's t test rejects a slope of 0 at 5%, with Bonferroni's correction for the
        number of concepts. There are no labels with fewer than 10 images.
        """
        if self.num_samples < MIN_IMAGES:
            return ()
        slope = self.effect.slope
        limit = student_t_quantile(1 - CHANCE / (2 * len(self.concepts)), self.num_samples - 1)
        beyond = slope.mean.abs() > limit * slope.stderr
        order = slope.mean.abs().argsort(descending=True, stable=True).tolist()
        rows = [row for row in order if bool(beyond[row])][:MAX_LABELS]
        entries = [(self.concepts[row].name, float(slope.mean[row]), float(slope.stderr[row])) for row in rows]
        return tuple(Label(*entry, self.segmenter.name, self.num_samples) for entry in entries)

    def interval(self, concept: str) -> tuple[float, float]:
        """Return the 95% interval of a concept's slope by Student's t, as a share of all pixels per step.

        Raises:
            KeyError: If there is no such concept.
        """
        row = concept_index(self.concepts, concept)
        mean, stderr = float(self.effect.slope.mean[row]), float(self.effect.slope.stderr[row])
        reach = half_width(stderr, self.num_samples - 1)
        return mean - reach, mean + reach

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept: share, slope, slope of the control, and change at each step."""
        return [self._record(concept) for concept in self.concepts]

    def _record(self, concept: Concept) -> dict[str, Any]:
        row = concept.index
        record: dict[str, Any] = {"concept": concept.name, "share": float(self.base.mean[row])}
        for name, side in (("slope", self.effect), ("control_slope", self.control)):
            record[name], record[f"{name}_stderr"] = float(side.slope.mean[row]), float(side.slope.stderr[row])
        record["changes"] = [float(table.mean[row]) for table in self.effect.changes]
        return record | {"changes_stderr": [float(table.stderr[row]) for table in self.effect.changes]}

    def _summarize(self) -> str:
        does = ", ".join(f"{label.concept} {100 * label.slope:+.2f}%" for label in self.labels)
        return f"{self.direction!r}: {does or 'no label'}, n={self.num_samples}"

    def _html_parts(self) -> Iterable[str]:
        from ...core.rich import draw_records

        records = sorted(self.records(), key=lambda record: -abs(record["slope"]))
        return (draw_records([{name: record[name] for name in record if "changes" not in name} for record in records]),)


@torch.inference_mode()
def label_direction(
    generator: Generator,
    segmenter: Segmenter,
    direction: Direction,
    steps: Sequence[float] = STEPS,
    num_samples: int = 200,
    seed: int = 0,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> DirectionEffect:
    """Measure the effect of moving along a direction on every concept.

    Args:
        generator: Generator that the direction belongs to.
        segmenter: Segmenter for the generator's images.
        direction: Direction to measure; `with_labels` attaches the labels of the result to it.
        steps: Step lengths in standard deviations, at least one of them not 0.
        num_samples: Number of latent vectors, at least 10.
        seed: Seed of the latent vectors and of the random direction.
        batch_size: Images per batch, at least 1.
        progress: Show a progress bar.

    Raises:
        KeyError: If the generator does not have the direction's layer.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If the direction belongs to another generator, or a number is out of range.

    Source: Yang et al. 2021 (arXiv 1911.09267).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_labeling(steps, num_samples)
    movers = [Mover.of(generator, direction), Mover(generator, random_direction(generator, direction, seed))]
    check_counts(num_samples, batch_size)
    areas = ConceptAreas.of(generator, segmenter)
    counts = _AreaSums(tuple(map(float, steps)), areas)
    title = f"moving along {direction.name}"
    for block, z in sample_blocks(generator, [range(num_samples)], seed, batch_size, title, progress=progress):
        base = areas.count(generator(z), block)
        counts.update(base, [_count_areas_along(mover, areas, z, block, steps, base) for mover in movers])
    return DirectionEffect(
        direction=direction.name,
        generator=NetworkId.of(generator),
        segmenter=NetworkId.of(segmenter),
        concepts=tuple(segmenter.concepts),
        steps=counts.steps,
        num_samples=num_samples,
        seed=seed,
        base=summarize_shares(counts.base),
        effect=counts.side(0),
        control=counts.side(1),
    )


def check_labeling(steps: Sequence[float], num_samples: int) -> None:
    """Check that steps and number of images are sufficient to label a direction.

    Raises:
        ValueError: If all steps are 0, or there are too few images.
    """
    check_steps(steps)
    if not any(steps):
        raise ValueError(f"steps must include one that is not 0; got {list(steps)}")
    if num_samples < MIN_IMAGES:
        raise ValueError(f"num_samples must be at least {MIN_IMAGES} to label a direction; got {num_samples}")


def with_labels(direction: Direction, effect: DirectionEffect) -> Direction:
    """Return a direction with the labels of its measured effect.

    Raises:
        ValueError: If the effect belongs to another direction.
    """
    networks = direction.generator.fingerprint, effect.generator.fingerprint
    if direction.name != effect.direction or not is_same_network(*networks):
        own, other = map(shorten_fingerprint, networks)
        raise ValueError(
            f"effect must belong to the direction {direction.name!r} of {direction.generator} ({own}); got the effect "
            f"of {effect.direction!r} of {effect.generator} ({other})"
        )
    return replace(direction, labels=effect.labels)


def random_direction(generator: Generator, direction: Direction, seed: int) -> Direction:
    """Return a random direction in the same space and layer, with steps of the same length."""
    rng = make_rng(seed, "random direction", direction.name)
    vector = torch.randn(direction.vector.shape, generator=rng, dtype=torch.float64, device="cpu")
    if direction.space == "z":
        vector[noise_length(generator) :] = 0  # holds the class
    return replace(direction, name=f"control of {direction.name}", vector=vector / vector.norm(), labels=())


class _AreaSums:
    """Accumulates differences of areas over images."""

    def __init__(self, steps: tuple[float, ...], areas: ConceptAreas) -> None:
        self.steps = steps

        def new_moments() -> AreaMoments:
            return AreaMoments(areas.num_concepts, areas.num_pixels)

        self.base = new_moments()
        self.changes = [[new_moments() for _ in steps] for _ in range(2)]
        self.spans = [new_moments() for _ in range(2)]

    def update(self, base: Tensor, sides: Sequence[Sequence[Tensor]]) -> None:
        """Add areas, int64 ``[image, concept]``: of the unmoved images, and of both directions at each step."""
        self.base.update(base)
        for changes, span, areas in zip(self.changes, self.spans, sides, strict=True):
            for change, moved_areas in zip(changes, areas, strict=True):
                change.update(moved_areas - base)
            by_step = {**dict(zip(self.steps, areas, strict=True)), 0.0: base}
            span.update(by_step[max(by_step)] - by_step[min(by_step)])

    def side(self, number: int) -> SideEffect:
        """Return the effect of the direction (0) or of the control (1)."""
        length = max(*self.steps, 0.0) - min(*self.steps, 0.0)
        span = summarize_shares(self.spans[number])
        return SideEffect(
            tuple(summarize_shares(moments) for moments in self.changes[number]),
            Shares(span.mean / length, span.stderr / length),
        )


def _count_areas_along(
    mover: Mover, areas: ConceptAreas, z: Tensor, block: range, steps: Sequence[float], base: Tensor
) -> list[Tensor]:
    """Return the areas at each step."""
    origin = mover.origin(z)
    return [areas.count(mover.images(mover.at(origin, step), z), block) if step else base for step in steps]
