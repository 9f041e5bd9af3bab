"""The report of a dissection: one page that opens from disk, and its numbers as JSON and CSV beside it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ...core.types import categories
from ...dissection.results import MIN_IOU, Dissection, count_units_by_concept
from ...storage.files import atomic_path
from ..pages import render, shorten_name
from .calls import command_line, python_call
from .charts import curve_ticks, group_by_category
from .sidecars import as_csv, as_json
from .views import concept_rows, layer_parts

PAGE, TABLE, NUMBERS = "report.html", "units.csv", "dissection.json"


def write_report(
    folder: Path | str, dissection: Dissection, *, min_iou: float = MIN_IOU, title: str | None = None
) -> Path:
    """Write ``report.html``, ``units.csv`` and ``dissection.json``.

    The page is one file that refers to no other. All three appear once all of them are complete; until then an
    earlier report stays as it is.

    Args:
        folder: Made if missing.
        dissection: What to report.
        min_iou: The IoU from which a unit counts as matching a concept, 0 to 1.
        title: Of the page; by default it names the generator.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: If ``min_iou`` is out of range, ``folder`` is a file, nothing was dissected, or a number is not
            finite.
    """
    folder = Path(folder)
    if not 0 <= min_iou <= 1:
        raise ValueError(f"min_iou is between 0 and 1; got {min_iou}")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the report")
    if not len(dissection):
        raise ValueError("the dissection has no layers; there is nothing to report")
    name = shorten_name(dissection.provenance.generator.name)
    texts = {
        PAGE: _page(dissection, min_iou, title or f"Dissection of {name}"),
        TABLE: as_csv(dissection),
        NUMBERS: as_json(dissection, min_iou),
    }
    with ExitStack() as files:
        for file_name, text in texts.items():
            files.enter_context(atomic_path(folder / file_name)).write_text(text, encoding="utf-8")
    return folder / PAGE


def _page(dissection: Dissection, min_iou: float, title: str) -> str:
    """Return the page."""
    matches = [match for layer in dissection for match in layer.matches]
    totals = group_by_category(count_units_by_concept(matches, min_iou), dissection.concepts)
    layers = layer_parts(dissection, min_iou, list(totals))
    return render(
        "dissection",
        title=title,
        min_iou=min_iou,
        provenance=dissection.provenance,
        num_units=len(matches),
        num_matches=sum(totals.values()),
        num_concepts=len(dissection.concepts),
        layers=layers,
        categories=categories(dissection.concepts),
        ticks=curve_ticks(),
        concepts=concept_rows(dissection, totals, min_iou),
        missing=[concept.name for concept in dissection.concepts if concept.name not in totals],
        num_pictures=max(len(card.samples) for layer in layers for card in layer.cards),
        num_unpictured=sum(not card.picture for layer in layers for card in layer.cards),
        has_curves=any(layer.curves is not None for layer in dissection),
        has_chance=any(match.null_iou is not None for match in matches),
        has_interval=any(match.iou_ci is not None for match in matches),
        python=python_call(dissection, min_iou),
        command=command_line(dissection, min_iou),
    )
