"""Directions of a concept: normals of the boundary between images that have it and images that do not.

Images of samples are segmented. From their latent vectors is predicted whether a concept has a given share of the
pixels, or which share it has (`regression`), and the direction is the weights of that linear function. How good the
prediction is, is told on other samples.

Source: Shen et al. 2020 (InterFaceGAN, arXiv 2005.09635), with logistic regression on all samples for their support
vector machine on the extreme ones; by layers: Yang et al. 2021 (HiGAN, arXiv 1911.09267).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ...core.protocols import Generator, Segmenter, check_protocols
from ...core.sampling import check_seed, derive_seed
from ...core.types import concept_index
from ...inference.areas import ConceptAreas
from ...inference.batches import check_counts, sample_blocks
from ...stats.intervals import Shares, summarize_shares
from ...stats.streaming import AreaMoments
from ..spaces import as_w, capabilities, check_space
from .direction import UNIT, Direction, measure_spread
from .moves import Mover
from .regression import fit, judge

BATCH = 32
"""Images at once."""

MIN_SIDE = 10
"""Images with and without the concept, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """A direction of a concept, and how well the concept is predicted along it.

    Args:
        direction: The direction, towards more of the concept; its score is that on held-out samples.
        concept: The concept's name.
        min_share: What counts as having it, a share of the pixels; None if the share itself was predicted.
        score: Accuracy on held-out samples, or R^2 if the share was predicted.
        interval: 95 % interval of the score over held-out samples.
        chance: The score of predicting the same for all samples.
        num_held_out: Samples that the score was measured on.
    """

    direction: Direction
    concept: str
    min_share: float | None
    score: float
    interval: tuple[float, float]
    chance: float
    num_held_out: int

    def __str__(self) -> str:
        """Say how good it is."""
        kind = "R^2" if self.min_share is None else "accuracy"
        low, high = self.interval
        return (
            f"{self.concept}: {kind} {self.score:.3f} ({low:.3f} to {high:.3f}) on {self.num_held_out:,} held-out "
            f"samples; {self.chance:.3f} by chance"
        )


def find_boundary(
    generator: Generator,
    segmenter: Segmenter,
    concept: str,
    num_samples: int = 2_000,
    seed: int = 0,
    *,
    space: str | None = None,
    min_share: float | None = None,
    progress: bool = True,
) -> Boundary:
    """Find the direction of a concept.

    Args:
        generator: A `Generator`.
        segmenter: A `Segmenter` for its images.
        concept: The concept's name.
        num_samples: Latent vectors to learn from, 30 or more; half as many others are held out. They are another
            sequence than that of ``generator.sample_z(n, seed)``.
        seed: Of these.
        space: ``z`` or ``w``; by default w where there is one.
        min_share: Predict whether the concept has this share of the pixels, above 0; by default the share itself.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, the generator has no such space, or hardly any image has the concept,
            or hardly any has not.

    Source: Shen et al. 2020 (arXiv 2005.09635).
    """
    boundaries = find_boundaries(
        generator, segmenter, (concept,), num_samples, seed, space=space, min_share=min_share, progress=progress
    )
    return boundaries[concept]


@torch.inference_mode()
def find_boundaries(
    generator: Generator,
    segmenter: Segmenter,
    concepts: Sequence[str],
    num_samples: int = 2_000,
    seed: int = 0,
    *,
    space: str | None = None,
    min_share: float | None = None,
    progress: bool = True,
) -> dict[str, Boundary]:
    """Find the boundaries of several concepts in the same samples; each is what `find_boundary` finds.

    Args:
        generator: A `Generator`.
        segmenter: A `Segmenter` for its images.
        concepts: Names of the concepts, without repetition.
        num_samples: As for `find_boundary`, and so are the others.
        seed: Of these.
        space: Where to look.
        min_share: Which images have a concept; None predicts the share itself.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, the generator has no such space, or hardly any image has a concept, or
            hardly any has not.

    Source: Shen et al. 2020 (arXiv 2005.09635).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    space = capabilities(generator).spaces[-1] if space is None else space
    check_space(generator, space)
    columns = {concept: concept_index(segmenter.concepts, concept) for concept in concepts}
    if num_samples < 30 or (min_share is not None and not 0 < min_share <= 1):
        raise ValueError(f"need 30 samples or more, and a share above 0, at most 1; got {num_samples} and {min_share}")
    x, share = _sample_shares(generator, segmenter, space, num_samples + num_samples // 2, seed, progress)
    fit_boundary = partial(_fit_boundary, generator, space, x, num_samples, min_share, seed)
    return {
        concept: fit_boundary(concept, _target(share[:, column], min_share, concept))
        for concept, column in columns.items()
    }


def _fit_boundary(
    generator: Generator,
    space: str,
    x: Tensor,
    num_samples: int,
    min_share: float | None,
    seed: int,
    concept: str,
    y: Tensor,
) -> Boundary:
    """Return the boundary of a concept, found on the first samples and judged on the others."""
    logistic = min_share is not None
    linear = fit(x[:num_samples], y[:num_samples], logistic=logistic)
    score, interval, chance = judge(linear, x[num_samples:], y[num_samples:], seed, logistic=logistic)
    direction = Direction.of(
        generator,
        f"boundary-{concept}",
        linear.weight,
        space=space,
        method="boundary",
        score=score,
        num_samples=num_samples,
        seed=seed,
    )
    return Boundary(direction, concept, min_share, score, interval, chance, len(x) - num_samples)


def keep_unchanged(generator: Generator, direction: Direction, others: Sequence[Direction]) -> Direction:
    """Return what is left of a direction at right angles to others, so that it leaves alone what these change.

    With C the others as rows, ``n - C^T (C C^T)^-1 C n``, at length 1. Of the boundary's score nothing is known then.

    Args:
        generator: Theirs.
        direction: n.
        others: Directions of the same generator, space and place, one or more.

    Raises:
        ValueError: If one is of another generator, space or place, or nothing is left.

    Source: Shen et al. 2020 (arXiv 2005.09635), for any number of conditions.
    """
    for other in (direction, *others):
        other.check_generator(generator)
        if (other.space, other.ws, other.layer) != (direction.space, direction.ws, direction.layer):
            raise ValueError(
                f"{other.name!r} and {direction.name!r} are of different spaces or layers; project like on like"
            )
    if not others:
        raise ValueError("name one direction or more that is to be left alone")
    rows = torch.stack([other.vector.flatten() for other in others])
    _, strengths, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[strengths > UNIT * strengths[0]]
    flat = direction.vector.flatten()
    for _ in range(2):  # the second time takes away what rounding has left
        flat = flat - basis.T @ (basis @ flat)
    if float(flat.norm()) < UNIT:
        raise ValueError(
            f"nothing of {direction.name!r} is at right angles to {', '.join(other.name for other in others)}"
        )
    names = "-".join(other.name.removeprefix("boundary-") for other in others)
    vector = (flat / flat.norm()).view_as(direction.vector)
    name = f"{direction.name}-keeping-{names}"
    remainder = replace(direction, name=name, vector=vector, score=None, labels=())
    return replace(remainder, sigma=measure_spread(generator, remainder, direction.seed))


@dataclass(frozen=True, slots=True, eq=False)
class LayerScores:
    """What moving single entries of ``ws`` along a direction does to a concept.

    Args:
        direction: The direction.
        concept: The concept's name.
        step: How far, in standard deviations.
        changes: Mean change of the concept's share, by entry of the direction's ``ws``.
        gains: The same with losses counted as 0, HiGAN's score.
        num_samples: Images.
        seed: Seed of the latent vectors.
    """

    direction: Direction
    concept: str
    step: float
    changes: Shares
    gains: Shares
    num_samples: int
    seed: int

    def best(self, count: int) -> Direction:
        """Return the direction that moves only the entries of highest gain; it has no score.

        Args:
            count: How many, 1 or more.

        Raises:
            ValueError: If there are not so many.
        """
        ws = self.direction.ws
        if not 1 <= count <= len(ws):
            raise ValueError(f"{self.direction.name!r} moves {len(ws)} entries of ws; got {count}")
        order = self.gains.mean.argsort(descending=True, stable=True)[:count].tolist()
        chosen = tuple(sorted(ws[position] for position in order))
        name = f"{self.direction.name}-in-ws-{'-'.join(map(str, chosen))}"
        return replace(self.direction, name=name, ws=chosen, score=None, labels=())


@torch.inference_mode()
def rescore_layers(
    generator: Generator,
    segmenter: Segmenter,
    direction: Direction,
    concept: str,
    step: float = 2.0,
    num_samples: int = 200,
    seed: int = 0,
    *,
    progress: bool = True,
) -> LayerScores:
    """Measure what a direction in w does to a concept when it moves one entry of ``ws`` at a time.

    Args:
        generator: The one that the direction is of.
        segmenter: A `Segmenter` for its images.
        direction: In w.
        concept: The concept's name.
        step: In standard deviations, not 0.
        num_samples: Latent vectors, 2 or more.
        seed: Of these.
        progress: Show a progress bar.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If the direction is not in w or of another generator, or a number is out of range.

    Source: Yang et al. 2021 (arXiv 1911.09267).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    if direction.space != "w" or not step or not math.isfinite(step):
        raise ValueError(f"layers are told apart in w, by a step that is not 0; got {direction.space} and {step}")
    column = concept_index(segmenter.concepts, concept)
    direction.check_generator(generator)
    movers = [Mover(generator, replace(direction, ws=(index,))) for index in direction.ws]
    check_counts(num_samples, BATCH)
    areas = ConceptAreas.of(generator, segmenter)
    changes, gains = (AreaMoments(len(movers), areas.num_pixels) for _ in range(2))
    for block, z in sample_blocks(generator, [range(num_samples)], seed, BATCH, "layers", progress=progress):
        ws = as_w(generator, z)
        base = areas.count(generator(ws), block)[:, column]
        area_changes = [areas.count(mover.images(mover.at(ws, step), ws), block)[:, column] - base for mover in movers]
        changes.update(torch.stack(area_changes, 1))
        gains.update(torch.stack(area_changes, 1).clamp(min=0))
    return LayerScores(direction, concept, step, summarize_shares(changes), summarize_shares(gains), num_samples, seed)


def _sample_shares(
    generator: Generator, segmenter: Segmenter, space: str, num_samples: int, seed: int, progress: bool
) -> tuple[Tensor, Tensor]:
    """Return latent vectors, and the share of each concept in their images."""
    areas = ConceptAreas.of(generator, segmenter)
    x, counts = [], []
    own_seed = derive_seed(seed, "boundary")
    for block, z in sample_blocks(generator, [range(num_samples)], own_seed, BATCH, "boundary", progress=progress):
        latents = as_w(generator, z) if space == "w" else z
        counts.append(areas.count(generator(latents), block))
        x.append((latents[:, 0] if space == "w" else latents).cpu().double())
    return torch.cat(x), torch.cat(counts).double() / areas.num_pixels


def _target(share: Tensor, min_share: float | None, concept: str) -> Tensor:
    """Return what is to be predicted.

    Raises:
        ValueError: If it is the same for nearly all images.
    """
    if min_share is None:
        if float(share.max()) == float(share.min()):
            raise ValueError(f"{concept!r} has the same share of all {len(share)} images; nothing can be learned")
        return share
    has_concept = (share >= min_share).double()
    num_with = int(has_concept.sum())
    if not MIN_SIDE <= num_with <= len(has_concept) - MIN_SIDE:
        raise ValueError(
            f"{num_with} of {len(has_concept)} images have {concept!r} on {100 * min_share:g} % of the pixels, and "
            f"{MIN_SIDE} with and without are needed; give another min_share, or take more samples"
        )
    return has_concept
