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
from ..networks import Model, load_generator, load_segmenter

FIGURE_NAME, CURVES_NAME = "effects.png", "curves.png"


@dataclass(frozen=True)
class Options:
    """Measure what units cause: the pixels that a concept gains and loses when they are forced on and off.

    By default the units are those of highest IoU in the layer where ablating them takes most of the concept away. They
    are chosen on other samples than they are judged on, and as many random units of the layer go through the same.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        concept: Concepts, one or more.
        segmenter: A bundled name, or the path of a .safetensors file; by default the one made for such pictures.
        layer: The layer; by default that with most effect.
        units: Their numbers, if they are known; then the layer must be named.
        num_units: How many units to choose.
        optimize: Choose the units of the layer by gradient descent instead of by IoU; then the layer must be named.
        dissection: The folder that dissect wrote, to choose by; by default the generator is dissected on 500 samples.
        num_samples: Images to judge the units on.
        seed: Seed of these images; a dissection must have looked at those of another seed.
        curves: Show too what ablating more and more units of the layer takes away, ranked by IoU, by the effect of each
            alone, and, if the segmenter can be differentiated, by gradient descent, beside random units (curves.png):
            minutes a concept. Needs --out.
        out: Folder for the figure (effects.png), and for each concept the result and the recipe of the ablation.
        overwrite: Replace the results of an earlier run in the folder.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    concept: tuple[str, ...]
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    num_units: int = 20
    optimize: Annotated[bool, tyro.conf.arg(aliases=["--optimise"])] = False
    dissection: Path | None = None
    num_samples: int = 1_000
    seed: int = EFFECT_SEED
    curves: bool = False
    out: Path | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Choose units, measure, save where asked to, and print a line a concept."""
        if self.curves and self.out is None:
            raise ValueError("curves are drawn into a folder; name it with --out")
        if self.units and self.layer is None:
            raise ValueError("units belong to one layer; name the layer with --layer")
        with self._open_folder() as staged:
            measured, names = self._measure(staged)
        written = [] if self.out is None else [self.out / name for name in names]
        if self.json:
            facts = [_facts(effect) for effect in measured.effects]
            print(json.dumps({"effects": facts, "written": list(map(str, written))}))
        else:
            print("\n".join([str(measured), *map(str, written)]))

    def _open_folder(self) -> AbstractContextManager[Path | None]:
        """Return the folder to write to, if there is one.

        Raises:
            ValueError: If files of two concepts would have one name.
        """
        if self.out is None:
            return nullcontext()
        own = [name for concept in dict.fromkeys(self.concept) for name in _file_names(concept)]
        if len(set(own)) < len(own):
            raise ValueError(f"files of some of {', '.join(self.concept)} would have one name; measure them one by one")
        names = [*own, FIGURE_NAME, CURVES_NAME]
        return output_folder(self.out, names, overwrite=self.overwrite, find_others=_find_earlier)

    def _measure(self, folder: Path | None) -> tuple[ConceptEffects, list[str]]:
        """Return the effects, and the names of the files that were written to the folder if there is one."""
        generator = load_generator(self.generator, self.device)
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
            num_samples=self.num_samples,
            seed=self.seed,
            curves=self.curves,
        )
        return measured, [] if folder is None else self._write(folder, generator, measured)

    def _write(self, out: Path, generator: Generator, measured: ConceptEffects) -> list[str]:
        """Write everything and return the names of the files."""
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
    """Return the files of a concept: its effect, the recipe of the ablation, and its curves.

    What could lead elsewhere in its name becomes an underscore.
    """
    stem = re.sub(r"[^\w-]+", "_", concept)
    return f"{stem}.safetensors", f"{stem}-ablated.json", f"{stem}-curves.safetensors"


def _find_earlier(folder: Path) -> list[Path]:
    """Return the effects, recipes of their ablations and curves in a folder, whatever they are called."""
    effects = find_results(folder, CausalEffect)
    recipes = [path.with_name(f"{path.stem}-ablated.json") for path in effects]
    return [*effects, *filter(Path.exists, recipes), *find_results(folder, EffectCurves)]


def _facts(effect: CausalEffect) -> dict[str, object]:
    """Return everything as plain values."""
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
