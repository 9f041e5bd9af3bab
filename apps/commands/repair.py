"""``gandissect repair``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro

import generators
import segmenters
from gandissect import FoundRepair, Generator, Recipe, UnitSet, find_repair, write_repair_report
from gandissect.artifacts import ArtifactRanking, ForcedTo, RankingMethod, Repair, RepairCurve
from gandissect.artifacts.steps import RepairSteps
from gandissect.core import lookup
from gandissect.interventions import Edit
from gandissect.report import REPAIR_REPORT_FILES
from gandissect.storage import check_folder, lock_folder, output_folder
from generators import LayeredGenerator
from segmenters.datasets import check_output

from ..networks import Model, load_generator, load_segmenter
from ..real_pictures import open_with_held_out

REPAIRED = "repaired.safetensors"
RESULTS = (RepairCurve.FILE_NAME, Repair.FILE_NAME, ArtifactRanking.FILE_NAME)
FILES = (*REPAIR_REPORT_FILES, REPAIRED, *RESULTS)
"""What is written."""

QUICK: dict[str, Any] = {
    "method": "distance",
    "num_samples": 640,
    "num_images": 64,
    "num_sets": 2,
    "num_real": 1_000,
    "num_held_out": 128,
}
"""What --quick stands for; 640 images are as many as the features of 128 held-out pictures need."""


@dataclass(frozen=True)
class Options:
    """Find the units behind unrealistic pictures, switch them off, and report what that changes.

    Units are ranked and their number is chosen on other images, and against other real pictures, than the report is of.
    If it does not help, the report says so. Stopped at any moment, the same command continues after the last step that
    was finished.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        data: The pictures that the generator learned from, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT.
        out: Folder for the report (report.html, report.pdf, repair.json), the recipe (recipe.json), the results and the
            repaired generator (repaired.safetensors).
        segmenter: Whose encoder's features are compared; by default the segmenter made for such pictures.
        layer: The layer; by default the one of which the 10 worst units help most when they are switched off.
        units: Their numbers, worst first, if they are known; then the layer must be named, and nothing is ranked.
        recipe: A recipe that switches units of one layer off everywhere: its units, instead of --layer and --units.
        force_to: What the units are forced to, zero or mean.
        method: What units are ranked by: effect, the default (what ablating each unit alone changes of the distance; it
            takes minutes), distance (how far from real ones the images are that activate a unit most), or realism (of
            single images). The last two are quick, and tell what goes along with bad images, not what makes them.
        hold_out: Share of each folder without @SPLIT that was kept to judge by.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        quick: Look at fewer pictures and images, and rank by distance, for a first impression; numbers that are given
            count all the same.
        num_samples: Images to rank units with; by default 3,000, and 640 with --quick.
        num_images: Images in each of 4 sets, to choose the number of units with; by default 256, and 64 with --quick.
        num_sets: Sets of images to measure the repair with, each as large as the held-out pictures are many; by default
            5, and 2 with --quick.
        num_real: Pictures to learn from that are looked at, at most; by default 10,000, and 1,000 with --quick.
        num_held_out: Held-out pictures that are looked at, at most; by default 1,000, and 128 with --quick.
        seed: Of all images.
        overwrite: Replace the results of an earlier run in the folder, or the steps of another one that was stopped.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    RESUMES: ClassVar = True

    generator: Model
    data: tuple[str, ...]
    out: Path
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    recipe: Path | None = None
    force_to: Annotated[ForcedTo, tyro.conf.arg(aliases=["--to"])] = "zero"
    method: RankingMethod | None = None
    hold_out: float = 0.05
    skip_broken: bool = False
    quick: bool = False
    num_samples: int | None = None
    num_images: int | None = None
    num_sets: int | None = None
    num_real: int | None = None
    num_held_out: int | None = None
    seed: int = 0
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Find the repair, write the report, and print the verdict and where everything is."""
        check_folder(self.out)
        with lock_folder(self.out):
            with output_folder(self.out, FILES, overwrite=self.overwrite) as staged:
                result = self._find(staged)
            (self.out / RepairSteps.FILE_NAME).unlink(missing_ok=True)
        self._print(result)

    def _find(self, folder: Path) -> FoundRepair[LayeredGenerator]:
        """Write everything and return the repair."""
        generator = load_generator(self.generator, self.device)
        units = self._pick_units(generator)
        check_output(self.out, self.data)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        train, held_out = open_with_held_out(
            self.data, generator.image_size[0], self.hold_out, skip_broken=self.skip_broken
        )
        result = find_repair(
            generator,
            train,
            segmenter,
            held_out=held_out,
            layers=self.layer,
            units=units,
            force_to=self.force_to,
            seed=self.seed,
            folder=self.out,
            overwrite=self.overwrite,
            **self._choose_sizes(),
        )
        write_repair_report(folder, generator, result.curve, result.repair, result.ranking)
        facts = {"repaired": generator.name, "units": list(result.units.units)}
        generators.save(result.generator, folder / REPAIRED, facts)
        for part in filter(None, (result.curve, result.repair, result.ranking)):
            part.save(folder)
        return result

    def _choose_sizes(self) -> dict[str, Any]:
        """Return the ranking's method and the numbers of images that are given, or that --quick stands for."""
        given = {name: getattr(self, name) for name in QUICK}
        return (QUICK if self.quick else {}) | {name: value for name, value in given.items() if value is not None}

    def _pick_units(self, generator: Generator) -> UnitSet | None:
        """Return the units that were picked by hand, if any were.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If layer, units and recipe do not go together, or the recipe does more than ablate units.
        """
        if self.recipe is not None:
            if self.units or self.layer is not None:
                raise ValueError("a recipe has its own layer and units; give either --recipe, or --layer and --units")
            return _ablated_units(Recipe.load(self.recipe), generator)
        if self.units and self.layer is None:
            raise ValueError("units are of one layer; name it with --layer")
        if self.layer is not None:
            lookup(generator.layers, self.layer, "layer")
        return UnitSet(str(self.layer), self.units) if self.units else None

    def _print(self, result: FoundRepair[LayeredGenerator]) -> None:
        report = self.out / REPAIR_REPORT_FILES[0]
        if self.json:
            print(json.dumps({"helps": result.helps, "figures": result.repair.records(), "report": str(report)}))
        else:
            print(f"{result}\nreport: {report}\nrepaired generator: {self.out / REPAIRED}")


def _ablated_units(recipe: Recipe, generator: Generator) -> UnitSet:
    """Return the units that a recipe switches off."""
    recipe.check_generator(generator)
    layers = {edit.units.layer for edit in recipe.edits}
    units = dict.fromkeys(unit for edit in recipe.edits for unit in edit.units.units)
    if not all(map(_switches_off, recipe.edits)) or len(layers) != 1 or not units:
        raise ValueError("the recipe does something else than to switch units of one layer off everywhere")
    return UnitSet(layers.pop(), tuple(units))


def _switches_off(edit: Edit) -> bool:
    """Say whether an edit puts its units at 0 everywhere."""
    one = torch.ones(1, len(edit.units), 1, 1, dtype=torch.float32, device="cpu")
    return edit.region is None and not bool(edit.target(one).any())
