"""The report of a dissection: one page that opens from disk, with its numbers as JSON and CSV."""

from __future__ import annotations

import json
from pathlib import Path

from ...core.types import categories, check_type
from ...dissection.label_comparison import LabelComparison, compare_labels
from ...dissection.results import ENOUGH_SAMPLES, MIN_IOU, Dissection, count_units_by_concept
from ...stats.significance import FALSE_DISCOVERY_RATE
from ...storage.files import read_json, write_text
from ...storage.outputs import output_folder
from ..pages import render, shorten_name
from .calls import command_line, python_call
from .charts import curve_ticks, group_by_category
from .sidecars import as_csv, as_json, without_circumstances
from .views import concept_rows, layer_parts, pick_highlights

PAGE, TABLE, NUMBERS = "report.html", "units.csv", "dissection.json"
REPORT_FILES = (PAGE, TABLE, NUMBERS)
"""Names of the files that `write_report` writes."""


def write_report(
    folder: Path | str,
    dissection: Dissection,
    *,
    inputs: Dissection | None = None,
    min_iou: float = MIN_IOU,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``report.html``, ``units.csv`` and ``dissection.json``.

    The page is one file that refers to no other. All three files appear when all are complete; until then an earlier
    report is left untouched. An earlier report of the same dissection is replaced, which loses nothing.

    Args:
        folder: Folder of the report; created if missing.
        dissection: Dissection to report.
        inputs: Dissection of the same translator with ``labels="input"``, whose IoU is shown beside that with the
            outputs; see `compare_labels`.
        min_iou: Minimum IoU of a match, 0 to 1.
        title: Title of the page; by default it names the generator.
        overwrite: Replace the report of another dissection.

    Returns:
        Path of ``report.html``.

    Raises:
        FileExistsError: If the folder contains the report of another dissection.
        ValueError: If ``min_iou`` is out of range, ``folder`` is a file, the dissection has no layers, a number is not
            finite, or ``inputs`` differs from the dissection in more than the labels.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> from tempfile import TemporaryDirectory
        >>> D = gandissect.dissect(G, S, num_samples=100, progress=False)
        >>> with TemporaryDirectory() as folder:
        ...     gandissect.write_report(folder, D).name
        'report.html'
    """
    check_type("folder", folder, (str, Path))
    check_type("dissection", dissection, Dissection, "pass what dissect or Dissection.load returns")
    folder = Path(folder)
    if not 0 <= min_iou <= 1:
        raise ValueError(f"min_iou must be in [0, 1]; got {min_iou}")
    if not len(dissection):
        raise ValueError("the dissection has no layers, so there is nothing to report; dissect at least one layer")
    name = shorten_name(dissection.provenance.generator.name)
    comparison = None if inputs is None else compare_labels(dissection, inputs, min_iou)
    numbers = as_json(dissection, min_iou, comparison)
    again = overwrite or _is_report_of(folder / NUMBERS, numbers)
    with output_folder(folder, REPORT_FILES, overwrite=again) as staged:
        write_text(staged / PAGE, _page(dissection, comparison, min_iou, title or f"Dissection of {name}"))
        write_text(staged / TABLE, as_csv(dissection, comparison))
        write_text(staged / NUMBERS, numbers)
    return folder / PAGE


def _is_report_of(path: Path, numbers: str) -> bool:
    """Return whether an earlier report's numbers come from the same dissection."""
    try:
        earlier, new = (without_circumstances(entries) for entries in (read_json(path), json.loads(numbers)))
    except (FileNotFoundError, ValueError):
        return False
    return bool(earlier == new)


def _page(dissection: Dissection, comparison: LabelComparison | None, min_iou: float, title: str) -> str:
    """Render the page."""
    matches = [match for layer in dissection for match in layer.matches]
    totals = group_by_category(count_units_by_concept(matches, min_iou), dissection.concepts)
    layers = layer_parts(dissection, min_iou, list(totals), comparison)
    rows = concept_rows(dissection, totals, min_iou)
    return render(
        "dissection",
        title=title,
        min_iou=min_iou,
        provenance=dissection.provenance,
        num_units=len(matches),
        num_matches=sum(totals.values()),
        num_concepts=len(dissection.concepts),
        enough_samples=ENOUGH_SAMPLES,
        discovery_rate=FALSE_DISCOVERY_RATE,
        highlights=pick_highlights(layers, rows),
        comparison=comparison,
        layers=layers,
        sections=sorted(layers, key=lambda layer: -layer.num_matches),
        categories=categories(dissection.concepts),
        ticks=curve_ticks(),
        concepts=rows,
        missing=[concept.name for concept in dissection.concepts if concept.name not in totals],
        num_pictures=max(len(card.samples) for layer in layers for card in layer.cards),
        num_unpictured=sum(not card.picture for layer in layers for card in layer.cards),
        has_curves=any(layer.curves is not None for layer in dissection),
        has_chance=any(match.null_iou is not None for match in matches),
        has_interval=any(match.iou_ci is not None for match in matches),
        python=python_call(dissection, min_iou),
        command=command_line(dissection, min_iou),
    )
