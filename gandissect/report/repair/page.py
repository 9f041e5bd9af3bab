"""The report of a repair: one page that opens from disk, the same as a PDF, its numbers as JSON, and a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.repair import compute_forced_values
from ...artifacts.results import Repair, RepairCurve
from ...core.protocols import Generator
from ...core.types import check_type
from ...interventions.edits import Insertion
from ...interventions.recipe import Recipe
from ...storage.files import read_json, write_text
from ...storage.outputs import output_folder
from ..pages import render, shorten_name
from .curve import draw_repair_curve, encode_figure
from .pdf import Document
from .pictures import NUM_RANDOM, RepairPictures
from .tables import (
    conclude,
    describe_action,
    describe_choice,
    describe_effect,
    describe_limits,
    list_settings,
    tabulate_concepts,
    tabulate_figures,
    verdict,
)

PAGE, DOCUMENT, NUMBERS, RECIPE = "report.html", "report.pdf", "repair.json", "recipe.json"
REPAIR_REPORT_FILES = (PAGE, DOCUMENT, NUMBERS, RECIPE)
"""Names of the files that `write_repair_report` writes."""


def write_repair_report(
    folder: Path | str,
    generator: Generator,
    curve: RepairCurve,
    repair: Repair,
    ranking: ArtifactRanking | None = None,
    *,
    title: str | None = None,
    command: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``report.html``, ``report.pdf``, ``repair.json`` and ``recipe.json``.

    The page is one file that refers to no other. The generator renders the pictures from the seeds in the results: the
    first images of the measurement, and those with the lowest and highest realism. An earlier report of the same
    results is replaced, which loses nothing.

    Args:
        folder: Folder of the report; created if missing.
        generator: Generator that was repaired, in its original state.
        curve: Distances by number of units, as returned by `choose_num_units`.
        repair: Measurement of the repair, as returned by `measure_repair`.
        ranking: Ranking of the units; None if they were chosen by hand.
        title: Title of the page; by default it names the generator.
        command: Command line that made the results, shown among the settings.
        overwrite: Replace the report of other results.

    Returns:
        Path of ``report.html``.

    Raises:
        FileExistsError: If the folder contains the report of other results.
        ValueError: If the results belong to another generator or to different units.
    """
    check_type("folder", folder, (str, Path))
    check_type("curve", curve, RepairCurve, "pass what choose_num_units or RepairCurve.load returns")
    check_type("repair", repair, Repair, "pass what measure_repair or Repair.load returns")
    folder = Path(folder)
    _check_results(generator, curve, repair, ranking)
    values = compute_forced_values(generator, repair.units, repair.force_to)
    edit = Insertion(repair.units, values)
    numbers = json.dumps(_numbers(curve, repair, ranking, values), indent=1, allow_nan=False) + "\n"
    heading = title or f"Repair of {shorten_name(generator.name)}"
    again = overwrite or _is_report_of(folder / NUMBERS, numbers)
    with output_folder(folder, REPAIR_REPORT_FILES, overwrite=again) as staged:
        pictures = RepairPictures(generator, edit, repair, ranking)
        document = Document(heading, repair, curve, ranking, pictures.strips(), pictures.units(), command)
        write_text(staged / PAGE, _page(document, numbers))
        document.write(staged / DOCUMENT)
        write_text(staged / NUMBERS, numbers)
        Recipe.of(generator, [edit], repair.sample_seed, num_samples=NUM_RANDOM).save(staged / RECIPE)
    return folder / PAGE


def _is_report_of(path: Path, numbers: str) -> bool:
    """Return whether an earlier report has the same numbers."""
    try:
        return bool(read_json(path) == json.loads(numbers))
    except (FileNotFoundError, ValueError):
        return False


def _page(document: Document, numbers: str) -> str:
    """Render the page."""
    repair, curve, ranking = document.repair, document.curve, document.ranking
    concepts = tabulate_concepts(repair)
    return render(
        "repair",
        title=document.title,
        conclusion=conclude(repair),
        effect=describe_effect(repair),
        action=describe_action(repair),
        choice=describe_choice(curve, repair),
        has_choice=curve.num_units > 0,
        limits=describe_limits(repair, ranking),
        figures=tabulate_figures(repair),
        concepts=concepts if concepts and concepts.rows else None,
        strips=document.strips,
        units=document.units,
        curve=encode_figure(draw_repair_curve(curve, len(repair.units))),
        repair=repair,
        ranking=ranking,
        settings=list_settings(repair, ranking, document.command),
        numbers=json.dumps(json.loads(numbers), allow_nan=False).replace("<", "\\u003c"),
    )


def _check_results(generator: Generator, curve: RepairCurve, repair: Repair, ranking: ArtifactRanking | None) -> None:
    """Raise ValueError if the results do not belong together."""
    results: list[ArtifactRanking | Repair | RepairCurve] = [curve, repair]
    for result in results if ranking is None else [*results, ranking]:
        result.generator.check(generator, f"the {type(result).__name__}")
    layers = {repair.units.layer, curve.ranked.layer} | ({ranking.layer} if ranking else set())
    if len(layers) > 1 or not set(repair.units.units) <= set(curve.ranked.units):
        raise ValueError("the measured units must be among the ranked units of the curve; measure units that it ranks")


def _numbers(
    curve: RepairCurve, repair: Repair, ranking: ArtifactRanking | None, values: Sequence[float]
) -> dict[str, Any]:
    """Return all numbers of the report as plain values."""
    return {
        "format": "gandissect.repair",
        "version": 1,
        "generator": repair.generator.name,
        "generator_fingerprint": repair.generator.fingerprint,
        "network": repair.network,
        "layer": repair.units.layer,
        "units": list(repair.units.units),
        "forced_to": list(values),
        "helps": repair.helps,
        "verdict": verdict(repair),
        "num_images": repair.num_images,
        "num_sets": len(repair.before),
        "num_dims": repair.num_dims,
        "seed": repair.seed,
        "figures": repair.records(),
        "concepts": None if repair.concepts is None else repair.concepts.records(),
        "curve": {
            "counts": list(curve.counts),
            "chosen": curve.num_units,
            "distance": curve.distance.tolist(),
            "random_units": curve.control.tolist(),
            "floor": curve.floor.mean,
        },
        "ranking": None if ranking is None else ranking.records(),
    }
