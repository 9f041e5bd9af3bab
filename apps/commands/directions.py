"""``gandissect directions``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

import segmenters
from gandissect import Segmenter
from gandissect.latent import (
    Boundary,
    Direction,
    DirectionEffect,
    DirectionSweep,
    closed_form_directions,
    component_directions,
    find_boundaries,
    keep_unchanged,
    label_direction,
    move,
    with_labels,
)
from gandissect.latent.directions.labels import STEPS, check_labelling
from gandissect.report.directions import draw_directions
from gandissect.storage.files import atomic_path, check_folder
from generators import LayeredGenerator

from ..networks import load_generator, load_segmenter

FIGURE_NAME = "directions.png"
SAMPLES = {"components": 5_000, "boundary": 2_000}
MAX_PICTURES = 16


@dataclass(frozen=True)
class Options:
    """Find directions of a generator's latent space, and what moving along each does to the share of every concept.

    sefa takes those along which the first linear map of z, or the styles of w, stretch most; components those along
    which w, or the activations of a layer, vary most; boundary those that predict the share of given concepts best.
    They are labelled on other samples than they are found on.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        method: sefa, components or boundary.
        segmenter: A bundled name, or the path of a .safetensors file; by default the one made for such pictures.
        num_directions: How many, for sefa and components.
        concept: Concepts, one direction each, for boundary.
        keep: Concepts that these directions shall leave alone, as far as boundaries at right angles do.
        min_share: For boundary, predict whether a concept has this share of the pixels; by default the share itself.
        layer: For components, the layer whose activations are looked at; by default w.
        in_z: For components of a layer, map them back to z.
        ws: For sefa, the entries of ws that count and are moved; all by default.
        find_samples: Latent vectors to find the directions on, by default 5,000 for components and 2,000 for boundary.
        steps: How far to move, in standard deviations.
        num_samples: Images to label a direction on.
        pictures: Images of each direction in the figure.
        seed: Of all samples.
        out: Folder for the figure (directions.png) and for each direction its file, what it is as JSON, and its effect.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: tyro.conf.Positional[str]
    method: Literal["sefa", "components", "boundary"] = "sefa"
    segmenter: str | None = None
    num_directions: int = 5
    concept: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    min_share: float | None = None
    layer: str | None = None
    in_z: bool = False
    ws: tuple[int, ...] = ()
    find_samples: int | None = None
    steps: tuple[float, ...] = STEPS
    num_samples: int = 200
    pictures: int = 2
    seed: int = 0
    out: Path | None = None
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Find, label, write where asked to, and print a line a direction."""
        self._check()
        generator = load_generator(self.generator, self.device)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        boundaries = self._boundaries(generator, segmenter)
        found = [each.direction for each in boundaries.values()] if boundaries else self._found(generator)
        if self.keep:
            others = [boundaries[concept].direction for concept in self.keep]
            found = [keep_unchanged(generator, boundaries[concept].direction, others) for concept in self.concept]
        measured = [
            label_direction(generator, segmenter, each, self.steps, self.num_samples, self.seed) for each in found
        ]
        directions = [with_labels(each, effect) for each, effect in zip(found, measured, strict=True)]
        written = [] if self.out is None else self._write(self.out, generator, directions, measured)
        if self.json:
            facts = {"directions": [_facts(*each) for each in zip(directions, measured, strict=True)]}
            scores = {"boundaries": [_score(each) for each in boundaries.values()]}
            print(json.dumps(facts | scores | {"written": list(map(str, written))}, allow_nan=False))
        else:
            print("\n".join(map(str, [*boundaries.values(), *directions, *written])))

    def _check(self) -> None:
        """Refuse options of another method than the one asked for.

        Raises:
            ValueError: Naming them.
        """
        of = {
            "sefa": ("ws",),
            "components": ("layer", "in_z", "find_samples"),
            "boundary": ("concept", "keep", "min_share", "find_samples"),
        }
        others = {name for names in of.values() for name in names} - set(of[self.method])
        if wrong := sorted(name for name in others if getattr(self, name) not in (None, (), False)):
            raise ValueError(f"--{wrong[0].replace('_', '-')} is not an option of the method {self.method}")
        if self.method == "boundary" and not self.concept:
            raise ValueError("a boundary is of a concept; name one or more with --concept")
        if both := set(self.concept) & set(self.keep):
            raise ValueError(f"{sorted(both)[0]!r} cannot be changed and kept")
        if not 1 <= self.pictures <= MAX_PICTURES:
            raise ValueError(f"pictures is 1 to {MAX_PICTURES}; got {self.pictures}")
        check_labelling(self.steps, self.num_samples)
        if self.out is not None:
            check_folder(self.out)
            stems = [_stem(concept) for concept in self.concept]
            if twice := [concept for concept in self.concept if stems.count(_stem(concept)) > 1]:
                raise ValueError(f"files of {' and '.join(map(repr, twice))} would have one name; find them one by one")

    def _found(self, generator: LayeredGenerator) -> list[Direction]:
        """Return the directions of sefa or of the components."""
        if self.method == "sefa":
            return list(closed_form_directions(generator, self.num_directions, self.ws or None, self.seed))
        samples = self._num_find
        count = self.num_directions
        return list(component_directions(generator, count, self.layer, samples, self.seed, in_z=self.in_z))

    def _boundaries(self, generator: LayeredGenerator, segmenter: Segmenter) -> dict[str, Boundary]:
        """Return the boundaries of all concepts named; none for another method."""
        if self.method != "boundary":
            return {}
        names = tuple(dict.fromkeys((*self.concept, *self.keep)))
        return find_boundaries(generator, segmenter, names, self._num_find, self.seed, min_share=self.min_share)

    @property
    def _num_find(self) -> int:
        return SAMPLES[self.method] if self.find_samples is None else self.find_samples

    def _write(
        self,
        out: Path,
        generator: LayeredGenerator,
        directions: Sequence[Direction],
        effects: Sequence[DirectionEffect],
    ) -> list[Path]:
        """Write everything and return the paths."""
        written = []
        for direction, effect in zip(directions, effects, strict=True):
            stem = _stem(direction.name)
            written.append(direction.save(out / f"{stem}.safetensors"))
            written.append(effect.save(out / f"{stem}-effect.safetensors"))
        with atomic_path(out / FIGURE_NAME) as path:
            moved = [self._moved(generator, each) for each in directions]
            draw_directions(directions, moved).savefig(path, format="png")
        return [*written, out / FIGURE_NAME]

    def _moved(self, generator: LayeredGenerator, direction: Direction) -> DirectionSweep:
        """Return the images of the figure."""
        return move(generator, generator.sample_z(self.pictures, self.seed), direction, sorted(self.steps))


def _stem(name: str) -> str:
    """Return what files of a direction are called."""
    return re.sub(r"[^\w-]+", "-", name)


def _facts(direction: Direction, effect: DirectionEffect) -> dict[str, Any]:
    """Return everything but the vector as plain values."""
    about = {"segmenter": effect.segmenter.name, "steps": effect.steps, "label_samples": effect.num_samples}
    return direction.facts() | about | {"concepts": effect.records()}


def _score(boundary: Boundary) -> dict[str, Any]:
    names = ("concept", "min_share", "score", "interval", "chance", "num_held_out")
    return {name: getattr(boundary, name) for name in names}
