"""``gandissect repair``."""

from __future__ import annotations

import json
import shlex
from dataclasses import MISSING, dataclass, fields
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
from gandissect.storage import SavedResult, check_folder, lock_folder, output_folder
from generators import LayeredGenerator
from segmenters.datasets import check_output, pick_classes

from ..networks import Model, load_generator, load_segmenter
from ..real_pictures import open_with_held_out

REPAIRED = "repaired.safetensors"
RESULTS = (RepairCurve.FILE_NAME, Repair.FILE_NAME, ArtifactRanking.FILE_NAME)
FILES = (*REPAIR_REPORT_FILES, REPAIRED, *RESULTS)
"""Files that the command writes."""

QUICK: dict[str, Any] = {
    "method": "distance",
    "num_samples": 640,
    "num_images": 64,
    "num_sets": 2,
    "num_real": 1_000,
    "num_held_out": 128,
}
"""Settings of --quick; 640 images are enough for the features of 128 held-out pictures."""


@dataclass(frozen=True)
class Options:
    """Find the units behind unrealistic images, switch them off, and report the change.

    Units are ranked, and their number is chosen, on different images and against different real pictures from those of
    the report. If the repair does not help, the report states this. Rerun the command to resume an interrupted repair
    after its last finished step.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        data: Training pictures of the generator, one or more of scenes, scenes:COUNT, FOLDER, or FOLDER@SPLIT.
        out: Folder for the report (report.html, report.pdf, repair.json), the recipe (recipe.json), the results and the
            repaired generator (repaired.safetensors).
        segmenter: Segmenter whose encoder's features are compared; by default the bundled one for the generator's kind
            of images.
        layer: Layer of the units; by default the one where switching off the 10 worst units helps most.
        units: Indices of the units, worst first, if they are already known; needs --layer, and skips the ranking.
        recipe: Recipe that switches off units of one layer everywhere, to use its units instead of --layer and --units.
        force_to: Value that the units are forced to: zero, or their mean.
        method: Criterion that ranks the units: effect (the change of the distance when a unit alone is ablated; takes
            minutes), distance (of the images that activate a unit most from real pictures), or realism (of single
            images); by default effect. The last two are quick, but correlational rather than causal.
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        classes: Names of the classes to repair, for a generator with classes; by default all of them. Samples are drawn
            from these classes, and compared with the pictures of these classes.
        hold_out: Share of each folder without @SPLIT that was held out from training.
        skip_broken: Skip unusable pictures, with a warning that names them.
        quick: Use fewer pictures and images, and rank by distance, for a first impression; options given explicitly
            still apply.
        num_samples: Number of images to rank units on; by default 3,000, or 640 with --quick.
        num_images: Number of images in each of the 4 sets that determine the number of units; by default 256, or 64
            with --quick.
        num_sets: Number of sets of images to measure the repair on, each as large as the held-out set; by default five,
            or two with --quick.
        num_real: Maximum number of training pictures to use; by default 10,000, or 1,000 with --quick.
        num_held_out: Maximum number of held-out pictures to use; by default 1,000, or 128 with --quick.
        seed: Seed of all generated images.
        overwrite: Replace the results of an earlier run in the folder, or the steps of an interrupted one.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    RESUMES: ClassVar = True

    generator: Model
    data: tuple[str, ...]
    out: Path
    segmenter: str | None = None
    layer: str | None = None
    units: tuple[int, ...] = ()
    recipe: Path | None = None
    force_to: Annotated[ForcedTo, tyro.conf.arg(name="to", aliases=["--force-to"])] = "zero"  # aliases are shown first
    method: RankingMethod | None = None
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
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
        """Find the repair, write the report, and print the verdict and the paths of the report and the generator."""
        check_folder(self.out)
        with lock_folder(self.out):
            with output_folder(self.out, FILES, overwrite=self.overwrite) as staged:
                result = self._find(staged)
            (self.out / RepairSteps.FILE_NAME).unlink(missing_ok=True)
        self._print(result)

    def _find(self, folder: Path) -> FoundRepair[LayeredGenerator]:
        """Write all files, and return the repair."""
        generator = load_generator(self.generator, self.device, self.classes, self.inputs)
        units = self._pick_units(generator)
        check_output(self.out, self.data)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        train, held_out = open_with_held_out(
            self.data, generator.image_size[0], self.hold_out, skip_broken=self.skip_broken
        )
        if self.classes:
            train, held_out = pick_classes(train, self.classes), pick_classes(held_out, self.classes)
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
        write_repair_report(
            folder, generator, result.curve, result.repair, result.ranking, command=self._command_line()
        )
        facts = {"repaired": generator.name, "units": list(result.units.units)}
        generators.save(result.generator, folder / REPAIRED, facts)
        parts: tuple[SavedResult | None, ...] = (result.curve, result.repair, result.ranking)
        for part in filter(None, parts):
            part.save(folder)
        return result

    def _command_line(self) -> str:
        """Return the shell command that reproduces the results."""
        words = ["gandissect", "repair", self.generator]
        for option in fields(self)[1:]:
            value, flag = getattr(self, option.name), f"--{option.name.replace('_', '-')}"
            if option.name in {"json", "overwrite"}:
                continue
            if value is True:
                words.append(flag)
            elif value not in (option.default, False) or option.default is MISSING:
                words += [flag, *map(str, value if isinstance(value, tuple) else (value,))]
        return shlex.join(words)

    def _choose_sizes(self) -> dict[str, Any]:
        """Return the ranking's method and the numbers of images: options given explicitly, else those of --quick."""
        options = {name: getattr(self, name) for name in QUICK}
        return (QUICK if self.quick else {}) | {name: value for name, value in options.items() if value is not None}

    def _pick_units(self, generator: Generator) -> UnitSet | None:
        """Return the units chosen by the user, if any.

        Raises:
            KeyError: If the layer is unknown.
            ValueError: If layer, units and recipe contradict each other, or the recipe does more than ablate units.
        """
        if self.recipe is not None:
            if self.units or self.layer is not None:
                raise ValueError("a recipe has its own layer and units; use either --recipe, or --layer and --units")
            return _ablated_units(Recipe.load(self.recipe), generator)
        if self.units and self.layer is None:
            raise ValueError("--units must belong to one layer; name the layer with --layer")
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
        raise ValueError("the recipe must do nothing but switch off units of one layer everywhere")
    return UnitSet(layers.pop(), tuple(units))


def _switches_off(edit: Edit) -> bool:
    """Return whether an edit sets its units to 0 everywhere."""
    one = torch.ones(1, len(edit.units), 1, 1, dtype=torch.float32, device="cpu")
    return edit.region is None and not bool(edit.target(one).any())
