"""What moving along a direction does to the share of the pixels that each concept has.

With ``s_c(x)`` the share of the pixels of image x that belong to concept c, and ``x_t`` the image moved by t steps, it
is

    change_c(t) = E[s_c(x_t) - s_c(x_0)],    slope_c = E[s_c(x_b) - s_c(x_a)] / (b - a)

with a and b the lowest and the highest step, 0 among them. All images of a sample come from one z, so that differences
are taken image by image. A random direction with steps of the same length goes through the same.

Source: Yang et al. 2021 (HiGAN, arXiv 1911.09267), with shares for their scores and signs kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...core.network_id import NetworkId, is_same_network, shorten_fingerprint
from ...core.protocols import Generator, Segmenter, check_protocols
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
CHANCE = 0.05
"""Of naming any concept in the label of a direction that changes none."""
MAX_LABELS = 3
"""Concepts that a label names."""
MIN_IMAGES = 10
"""That a label is given on."""


@dataclass(frozen=True, slots=True, eq=False)
class SideEffect:
    """What moving does to every concept.

    Args:
        changes: At each step, against the image that was not moved.
        slope: What a step adds, from the lowest to the highest.
    """

    changes: tuple[Shares, ...]
    slope: Shares


@dataclass(frozen=True, slots=True, eq=False)
class DirectionEffect(SavedResult):
    """What moving along a direction does, beside what moving along a random one does.

    Args:
        direction: The direction's name.
        generator: The generator's name and fingerprint.
        segmenter: The segmenter's name and fingerprint.
        concepts: What it names.
        steps: In standard deviations.
        num_samples: Images.
        seed: Of the latent vectors, and of the random direction.
        base: Shares of the concepts in the images that were not moved.
        effect: Of the direction.
        control: Of the random direction, whose steps have the same length.
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
            raise ValueError(f"each side has {len(self.steps)} steps")
        tables = [self.base, *(table for side in sides for table in (*side.changes, side.slope))]
        if any(len(table.mean) != len(self.concepts) for table in tables):
            raise ValueError(f"each table has {len(self.concepts)} concepts")
        for table in tables:
            check_all_finite("standard errors", table.stderr)
        check_steps(self.steps)
        if self.num_samples < 2:
            raise ValueError(f"an effect is measured on 2 images or more; got {self.num_samples}")

    @property
    def labels(self) -> tuple[Label, ...]:
        """The concepts that change beyond chance, most first, at most three.

        Beyond chance: the slope is so many standard errors from 0, by Student's t, that of all concepts of a direction
        that changes none one or more would be with a probability of 5 % (Bonferroni). On fewer than 10 images there are
        none.
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
        """Return the 95 % interval of a concept's slope, shares of all pixels, by Student's t.

        Raises:
            KeyError: If there is no such concept.
        """
        row = concept_index(self.concepts, concept)
        mean, stderr = float(self.effect.slope.mean[row]), float(self.effect.slope.stderr[row])
        reach = half_width(stderr, self.num_samples - 1)
        return mean - reach, mean + reach

    def records(self) -> list[dict[str, Any]]:
        """Return a plain dict for each concept: its share, slope and change at each step, and the control's slope."""
        return [self._record(concept) for concept in self.concepts]

    def _record(self, concept: Concept) -> dict[str, Any]:
        row = concept.index
        record: dict[str, Any] = {"concept": concept.name, "share": float(self.base.mean[row])}
        for name, side in (("slope", self.effect), ("control_slope", self.control)):
            record[name], record[f"{name}_stderr"] = float(side.slope.mean[row]), float(side.slope.stderr[row])
        record["changes"] = [float(table.mean[row]) for table in self.effect.changes]
        return record | {"changes_stderr": [float(table.stderr[row]) for table in self.effect.changes]}


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
    """Measure what moving along a direction does to every concept.

    Args:
        generator: The one that the direction is of.
        segmenter: A `Segmenter` for its images.
        direction: Which; `with_labels` returns it with what was found.
        steps: In standard deviations, one or more that are not 0.
        num_samples: Latent vectors, 10 or more.
        seed: Of these.
        batch_size: Images at once, 1 or more.
        progress: Show a progress bar.

    Raises:
        KeyError: If the direction's layer is none of the generator's.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If the direction is of another generator, or a number is out of range.

    Source: Yang et al. 2021 (arXiv 1911.09267).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_labeling(steps, num_samples)
    movers = [Mover.of(generator, direction), Mover(generator, random_direction(direction, seed))]
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
    """Refuse steps and numbers of images on which no label is given.

    Raises:
        ValueError: If nothing moves, or there are too few images.
    """
    check_steps(steps)
    if not any(steps):
        raise ValueError("every step is 0, and nothing moves; give others")
    if num_samples < MIN_IMAGES:
        raise ValueError(f"a direction is labeled on {MIN_IMAGES} images or more; got {num_samples}")


def with_labels(direction: Direction, effect: DirectionEffect) -> Direction:
    """Return a direction with the labels that were found for it.

    Raises:
        ValueError: If they were found for another one.
    """
    networks = direction.generator.fingerprint, effect.generator.fingerprint
    if direction.name != effect.direction or not is_same_network(*networks):
        own, other = map(shorten_fingerprint, networks)
        raise ValueError(
            f"this is the effect of {effect.direction!r} of {effect.generator} ({other}), and the direction "
            f"is {direction.name!r} of {direction.generator} ({own}); give its own"
        )
    return replace(direction, labels=effect.labels)


def random_direction(direction: Direction, seed: int) -> Direction:
    """Return a random direction of the same place, with steps of the same length."""
    rng = make_rng(seed, "random direction", direction.name)
    vector = torch.randn(direction.vector.shape, generator=rng, dtype=torch.float64, device="cpu")
    return replace(direction, name=f"beside {direction.name}", vector=vector / vector.norm(), labels=())


class _AreaSums:
    """Sums over images of differences of areas."""

    def __init__(self, steps: tuple[float, ...], areas: ConceptAreas) -> None:
        self.steps = steps

        def new_moments() -> AreaMoments:
            return AreaMoments(areas.num_concepts, areas.num_pixels)

        self.base = new_moments()
        self.changes = [[new_moments() for _ in steps] for _ in range(2)]
        self.spans = [new_moments() for _ in range(2)]

    def update(self, base: Tensor, sides: Sequence[Sequence[Tensor]]) -> None:
        """Take in areas, int64 ``[image, concept]``: of images that were not moved, and of both sides step by step."""
        self.base.update(base)
        for changes, span, areas in zip(self.changes, self.spans, sides, strict=True):
            for change, moved_areas in zip(changes, areas, strict=True):
                change.update(moved_areas - base)
            by_step = {**dict(zip(self.steps, areas, strict=True)), 0.0: base}
            span.update(by_step[max(by_step)] - by_step[min(by_step)])

    def side(self, number: int) -> SideEffect:
        """Return what was found on one side."""
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
