"""``gandissect repair``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

import generators
import segmenters
from gandissect import (
    ArtifactRanking,
    Generator,
    Recipe,
    UnitSet,
    choose_num_units,
    measure_repair,
    rank_artifact_layers,
    repair,
    write_repair_report,
)
from gandissect.artifacts.measure import COUNTS
from gandissect.artifacts.results import Method, Repair, RepairCurve, To
from gandissect.core.lookup import lookup
from gandissect.fidelity.yardstick import Yardstick
from gandissect.interventions.edits import Edit
from segmenters.datasets import open_pictures

from ..networks import load_generator, load_segmenter
from ..yardsticks import yardstick

REPAIRED = "repaired.safetensors"
TRIED, MOST = 10, 40
"""Units with which layers are compared, and at most so many are switched off."""


@dataclass(frozen=True)
class Options:
    """Find the units behind unrealistic pictures, switch them off, and report what that changes.

    Units are ranked and their number is chosen on other images, and against other real pictures, than the report is of.
    If it does not help, the report says so.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        data: The pictures that the generator learned from, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT.
        out: Folder for the report (report.html, report.pdf, repair.json), the recipe (recipe.json), the results and the
            repaired generator (repaired.safetensors).
        segmenter: Whose encoder's features are compared; by default the segmenter made for such pictures.
        layer: The layer; by default the one of which the 10 worst units help most when they are switched off.
        units: Their numbers, worst first, if they are known; then the layer must be named, and nothing is ranked.
        recipe: A recipe that switches units of one layer off everywhere: its units, instead of --layer and --units.
        to: What the units are forced to, zero or mean.
        method: What units are ranked by: effect (what ablating each unit alone changes of the distance; it takes
            minutes), distance (how far from real ones the images are that activate a unit most), or realism (of single
            images). The last two are quick, and tell what goes along with bad images, not what makes them.
        hold_out: Share of each folder without @SPLIT that was kept to judge by.
        num_samples: Images to rank units with.
        num_images: Images in each of 4 sets, to choose the number of units with.
        seed: Of all images.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: tyro.conf.Positional[str]
    data: tuple[str, ...]
    out: Path
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    recipe: Path | None = None
    to: To = "zero"
    method: Method = "effect"
    hold_out: float = 0.05
    num_samples: int = 3_000
    num_images: int = 256
    seed: int = 0
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Rank, choose, measure, write the report, and print the verdict and where everything lies."""
        generator = load_generator(self.generator, self.device)
        given = self._given(generator)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        self.out.mkdir(parents=True, exist_ok=True)  # before all the work is done
        measure = yardstick(segmenter, *open_pictures(self.data, generator.image_size[0], self.hold_out))
        ranking = None if given else self._ranking(generator, measure)
        curve = self._curve(generator, given or ranking.top(MOST), measure)
        found = measure_repair(
            generator,
            self._measured(curve),
            measure,
            self.seed,
            to=self.to,
            num_sets=5,
            num_controls=3,
            segmenter=segmenter,
        )
        report = write_repair_report(self.out, generator, curve, found, ranking)
        fixed = repair(generator, found.units, self.to)
        generators.save(fixed, self.out / REPAIRED, {"repaired": generator.name, "units": list(found.units.units)})
        for result in (curve, found, *([] if ranking is None else [ranking])):
            result.save(self.out)
        self._print(found, report)

    def _given(self, generator: Generator) -> UnitSet | None:
        """Return the units that were picked by hand, if any were.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If layer, units and recipe do not go together, or the recipe does more than ablate units.
        """
        if self.recipe is not None:
            if self.units or self.layer is not None:
                raise ValueError("a recipe has its own layer and units; give either --recipe, or --layer and --units")
            return _ablated(Recipe.load(self.recipe), generator)
        if self.units and self.layer is None:
            raise ValueError("units are of one layer; name it with --layer")
        if self.layer is not None:
            lookup(generator.layers, self.layer, "layer")
        return UnitSet(str(self.layer), self.units) if self.units else None

    def _ranking(self, generator: Generator, measure: Yardstick) -> ArtifactRanking:
        """Return the ranking of the layer, or of the one whose worst units help most when they are switched off."""
        layers = [self.layer] if self.layer else list(generator.layers)
        rankings = rank_artifact_layers(generator, layers, measure, self.num_samples, self.seed, method=self.method)
        if len(rankings) == 1:
            return rankings[0]

        def change(ranking: ArtifactRanking) -> float:
            few = ranking.top(min(TRIED, max(1, generator.layers[ranking.layer].units // 4)))
            curve = choose_num_units(
                generator,
                few,
                measure,
                (len(few),),
                self.seed,
                to=self.to,
                num_images=self.num_images,
                num_sets=2,
                num_controls=1,
            )
            return curve.change(1).mean

        return min(rankings, key=change)

    def _curve(self, generator: Generator, units: UnitSet, measure: Yardstick) -> RepairCurve:
        settings: dict[str, Any] = {"num_images": self.num_images, "num_sets": 4, "num_controls": 2}
        return choose_num_units(generator, units, measure, (*COUNTS, len(units)), self.seed, to=self.to, **settings)

    def _measured(self, curve: RepairCurve) -> UnitSet:
        """Return the units chosen; where none is, the number with the least distance, to show what it does."""
        if curve.num_units:
            return curve.units
        means = curve.distance[1:].mean(dim=1)
        return curve.ranked.top(curve.counts[1 + int(means.argmin())])

    def _print(self, found: Repair, report: Path) -> None:
        if self.json:
            print(json.dumps({"helps": found.helps, "figures": found.records(), "report": str(report)}))
        else:
            print(f"{found}\nreport: {report}\nrepaired generator: {self.out / REPAIRED}")


def _ablated(recipe: Recipe, generator: Generator) -> UnitSet:
    """Return the units that a recipe switches off."""
    recipe.check_generator(generator)
    layers = {edit.units.layer for edit in recipe.edits}
    units = dict.fromkeys(unit for edit in recipe.edits for unit in edit.units.units)
    if not all(map(_switches_off, recipe.edits)) or len(layers) != 1 or not units:
        raise ValueError("the recipe does something else than to switch units of one layer off everywhere")
    return UnitSet(layers.pop(), tuple(units))


def _switches_off(edit: Edit) -> bool:
    """Say whether an edit puts its units at 0 everywhere."""
    one = torch.ones(1, len(edit.units), 1, 1)
    return edit.region is None and not bool(edit.target(one).any())
