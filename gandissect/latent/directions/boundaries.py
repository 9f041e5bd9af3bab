"""Find the direction of a concept: the normal of the boundary between images with and without it.

Images of samples are segmented. A linear function of their latent vectors is fitted to predict the concept's share of
the pixels, or whether the share exceeds a minimum (`regression`). The direction is the weight vector of that function,
and the quality of the prediction is measured on held-out samples.

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

from ...core.display import Displayed
from ...core.protocols import Generator, Segmenter, check_protocols
from ...core.sampling import check_seed, derive_seed
from ...core.types import concept_index
from ...inference.areas import ConceptAreas
from ...inference.batches import check_counts, sample_blocks
from ...stats.intervals import Shares, summarize_shares
from ...stats.streaming import AreaMoments
from ..spaces import as_w, capabilities, check_space, split_row
from .direction import UNIT, Direction, measure_spread, pad_noise
from .moves import Mover
from .regression import fit, judge

BATCH = 32
"""Images per batch."""

MIN_SIDE = 10
"""Minimum number of images with, and without, the concept."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Boundary(Displayed):
    """A direction of a concept, and how well it predicts the concept.

    Args:
        direction: Direction toward more of the concept; its score is that on held-out samples.
        concept: Name of the concept.
        min_share: Minimum share of the pixels for an image to have the concept; None if the share itself was predicted.
        score: Accuracy on held-out samples, or R^2 if the share was predicted.
        interval: 95% interval of the score over held-out samples.
        chance: Score of a constant prediction.
        num_held_out: Number of held-out samples.
    """

    direction: Direction
    concept: str
    min_share: float | None
    score: float
    interval: tuple[float, float]
    chance: float
    num_held_out: int

    def __str__(self) -> str:
        """Return the score, its interval and the score by chance."""
        kind = "R^2" if self.min_share is None else "accuracy"
        low, high = self.interval
        return (
            f"{self.concept}: {kind} {self.score:.3f} ({low:.3f} to {high:.3f}) on {self.num_held_out:,} held-out "
            f"samples; {self.chance:.3f} by chance"
        )

    def _summarize(self) -> str:
        kind = "R^2" if self.min_share is None else "accuracy"
        return f"{self.concept}: {kind} {self.score:.3f} ({self.chance:.3f} by chance), n={self.num_held_out}"


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
        generator: Generator whose latent space is searched.
        segmenter: Segmenter for the generator's images.
        concept: Name of the concept.
        num_samples: Number of latent vectors to fit to, at least 30; half that number are held out in addition.
            They differ from ``generator.sample_z(n, seed)``.
        seed: Seed of the latent vectors.
        space: ``z`` or ``w``; by default w if the generator has it.
        min_share: Predict whether the concept has at least this share of the pixels, in (0, 1]; by default, predict the
            share itself.
        progress: Show a progress bar.

    Returns:
        The direction, with its score on held-out samples.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range, the generator has no such space, or too few images have, or lack, the
            concept.

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
    """Find the boundaries of several concepts on the same samples, each identical to that of `find_boundary`.

    Args:
        generator: Generator whose latent space is searched.
        segmenter: Segmenter for the generator's images.
        concepts: Names of the concepts, without repetition.
        num_samples: Number of latent vectors to fit to, at least 30; half that number are held out in addition.
        seed: Seed of the latent vectors.
        space: ``z`` or ``w``; by default w if the generator has it.
        min_share: Predict whether a concept has at least this share of the pixels, in (0, 1]; by default, predict the
            share itself.
        progress: Show a progress bar.

    Returns:
        The boundaries, by concept.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range, the generator has no such space, or too few images have, or lack, a
            concept.

    Source: Shen et al. 2020 (arXiv 2005.09635).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    space = capabilities(generator).spaces[-1] if space is None else space
    check_space(generator, space)
    columns = {concept: concept_index(segmenter.concepts, concept) for concept in concepts}
    if num_samples < 30 or (min_share is not None and not 0 < min_share <= 1):
        raise ValueError(f"num_samples must be at least 30, and min_share in (0, 1]; got {num_samples} and {min_share}")
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
    """Return the boundary of a concept, fitted to the first samples and scored on the rest."""
    logistic = min_share is not None
    linear = fit(x[:num_samples], y[:num_samples], logistic=logistic)
    score, interval, chance = judge(linear, x[num_samples:], y[num_samples:], seed, logistic=logistic)
    direction = Direction.of(
        generator,
        f"boundary-{concept}",
        linear.weight if space == "w" else pad_noise(generator, linear.weight),
        space=space,
        method="boundary",
        score=score,
        num_samples=num_samples,
        seed=seed,
    )
    return Boundary(direction, concept, min_share, score, interval, chance, len(x) - num_samples)


def keep_unchanged(generator: Generator, direction: Direction, others: Sequence[Direction]) -> Direction:
    """Project a direction orthogonally to others, so that it changes their concepts as little as possible.

    The result is ``n - C^T (C C^T)^-1 C n``, with the others as rows of C, scaled to length 1. It has no score.

    Args:
        generator: Generator that all directions belong to.
        direction: Direction n to project.
        others: One or more directions of the same generator, in the same space and layers.

    Returns:
        The projected direction, without score and labels.

    Raises:
        ValueError: If a direction belongs to another generator, space or layer, there are no others, or nothing is left
            of the direction.

    Source: Shen et al. 2020 (arXiv 2005.09635), for any number of conditions.
    """
    for other in (direction, *others):
        other.check_generator(generator)
        if (other.space, other.ws, other.layer) != (direction.space, direction.ws, direction.layer):
            raise ValueError(
                f"directions must have the same space and layers; {other.name!r} and {direction.name!r} differ"
            )
    if not others:
        raise ValueError("others must contain at least one direction; got none")
    rows = torch.stack([other.vector.flatten() for other in others])
    _, strengths, basis = torch.linalg.svd(rows, full_matrices=False)
    basis = basis[strengths > UNIT * strengths[0]]
    flat = direction.vector.flatten()
    for _ in range(2):  # the second pass removes the rounding error of the first
        flat = flat - basis.T @ (basis @ flat)
    if float(flat.norm()) < UNIT:
        raise ValueError(f"nothing of {direction.name!r} is orthogonal to {', '.join(other.name for other in others)}")
    names = "-".join(other.name.removeprefix("boundary-") for other in others)
    vector = (flat / flat.norm()).view_as(direction.vector)
    name = f"{direction.name}-keeping-{names}"
    remainder = replace(direction, name=name, vector=vector, score=None, labels=())
    return replace(remainder, sigma=measure_spread(generator, remainder, direction.seed))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerScores(Displayed):
    """The effect on a concept of moving single entries of ``ws`` along a direction.

    Args:
        direction: Direction in w.
        concept: Name of the concept.
        step: Step length, in standard deviations.
        changes: Mean change of the concept's share, for each entry of the direction's ``ws``.
        gains: Mean change with losses counted as 0, HiGAN's score, for each entry of the direction's ``ws``.
        num_samples: Number of images.
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
        """Return the direction restricted to the entries of ``ws`` with the highest gain; it has no score.

        Args:
            count: Number of entries, from 1 to the number that the direction moves.

        Raises:
            ValueError: If count is out of range.
        """
        ws = self.direction.ws
        if not 1 <= count <= len(ws):
            raise ValueError(
                f"count must be in 1 to {len(ws)}, the entries of ws that {self.direction.name!r} moves; got {count}"
            )
        order = self.gains.mean.argsort(descending=True, stable=True)[:count].tolist()
        chosen = tuple(sorted(ws[position] for position in order))
        name = f"{self.direction.name}-in-ws-{'-'.join(map(str, chosen))}"
        return replace(self.direction, name=name, ws=chosen, score=None, labels=())

    def _summarize(self) -> str:
        return f"{self.concept} along {self.direction.name!r}, {len(self.changes.mean)} entries, n={self.num_samples}"


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
    """Measure the effect of a direction in w on a concept, moving one entry of ``ws`` at a time.

    Args:
        generator: Generator that the direction belongs to.
        segmenter: Segmenter for the generator's images.
        direction: Direction in w.
        concept: Name of the concept.
        step: Step length in standard deviations, not 0.
        num_samples: Number of latent vectors, at least 2.
        seed: Seed of the latent vectors.
        progress: Show a progress bar.

    Returns:
        The changes and gains of the concept's share, for each entry of the direction's ``ws``.

    Raises:
        KeyError: If there is no such concept.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If the direction is not in w or belongs to another generator, or a number is out of range.

    Source: Yang et al. 2021 (arXiv 1911.09267).
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    if direction.space != "w" or not step or not math.isfinite(step):
        raise ValueError(f"direction must be in w, and step finite and not 0; got {direction.space} and {step}")
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
    """Return w or the noise of z, and each concept's share in the images."""
    areas = ConceptAreas.of(generator, segmenter)
    x, counts = [], []
    own_seed = derive_seed(seed, "boundary")
    for block, z in sample_blocks(generator, [range(num_samples)], own_seed, BATCH, "boundary", progress=progress):
        latents = as_w(generator, z) if space == "w" else z
        counts.append(areas.count(generator(latents), block))
        x.append((latents[:, 0] if space == "w" else split_row(generator, z)[0]).cpu().double())
    return torch.cat(x), torch.cat(counts).double() / areas.num_pixels


def _target(share: Tensor, min_share: float | None, concept: str) -> Tensor:
    """Return the values to predict.

    Raises:
        ValueError: If they are the same for nearly all images.
    """
    if min_share is None:
        if float(share.max()) == float(share.min()):
            raise ValueError(f"the share of {concept!r} must vary; got the same share in all {len(share)} images")
        return share
    has_concept = (share >= min_share).double()
    num_with = int(has_concept.sum())
    if not MIN_SIDE <= num_with <= len(has_concept) - MIN_SIDE:
        raise ValueError(
            f"at least {MIN_SIDE} images with and {MIN_SIDE} without {concept!r} are needed; {num_with} of "
            f"{len(has_concept)} have it on {100 * min_share:g}% of the pixels; change min_share, or use more samples"
        )
    return has_concept
