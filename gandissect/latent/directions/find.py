"""Find directions of a latent space by one of three methods, and label them on other samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ...core.display import Tabular
from ...core.lookup import check_choice, unique_names
from ...core.protocols import Generator, Segmenter
from ...core.sampling import check_seed
from .boundaries import Boundary, find_boundaries, keep_unchanged
from .closed_form import closed_form_directions
from .components import component_directions
from .direction import Direction
from .labels import STEPS, DirectionEffect, check_labeling, label_direction, with_labels

DirectionMethod = Literal["sefa", "components", "boundary"]

METHOD_OPTIONS = {
    "sefa": ("ws",),
    "components": ("layer", "in_z", "find_samples"),
    "boundary": ("concepts", "keep", "min_share", "find_samples"),
}
"""Options that apply to some methods only."""

FIND_SAMPLES = {"sefa": 0, "components": 5_000, "boundary": 2_000}
"""Default number of latent vectors to find directions on; the closed form needs none."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FoundDirection(Tabular):
    """A direction and its effect on concepts.

    Args:
        direction: Direction with its labels.
        effect: Effect of the direction on every concept.
        boundary: Boundary of the direction's concept; None for other methods.
        kept: Boundaries of the concepts that the direction leaves unchanged.
    """

    direction: Direction
    effect: DirectionEffect
    boundary: Boundary | None = None
    kept: tuple[Boundary, ...] = ()

    def __str__(self) -> str:
        return str(self.direction)

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the direction's effect."""
        return self.effect.records()

    def _summarize(self) -> str:
        does = ", ".join(f"{label.concept} {100 * label.slope:+.2f}%" for label in self.direction.labels)
        return f"{self.direction.name!r}: {does or 'no label'}, n={self.effect.num_samples}"

    def _html_parts(self) -> Iterable[str]:
        return self.effect._html_parts()


def find_directions(
    generator: Generator,
    segmenter: Segmenter,
    method: DirectionMethod = "sefa",
    *,
    num_directions: int = 5,
    ws: Sequence[int] | None = None,
    layer: str | None = None,
    in_z: bool = False,
    concepts: Sequence[str] | str = (),
    keep: Sequence[str] | str = (),
    min_share: float | None = None,
    find_samples: int | None = None,
    steps: Sequence[float] = STEPS,
    num_samples: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> tuple[FoundDirection, ...]:
    """Find directions, and measure the effect of moving along each on the share of every concept.

    Directions are found by `closed_form_directions`, `component_directions`, or `find_boundaries` with
    `keep_unchanged`, and labeled by `label_direction` on other samples. `gandissect.report.draw_directions` draws them.

    Args:
        generator: Generator whose latent space is searched; for ``"sefa"`` it must have ``latent_maps()``.
        segmenter: Segmenter for the generator's images.
        method: ``"sefa"`` finds the directions that the first linear map of z, or the styles of w, stretch most;
            ``"components"`` those along which w, or a layer's activations, vary most; ``"boundary"`` those that best
            predict the share of a concept.
        num_directions: Number of directions to find, for ``"sefa"`` and ``"components"``.
        ws: For ``"sefa"``, the entries of ``ws`` whose maps are used and that are moved; all by default.
        layer: For ``"components"``, the layer whose activations are analyzed; by default w.
        in_z: For ``"components"`` of a layer, map the directions back to z.
        concepts: For ``"boundary"``, names of the concepts to find a direction for, or one name.
        keep: For ``"boundary"``, names of the concepts whose boundaries the directions are made orthogonal to.
        min_share: For ``"boundary"``, predict whether a concept has at least this share of the pixels; by default,
            predict the share itself.
        find_samples: Number of latent vectors to find the directions on; by default 5,000 for ``"components"`` and
            2,000 for ``"boundary"``.
        steps: Step lengths in standard deviations.
        num_samples: Number of images to label a direction on, at least 10.
        seed: Seed of all samples.
        progress: Show progress bars.

    Returns:
        The directions with their labels, effects and boundaries; for ``"boundary"`` in the order of ``concepts``.

    Raises:
        KeyError: If there is no such method, layer or concept.
        TypeError: If the generator or the segmenter does not implement its protocol, or what the method needs.
        ValueError: If an option belongs to another method, no concept is named for a boundary, a concept is both
            changed and kept, or a number is out of range.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> quick = {"find_samples": 200, "num_samples": 20, "progress": False}
        >>> (found,) = gandissect.latent.find_directions(G, S, "boundary", concepts="green", **quick)
        >>> sorted(label.concept for label in found.direction.labels)
        ['green', 'ground']
    """
    seed = check_seed(seed)
    concepts, keep = unique_names(concepts), unique_names(keep)
    options = {"ws": ws, "layer": layer, "in_z": in_z or None, "min_share": min_share, "find_samples": find_samples}
    _check_request(method, options, concepts, keep)
    check_labeling(steps, num_samples)
    count = FIND_SAMPLES[method] if find_samples is None else find_samples
    boundaries: dict[str, Boundary] = {}
    if method == "sefa":
        directions = closed_form_directions(generator, num_directions, ws, seed)
    elif method == "components":
        directions = component_directions(generator, num_directions, layer, count, seed, in_z=in_z, progress=progress)
    else:
        names = (*concepts, *keep)
        boundaries = find_boundaries(generator, segmenter, names, count, seed, min_share=min_share, progress=progress)
        directions = _directions_across(generator, boundaries, concepts, keep)
    label = partial(label_direction, generator, segmenter, progress=progress)
    effects = [label(direction, steps, num_samples, seed) for direction in directions]
    return _join(directions, effects, boundaries, concepts, keep)


def _join(
    directions: Sequence[Direction],
    effects: Sequence[DirectionEffect],
    boundaries: Mapping[str, Boundary],
    concepts: Sequence[str],
    keep: Sequence[str],
) -> tuple[FoundDirection, ...]:
    """Return directions with their labels and effects, and with the boundaries of concepts, where there are any."""
    kept = tuple(boundaries[concept] for concept in keep)
    changed: list[Boundary | None] = [boundaries[concept] for concept in concepts]
    return tuple(
        FoundDirection(with_labels(direction, effect), effect, boundary, kept)
        for direction, effect, boundary in zip(directions, effects, changed or [None] * len(effects), strict=True)
    )


def _check_request(
    method: DirectionMethod, options: Mapping[str, object], concepts: tuple[str, ...], keep: tuple[str, ...]
) -> None:
    check_choice(method, DirectionMethod, "method")
    _check_options(method, {**options, "concepts": concepts or None, "keep": keep or None})
    if method == "boundary":
        _check_concepts(concepts, keep)


def _directions_across(
    generator: Generator, boundaries: Mapping[str, Boundary], concepts: Sequence[str], keep: Sequence[str]
) -> tuple[Direction, ...]:
    """Return the directions of concepts, made orthogonal to those of the concepts to keep."""
    directions = tuple(boundaries[concept].direction for concept in concepts)
    if not keep:
        return directions
    others = [boundaries[concept].direction for concept in keep]
    return tuple(keep_unchanged(generator, direction, others) for direction in directions)


def _check_options(method: DirectionMethod, options: Mapping[str, object]) -> None:
    """Check that options belong to the method.

    Args:
        method: Method that finds directions.
        options: Options that apply to some methods only, None if they are not set.

    Raises:
        ValueError: If one does not belong to the method.
    """
    present = {name for name, value in options.items() if value is not None}
    if foreign := sorted(present - set(METHOD_OPTIONS[method])):
        raise ValueError(f"{foreign[0]} is not an option of the method {method}")


def _check_concepts(concepts: Sequence[str], keep: Sequence[str]) -> None:
    """Check that there is at least one concept, and that no concept is both changed and kept.

    Raises:
        ValueError: If there are no concepts, or a concept is both changed and kept.
    """
    if not concepts:
        raise ValueError("concepts must name at least one concept for the method boundary; got none")
    if both := set(concepts) & set(keep):
        raise ValueError(f"concepts and keep must not overlap; got {min(both)!r} in both")
