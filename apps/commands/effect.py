"""``gandissect effect``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

import segmenters
from gandissect import (
    Ablation,
    CausalEffect,
    Dissection,
    Generator,
    Recipe,
    Segmenter,
    UnitSet,
    average_causal_effect,
    dissect,
    draw_effect_curves,
    draw_effects,
    find_causal_units,
    measure_effect_curves,
    measure_unit_effects,
    optimize_units,
    rank_units_by_iou,
    select_units_by_ablation,
)
from gandissect.causal.optimize import SoftSegmenter
from gandissect.core.lookup import lookup
from gandissect.storage.files import atomic_path

from ..networks import load_generator, load_segmenter

FIGURE_NAME, CURVES_NAME = "effects.png", "curves.png"
CHOICE_SEED = 1_000_003
"""Units are chosen on samples of the seed plus this, and judged on those of the seed."""


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
        optimise: Choose the units of the layer by gradient descent instead of by IoU; then the layer must be named.
        dissection: The folder that dissect wrote, to choose by; by default the generator is dissected on 500 samples.
        num_samples: Images to judge the units on.
        seed: Of these images.
        curves: Show too what ablating more and more units of the layer takes away, ranked by IoU, by the effect of each
            alone, and, if the segmenter can be differentiated, by gradient descent, beside random units (curves.png):
            minutes a concept. Needs --out.
        out: Folder for the figure (effects.png), and for each concept the result and the recipe of the ablation.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: tyro.conf.Positional[str]
    concept: tuple[str, ...]
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    num_units: int = 20
    optimise: bool = False
    dissection: Path | None = None
    num_samples: int = 1_000
    seed: int = 0
    curves: bool = False
    out: Path | None = None
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Choose units, measure, save where asked to, and print a line a concept."""
        generator = load_generator(self.generator, self.device)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        known = {each.name: each for each in segmenter.concepts}
        for concept in self.concept:
            lookup(known, concept, "concept")
        if self.layer is None and (self.units or self.optimise):
            raise ValueError("units and --optimise are of one layer; name it with --layer")
        if self.units and self.optimise:
            raise ValueError("units are given or chosen; leave out --units or --optimise")
        if self.dissection and (self.units or self.optimise) and not self.curves:
            raise ValueError(
                "a dissection is what units are chosen by; leave out --dissection, or --units and --optimise"
            )
        if self.num_samples < 2 or self.num_units < 1:
            raise ValueError(f"need 2 samples and 1 unit or more; got {self.num_samples} and {self.num_units}")
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)  # before all the work is done
        if self.curves and self.out is None:
            raise ValueError("curves are drawn into a folder; name it with --out")
        given = bool(self.units) or self.optimise
        dissection = self._dissection(generator, segmenter) if self.curves or not given else None
        chosen = self._chosen(generator, segmenter, dissection)
        effects = [
            average_causal_effect(generator, segmenter, units, concept, self.num_samples, self.seed)
            for concept, units in chosen.items()
        ]
        written = [] if self.out is None else self._write(self.out, generator, effects)
        if self.curves and self.out is not None and dissection is not None:
            written += self._write_curves(self.out, generator, segmenter, chosen, dissection)
        if self.json:
            print(json.dumps({"effects": [_facts(each) for each in effects], "written": list(map(str, written))}))
        else:
            print("\n".join([*map(str, effects), *map(str, written)]))

    def _chosen(self, generator: Generator, segmenter: Segmenter, dissection: Dissection | None) -> dict[str, UnitSet]:
        """Return the units of each concept."""
        seed = self._choice_seed
        if self.units:
            return dict.fromkeys(self.concept, UnitSet(str(self.layer), self.units))
        if self.optimise or dissection is None:
            find = partial(find_causal_units, generator, segmenter, str(self.layer), method="optimisation")
            return {concept: find(concept, self.num_units, seed) for concept in self.concept}
        if self.layer is not None:
            layer = dissection[self.layer]
            return {concept: layer.units_for(concept, 0.0, self.num_units) for concept in self.concept}
        return {
            concept: select_units_by_ablation(generator, segmenter, dissection, concept, self.num_units, seed=seed)
            for concept in self.concept
        }

    def _write_curves(
        self,
        out: Path,
        generator: Generator,
        segmenter: Segmenter,
        chosen: Mapping[str, UnitSet],
        dissection: Dissection,
    ) -> list[Path]:
        """Measure and draw what more and more units take away, and return the paths."""
        seed, found = self._choice_seed, []
        alone = {layer: measure_unit_effects(generator, segmenter, layer, seed=seed) for layer in _layers(chosen)}
        for concept, units in chosen.items():
            rankings = {
                "by IoU": rank_units_by_iou(dissection, units.layer, concept),
                "by effect alone": alone[units.layer].ranking(concept),
            }
            if isinstance(segmenter, SoftSegmenter):
                rankings["by optimisation"] = optimize_units(generator, segmenter, units.layer, concept, seed=seed)
            found.append(measure_effect_curves(generator, segmenter, rankings, seed=self.seed))
        written = [each.save(out / f"{_file_name(each.concept)}-curves.safetensors") for each in found]
        with atomic_path(out / CURVES_NAME) as path:
            draw_effect_curves(found).savefig(path, format="png")
        return [*written, out / CURVES_NAME]

    @property
    def _choice_seed(self) -> int:
        return self.seed + CHOICE_SEED

    def _dissection(self, generator: Generator, segmenter: Segmenter) -> Dissection:
        """Return the dissection to choose by.

        Raises:
            ValueError: If it is of another generator.
        """
        if self.dissection is None:
            return dissect(generator, segmenter, self.layer, 500, self._choice_seed, top_images=0)
        found = Dissection.load(self.dissection)
        found.provenance.generator.check(generator, f"the dissection {self.dissection}")
        if found.provenance.seed == self.seed:
            raise ValueError(f"{self.dissection} was made on seed {self.seed} too; judge on another with --seed")
        return found

    def _write(self, out: Path, generator: Generator, effects: list[CausalEffect]) -> list[Path]:
        """Write everything and return the paths."""
        written = []
        for effect in effects:
            name = _file_name(effect.concept)
            written.append(effect.save(out / f"{name}.safetensors"))
            recipe = Recipe.of(generator, [Ablation(effect.effect.units)], self.seed)
            written.append(recipe.save(out / f"{name}-ablated.json"))
        with atomic_path(out / FIGURE_NAME) as path:
            draw_effects(effects).savefig(path, format="png")
        return [*written, out / FIGURE_NAME]


def _file_name(concept: str) -> str:
    """Return a concept's name as a file's: what could lead elsewhere becomes an underscore."""
    return re.sub(r"[^\w-]+", "_", concept)


def _layers(chosen: Mapping[str, UnitSet]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(units.layer for units in chosen.values()))


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
