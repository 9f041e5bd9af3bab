"""The report of a repair: one page that opens from disk, the same as a PDF, its numbers as JSON, and the recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...artifacts.repair import compute_forced_values
from ...artifacts.results import ArtifactRanking, Repair, RepairCurve
from ...core.protocols import Generator
from ...interventions.edits import Insertion
from ...interventions.recipe import Recipe
from ...storage.files import atomic_path
from ..pages import render, shorten_name
from .pdf import Document
from .pictures import NUM_RANDOM, RepairPictures
from .tables import draw_curve, figure_rows, limits, png, share_rows, verdict

PAGE, DOCUMENT, NUMBERS, RECIPE = "report.html", "report.pdf", "repair.json", "recipe.json"


def write_repair_report(
    folder: Path | str,
    generator: Generator,
    curve: RepairCurve,
    repair: Repair,
    ranking: ArtifactRanking | None = None,
    *,
    title: str | None = None,
) -> Path:
    """Write ``report.html``, ``report.pdf``, ``repair.json`` and ``recipe.json``.

    The page is one file that refers to no other. Pictures are made by the generator from the seeds in the results: the
    first ones of the measurement, not chosen ones, and the worst and the best by realism.

    Args:
        folder: Made if missing.
        generator: The one that was repaired, as it was before.
        curve: How many units were chosen.
        repair: What was measured.
        ranking: How units were ranked; None for a list of one's own.
        title: Of the page; by default it names the generator.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: If the results are of another generator, or of different units.
    """
    folder = Path(folder)
    _check_results(generator, curve, repair, ranking)
    values = compute_forced_values(generator, repair.units, repair.force_to)
    edit = Insertion(repair.units, values)
    pictures = RepairPictures(generator, edit, repair, ranking)
    heading = title or f"Repair of {shorten_name(generator.name)}"
    strips, units = pictures.strips(), pictures.units()
    figure = draw_curve(curve, len(repair.units))
    numbers = _numbers(curve, repair, ranking, values)
    page = render(
        "repair",
        title=heading,
        verdict=verdict(repair),
        helps=repair.helps,
        choice=str(curve),
        limits=limits(repair, ranking),
        rows=figure_rows(repair),
        concept_rows=share_rows(repair),
        strips=strips,
        units=units,
        curve=png(figure),
        repair=repair,
        ranking=ranking,
        numbers=json.dumps(numbers, allow_nan=False).replace("<", "\\u003c"),
    )
    with ExitStack() as files:
        files.enter_context(atomic_path(folder / PAGE)).write_text(page, encoding="utf-8")
        document = Document(heading, repair, curve, ranking, strips, units)
        document.write(files.enter_context(atomic_path(folder / DOCUMENT)))
        text = json.dumps(numbers, indent=1, allow_nan=False) + "\n"
        files.enter_context(atomic_path(folder / NUMBERS)).write_text(text, encoding="utf-8")
    Recipe.of(generator, [edit], repair.sample_seed, num_samples=NUM_RANDOM).save(folder / RECIPE)
    return folder / PAGE


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
