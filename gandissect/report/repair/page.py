"""The report of a repair: one page that opens from disk, the same as a PDF, its numbers as JSON, and the recipe."""

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
from .pdf import Document
from .pictures import NUM_RANDOM, RepairPictures
from .tables import draw_curve, figure_rows, limits, png, share_rows, verdict

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
    overwrite: bool = False,
) -> Path:
    """Write ``report.html``, ``report.pdf``, ``repair.json`` and ``recipe.json``.

    The page is one file that refers to no other. Pictures are made by the generator from the seeds in the results: the
    first ones of the measurement, not chosen ones, and the worst and the best by realism. An earlier report of the same
    results is replaced, since nothing of it is lost.

    Args:
        folder: Made if missing.
        generator: The one that was repaired, as it was before.
        curve: How many units were chosen.
        repair: What was measured.
        ranking: How units were ranked; None for a list of one's own.
        title: Of the page; by default it names the generator.
        overwrite: Replace the report of other results, too.

    Returns:
        The path of ``report.html``.

    Raises:
        FileExistsError: If the folder holds the report of other results.
        ValueError: If the results are of another generator, or of different units.
    """
    check_type("folder", folder, (str, Path))
    check_type("curve", curve, RepairCurve, "give what choose_num_units or RepairCurve.load returns")
    check_type("repair", repair, Repair, "give what measure_repair or Repair.load returns")
    folder = Path(folder)
    _check_results(generator, curve, repair, ranking)
    values = compute_forced_values(generator, repair.units, repair.force_to)
    edit = Insertion(repair.units, values)
    numbers = json.dumps(_numbers(curve, repair, ranking, values), indent=1, allow_nan=False) + "\n"
    heading = title or f"Repair of {shorten_name(generator.name)}"
    again = overwrite or _is_report_of(folder / NUMBERS, numbers)
    with output_folder(folder, REPAIR_REPORT_FILES, overwrite=again) as staged:
        pictures = RepairPictures(generator, edit, repair, ranking)
        document = Document(heading, repair, curve, ranking, pictures.strips(), pictures.units())
        write_text(staged / PAGE, _page(document, numbers))
        document.write(staged / DOCUMENT)
        write_text(staged / NUMBERS, numbers)
        Recipe.of(generator, [edit], repair.sample_seed, num_samples=NUM_RANDOM).save(staged / RECIPE)
    return folder / PAGE


def _is_report_of(path: Path, numbers: str) -> bool:
    """Return whether the numbers of an earlier report are the same."""
    try:
        return bool(read_json(path) == json.loads(numbers))
    except (FileNotFoundError, ValueError):
        return False


def _page(document: Document, numbers: str) -> str:
    """Return the page."""
    repair, curve, ranking = document.repair, document.curve, document.ranking
    return render(
        "repair",
        title=document.title,
        verdict=verdict(repair),
        helps=repair.helps,
        choice=str(curve),
        limits=limits(repair, ranking),
        rows=figure_rows(repair),
        concept_rows=share_rows(repair),
        strips=document.strips,
        units=document.units,
        curve=png(draw_curve(curve, len(repair.units))),
        repair=repair,
        ranking=ranking,
        numbers=json.dumps(json.loads(numbers), allow_nan=False).replace("<", "\\u003c"),
    )


def _check_results(generator: Generator, curve: RepairCurve, repair: Repair, ranking: ArtifactRanking | None) -> None:
    """Raise ValueError if the results do not belong together."""
    results: list[ArtifactRanking | Repair | RepairCurve] = [curve, repair]
    for result in results if ranking is None else [*results, ranking]:
        result.generator.check(generator, f"the {type(result).__name__}")
    layers = {repair.units.layer, curve.ranked.layer} | ({ranking.layer} if ranking else set())
    if len(layers) > 1 or not set(repair.units.units) <= set(curve.ranked.units):
        raise ValueError("the units measured are not among those of the curve; measure those that it ranks")


def _numbers(
    curve: RepairCurve, repair: Repair, ranking: ArtifactRanking | None, values: Sequence[float]
) -> dict[str, Any]:
    """Return everything as plain values."""
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
