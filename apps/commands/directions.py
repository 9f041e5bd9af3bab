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
from ..networks import Model, load_generator, load_segmenter

FIGURE_NAME = "directions.png"
MAX_PICTURES = 16


@dataclass(frozen=True)
class Options:
    """Find directions of a generator's latent space, and what moving along each does to the share of every concept.

    sefa takes those along which the first linear map of z, or the styles of w, stretch most; components those along
    which w, or the activations of a layer, vary most; boundary those that predict the share of given concepts best.
    They are labeled on other samples than they are found on.

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
        overwrite: Replace the results of an earlier run in the folder.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
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
    num_samples: int = 200
    pictures: int = 2
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Find, label, write where asked to, and print a line a direction."""
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
        """Return the folder to write to, if there is one."""
        if self.out is None:
            return nullcontext()
        return output_folder(self.out, [FIGURE_NAME], overwrite=self.overwrite, find_others=_find_earlier)

    def _find(self, folder: Path | None) -> tuple[Sequence[FoundDirection], list[str]]:
        """Return the directions, and the names of the files that were written to the folder if there is one."""
        generator = load_generator(self.generator, self.device)
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
        """Check what is about the folder and the figure, before anything is loaded.

        Raises:
            ValueError: Saying what is wrong.
        """
        if not 1 <= self.pictures <= MAX_PICTURES:
            raise ValueError(f"pictures is 1 to {MAX_PICTURES}; got {self.pictures}")
        if self.out is not None:
            stems = [_stem(concept) for concept in self.concept]
            if twice := [concept for concept in self.concept if stems.count(_stem(concept)) > 1]:
                raise ValueError(f"files of {' and '.join(map(repr, twice))} would have one name; find them one by one")

    def _write(self, out: Path, generator: LayeredGenerator, results: Sequence[FoundDirection]) -> list[str]:
        """Write everything and return the names of the files."""
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
    """Return what files of a direction are called."""
    return re.sub(r"[^\w-]+", "-", name)


def _find_earlier(folder: Path) -> list[Path]:
    """Return the directions and effects in a folder, whatever they are called."""
    directions = find_results(folder, Direction)
    beside = [path.with_suffix(".json") for path in directions]
    return [*directions, *filter(Path.exists, beside), *find_results(folder, DirectionEffect)]


def _facts(direction: Direction, effect: DirectionEffect) -> dict[str, Any]:
    """Return everything but the vector as plain values."""
    about = {"segmenter": effect.segmenter.name, "steps": effect.steps, "label_samples": effect.num_samples}
    return direction.facts() | about | {"concepts": effect.records()}


def _score(boundary: Boundary) -> dict[str, Any]:
    names = ("concept", "min_share", "score", "interval", "chance", "num_held_out")
    return {name: getattr(boundary, name) for name in names}
