"""``gandissect directions``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmenters
from gandissect.latent import Boundary, Direction, DirectionEffect, FoundDirection, find_directions, move
from gandissect.latent.directions.find import DirectionMethod
from gandissect.latent.directions.labels import STEPS
from gandissect.report import draw_directions
from gandissect.storage import find_results, output_folder
from generators import LayeredGenerator

from ..figures import save_figure
from ..networks import Model, describe_with, load_generator, load_segmenter

FIGURE_NAME = "directions.png"
MAX_PICTURES = 16


@dataclass(frozen=True)
class Options:
    """Find directions in a generator's latent space, and measure how moving along each changes every concept's share.

    The method sefa finds the directions that the first linear map of z, or the styles of w, amplify most; components
    finds those along which w, or the activations of a layer, vary most; boundary finds those that best predict the
    shares of given concepts. Directions are labeled on different samples from those they are found on.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        method: Method that finds the directions.
        segmenter: Segmenter: a bundled name, a .safetensors file, or a training folder; by default the bundled one for
            the generator's kind of images.
        num_directions: Number of directions, for sefa and components.
        concept: Concepts to find one direction each for, with boundary.
        keep: Concepts that these directions should leave unchanged; each direction is made orthogonal to the boundaries
            of these concepts.
        min_share: Share of the pixels at which a concept counts as present, for boundary; by default the directions
            predict the share itself.
        layer: Layer whose activations are decomposed, for components; by default, w is decomposed.
        in_z: Map components of a layer back to z.
        ws: Indices of the entries of ws to analyze and move, for sefa; by default all.
        find_samples: Number of latent vectors to find the directions on; by default 5,000 for components and 2,000 for
            boundary.
        steps: Positions along a direction, in standard deviations.
        classes: Names of the classes to draw samples from, for a generator with classes; by default all of them.
        caption: Captions to draw samples from, each in quotes, for a stackgan; by default those that it learned from.
        num_samples: Number of images to label each direction on.
        pictures: Number of images per direction in the figure.
        seed: Seed of all samples.
        out: Folder for the figure (directions.png) and, per direction, its vector, its description as JSON and its
            effect.
        overwrite: Replace the results of an earlier run in the folder.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    method: DirectionMethod = "sefa"
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
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    num_samples: int = 200
    pictures: int = 2
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Find and label the directions, write them if requested, and print one line per direction."""
        self._check_files()
        with self._open_folder() as staged:
            results, names = self._find(staged)
        written = [] if self.out is None else [self.out / name for name in names]
        boundaries = [result.boundary for result in results if result.boundary is not None]
        boundaries += results[0].kept
        if self.json:
            facts = {"directions": [_facts(result.direction, result.effect) for result in results]}
            scores = {"boundaries": [_score(boundary) for boundary in boundaries]}
            print(json.dumps(facts | scores | {"written": list(map(str, written))}, allow_nan=False))
        else:
            print("\n".join(map(str, [*boundaries, *results, *written])))

    def _open_folder(self) -> AbstractContextManager[Path | None]:
        """Return the folder to write to, if any."""
        if self.out is None:
            return nullcontext()
        return output_folder(self.out, [FIGURE_NAME], overwrite=self.overwrite, find_others=_find_earlier)

    def _find(self, folder: Path | None) -> tuple[Sequence[FoundDirection], list[str]]:
        """Return the directions, and the names of the files written to the folder, if any."""
        generator = describe_with(load_generator(self.generator, self.device, self.classes), self.caption)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        results = find_directions(
            generator,
            segmenter,
            self.method,
            num_directions=self.num_directions,
            ws=self.ws or None,
            layer=self.layer,
            in_z=self.in_z,
            concepts=self.concept,
            keep=self.keep,
            min_share=self.min_share,
            find_samples=self.find_samples,
            steps=self.steps,
            num_samples=self.num_samples,
            seed=self.seed,
        )
        return results, [] if folder is None else self._write(folder, generator, results)

    def _check_files(self) -> None:
        """Check the options of the folder and the figure before anything is loaded.

        Raises:
            ValueError: If the number of pictures is out of range, or two concepts would share a file name.
        """
        if not 1 <= self.pictures <= MAX_PICTURES:
            raise ValueError(f"--pictures must be 1 to {MAX_PICTURES}; got {self.pictures}")
        if self.out is not None:
            stems = [_stem(concept) for concept in self.concept]
            if twice := [concept for concept in self.concept if stems.count(_stem(concept)) > 1]:
                raise ValueError(
                    f"{' and '.join(map(repr, twice))} would share a file name; find their directions separately"
                )

    def _write(self, out: Path, generator: LayeredGenerator, results: Sequence[FoundDirection]) -> list[str]:
        """Write all files, and return their names."""
        written = []
        for result in results:
            stem = _stem(result.direction.name)
            written.append(result.direction.save(out / f"{stem}.safetensors").name)
            written.append(result.effect.save(out / f"{stem}-effect.safetensors").name)
        z, steps = generator.sample_z(self.pictures, self.seed), sorted(self.steps)
        sweeps = [move(generator, z, result.direction, steps) for result in results]
        figure = draw_directions([result.direction for result in results], sweeps)
        return [*written, save_figure(figure, out / FIGURE_NAME).name]


def _stem(name: str) -> str:
    """Return the stem of the names of a direction's files."""
    return re.sub(r"[^\w-]+", "-", name)


def _find_earlier(folder: Path) -> list[Path]:
    """Return the files of directions and effects in a folder, whatever their names."""
    directions = find_results(folder, Direction)
    descriptions = [path.with_suffix(".json") for path in directions]
    return [*directions, *filter(Path.exists, descriptions), *find_results(folder, DirectionEffect)]


def _facts(direction: Direction, effect: DirectionEffect) -> dict[str, Any]:
    """Return everything except the vector as plain values."""
    labeling = {"segmenter": effect.segmenter.name, "steps": effect.steps, "label_samples": effect.num_samples}
    return direction.facts() | labeling | {"concepts": effect.records()}


def _score(boundary: Boundary) -> dict[str, Any]:
    names = ("concept", "min_share", "score", "interval", "chance", "num_held_out")
    return {name: getattr(boundary, name) for name in names}
