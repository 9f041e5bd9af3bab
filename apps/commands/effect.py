"""``gandissect effect``."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import segmenters
from gandissect import (
    Ablation,
    CausalEffect,
    ConceptEffects,
    Dissection,
    Generator,
    Recipe,
    UnitSet,
    draw_effect_curves,
    draw_effects,
    measure_concept_effects,
)
from gandissect.causal import EffectCurves
from gandissect.causal.concept_effects import EFFECT_SEED
from gandissect.storage import find_results, output_folder

from ..figures import save_figure
from ..networks import Model, describe_with, limit_samples, load_generator, load_segmenter

FIGURE_NAME, CURVES_NAME = "effects.png", "curves.png"


@dataclass(frozen=True)
class Options:
    """Measure the causal effect of units: how many pixels of a concept they add or remove when forced on and off.

    By default the units are those of highest IoU in the layer where ablating them removes most of the concept. They are
    chosen on different samples from those they are evaluated on, and compared with the same number of random control
    units of the layer.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        concept: Concepts to measure the effect on.
        segmenter: Segmenter: a bundled name, a .safetensors file, or a training folder; by default the bundled one for
            the generator's kind of images.
        layer: Layer of the units; by default the layer with the largest effect.
        units: Indices of the units, if they are already known; needs --layer.
        num_units: Number of units to choose.
        optimize: Choose the units by gradient descent instead of by IoU; needs --layer.
        dissection: Folder that gandissect dissect wrote, to choose the units from; by default the generator is
            dissected on 500 samples.
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        classes: Names of the classes to draw samples from, for a generator with classes; by default all of them.
        caption: Captions to draw samples from, each in quotes, for a stackgan; by default those that it learned from.
        num_samples: Number of images to evaluate the units on, besides those that the units are chosen on.
        seed: Seed of these images; it must differ from the seed of the dissection.
        curves: Plot the effect of ablating more and more units of the layer (curves.png), ranked by IoU, by the effect
            of each unit alone, and, if the segmenter is differentiable, by gradient descent, with random control units.
            Takes minutes per concept; needs --out.
        out: Folder for the figure (effects.png) and, per concept, the result and the recipe of the ablation.
        overwrite: Replace the results of an earlier run in the folder.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    concept: tuple[str, ...]
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    num_units: int = 20
    optimize: Annotated[bool, tyro.conf.arg(name="optimise", aliases=["--optimize"])] = False  # aliases are shown first
    dissection: Path | None = None
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    num_samples: int = 1_000
    seed: int = EFFECT_SEED
    curves: bool = False
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Choose the units, measure their effect, save it if requested, and print one line per concept."""
        if self.curves and self.out is None:
            raise ValueError("--curves needs a folder for its figure; name it with --out")
        if self.units and self.layer is None:
            raise ValueError("--units must belong to one layer; name the layer with --layer")
        with self._open_folder() as staged:
            measured, names = self._measure(staged)
        written = [] if self.out is None else [self.out / name for name in names]
        if self.json:
            facts = [_facts(effect) for effect in measured.effects]
            print(json.dumps({"effects": facts, "written": list(map(str, written))}))
        else:
            print("\n".join([str(measured), *map(str, written)]))

    def _open_folder(self) -> AbstractContextManager[Path | None]:
        """Return the folder to write to, if any.

        Raises:
            ValueError: If the files of two concepts would share a name.
        """
        if self.out is None:
            return nullcontext()
        own = [name for concept in dict.fromkeys(self.concept) for name in _file_names(concept)]
        if len(set(own)) < len(own):
            raise ValueError(f"some of {', '.join(self.concept)} would share a file name; measure them separately")
        names = [*own, FIGURE_NAME, CURVES_NAME]
        return output_folder(self.out, names, overwrite=self.overwrite, find_others=_find_earlier)

    def _measure(self, folder: Path | None) -> tuple[ConceptEffects, list[str]]:
        """Return the effects, and the names of the files written to the folder, if any."""
        generator = describe_with(load_generator(self.generator, self.device, self.classes, self.inputs), self.caption)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        measured = measure_concept_effects(
            generator,
            segmenter,
            self.concept,
            layer=self.layer,
            units=UnitSet(str(self.layer), self.units) if self.units else None,
            num_units=self.num_units,
            optimize=self.optimize,
            dissection=None if self.dissection is None else Dissection.load(self.dissection),
            num_samples=limit_samples(generator, self.num_samples),
            seed=self.seed,
            curves=self.curves,
        )
        return measured, [] if folder is None else self._write(folder, generator, measured)

    def _write(self, out: Path, generator: Generator, measured: ConceptEffects) -> list[str]:
        """Write all files, and return their names."""
        written = []
        for effect in measured.effects:
            result, recipe, _ = _file_names(effect.concept)
            effect.save(out / result)
            Recipe.of(generator, [Ablation(effect.effect.units)], self.seed).save(out / recipe)
            written += [result, recipe]
        written.append(save_figure(draw_effects(measured.effects), out / FIGURE_NAME).name)
        for curves in measured.curves:
            written.append(curves.save(out / _file_names(curves.concept)[2]).name)
        if measured.curves:
            written.append(save_figure(draw_effect_curves(measured.curves), out / CURVES_NAME).name)
        return written


def _file_names(concept: str) -> tuple[str, str, str]:
    """Return a concept's file names: its effect, the recipe of its ablation, and its curves.

    Characters that could change the path, such as slashes, become underscores.
    """
    stem = re.sub(r"[^\w-]+", "_", concept)
    return f"{stem}.safetensors", f"{stem}-ablated.json", f"{stem}-curves.safetensors"


def _find_earlier(folder: Path) -> list[Path]:
    """Return the files of effects, ablation recipes and curves in a folder, whatever their names."""
    effects = find_results(folder, CausalEffect)
    recipes = [path.with_name(f"{path.stem}-ablated.json") for path in effects]
    return [*effects, *filter(Path.exists, recipes), *find_results(folder, EffectCurves)]


def _facts(effect: CausalEffect) -> dict[str, object]:
    """Return an effect as plain values."""
    return {
        "generator": effect.generator.name,
        "segmenter": effect.segmenter.name,
        "concept": effect.concept,
        "layer": effect.effect.units.layer,
        "units": effect.effect.units.units,
        "control_units": effect.control.units.units,
        "num_samples": effect.num_samples,
        "seed": effect.seed,
        "ace": effect.ace,
        "ace_stderr": effect.stderr,
        "concepts": effect.records(),
    }
