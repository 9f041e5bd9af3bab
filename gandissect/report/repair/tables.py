"""Sentences and tables of a repair's report, formatted once for the page and the PDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import FIGURES, SETS_TO_TELL, Repair, RepairCurve
from ...core.environment import PACKAGE, installed_versions
from ...stats.intervals import Estimate

MIN_DECIMALS, MAX_DECIMALS = 2, 6
"""Range of the number of decimals in a table."""

FIXED, SCIENTIFIC = ".2f", ".2e"
"""Format of numbers in sentences, and of tables with a number of `LARGE` or more."""

LARGE = 1e6

MAX_CHANGE_DECIMALS = 4
"""Maximum number of decimals with which changes are shown."""

TITLES = {
    "distance": ("Fréchet distance", "lower is better"),
    "kernel_distance": ("Kernel distance", "lower is better"),
    "precision": ("Precision", "share of generated images close to real pictures"),
    "recall": ("Recall", "share of real pictures close to generated images"),
    "density": ("Density", "how densely images fill the neighborhoods of real pictures"),
    "coverage": ("Coverage", "share of these neighborhoods that contain an image"),
    "nearest_ratio": ("Nearest ratio", "distance to training pictures over distance to held-out pictures"),
    "worst_realism": ("Realism of the worst 5%", "higher is better"),
}
"""Title and hint of each of the `FIGURES`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of formatted cells.

    Args:
        heads: Headings of the columns.
        rows: Rows of the table; each has one cell fewer than there are headings, since the title is not a cell.
    """

    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Args:
        title: Name of what the row is about.
        hint: How to read the row; may be empty.
        cells: Formatted numbers.
    """

    title: str
    hint: str
    cells: tuple[str, ...]


def conclude(repair: Repair) -> str:
    """Return the verdict as one sentence."""
    if repair.verdict == "inconclusive":
        if repair.num_sets < SETS_TO_TELL:
            return (
                f"{repair.num_sets} sets of images are too few to tell whether the repair helps; use at least "
                f"{SETS_TO_TELL} (num_sets, --num-sets)."
            )
        return f"The repair makes no difference that {repair.num_sets} sets of images can show."
    return {
        "helps": "The repair helps.",
        "as_random": "The repair helps no more than random units do.",
        "harms": "The repair harms: it moves the images away from real pictures.",
    }[repair.verdict]


def describe_effect(repair: Repair) -> str:
    """Return the change of the Fréchet distance as one sentence."""
    change, others = repair.change("distance"), repair.control_changes("distance")
    before, after = (float(table[:, 0].mean()) for table in (repair.before, repair.after))
    action = describe_action(repair)
    number_format = choose_change_format([(change.low, change.high)])
    return (
        f"With {count_units(len(repair.units))} of {repair.units.layer} {action}, the Fréchet distance to held-out "
        f"pictures changes from {format_number(before)} to {format_number(after)} "
        f"({format_signed(change.mean, number_format)}, 95% interval "
        f"{format_range(change.low, change.high, number_format)}); with the same number of random units, it changes by "
        f"{format_range(min(others), max(others), number_format)}."
    )


def describe_action(result: Repair | RepairCurve) -> str:
    """Return what is done to the units."""
    return "switched off" if result.force_to == "zero" else "held at their means"


def verdict(repair: Repair) -> str:
    """Return the verdict and the change of the Fréchet distance in two sentences."""
    return f"{conclude(repair)} {describe_effect(repair)}"


def describe_choice(curve: RepairCurve, repair: Repair) -> str:
    """Return how many units were chosen and why, and how many were measured."""
    counts, measured = ", ".join(map(str, curve.counts[1:])), len(repair.units)
    if not curve.num_units:
        return (
            f"No number of units was chosen: of the numbers tried ({counts}), none lowers the distance with a 95% "
            "interval below 0 and by more than every draw of random units. This report shows the effect of "
            f"{count_units(measured)}; it does not recommend switching them off."
        )
    change = curve.change(curve.counts.index(curve.num_units))
    before = Estimate.of(curve.distance[0].tolist())
    number_format = choose_change_format([(change.low, change.high)])
    choice = (
        f"{count_units(curve.num_units)} {'was' if curve.num_units == 1 else 'were'} chosen: of the numbers tried "
        f"({counts}), the smallest whose change is within one standard error of the best. It changed the distance by "
        f"{format_signed(change.mean, number_format)} ({format_range(change.low, change.high, number_format)}) from "
        f"{format_number(before.mean)}, on {curve.distance.shape[1]} sets of {curve.num_images} images used only "
        f"for this choice; between real pictures, the distance is {format_number(curve.floor.mean)}."
    )
    return choice if measured == curve.num_units else f"{choice} This report measures {count_units(measured)}."


def describe_limits(repair: Repair, ranking: ArtifactRanking | None) -> str:
    """Return what the figures do not show."""
    source = (
        "The units were ranked without labels: an image may be far from real pictures for reasons that no one would "
        "call an artifact."
        if ranking
        else "The units were chosen by hand."
    )
    return (
        f"All distances are computed on features of {repair.network}: they can be compared with each other and with "
        "“real”, not with published FIDs, and they depend on the number of pictures. All sets are compared with the "
        "same held-out pictures, so the intervals do not cover the choice of these pictures. A lower distance may come "
        f"at the expense of variety: check recall and coverage. {source}"
    )


def list_settings(repair: Repair, ranking: ArtifactRanking | None, command: str | None) -> list[tuple[str, str]]:
    """Return names and values of everything that is needed to repeat the measurement."""
    forced = "0" if repair.force_to == "zero" else "their means"
    units = ", ".join(map(str, repair.units.units))
    settings = [
        ("Generator", f"{repair.generator.name}, fingerprint {repair.generator.fingerprint}"),
        (f"Units of {repair.units.layer}", f"{units}; forced to {forced}"),
        ("Measured on", f"{repair.num_sets} sets of {repair.num_images:,} images, seed {repair.seed}"),
    ]
    if ranking is not None:
        ranked = (
            f"{ranking.num_samples:,} images, seed {ranking.seed}, the top {ranking.num_top:,} of each unit, compared "
            f"with {ranking.num_real:,} real pictures; by {ranking.method}"
        )
        settings.append(("Ranked on", ranked))
    if command is not None:
        settings.append(("Command", command))
    return [*settings, ("Versions", ", ".join(f"{name} {version}" for name, version in installed_versions().items()))]


def made_by() -> str:
    """Return the name and version of this package."""
    return f"{PACKAGE} {installed_versions()[PACKAGE]}"


def tabulate_figures(repair: Repair) -> Table:
    """Return the table of figures before and after the repair."""
    records = repair.records()
    number_format = choose_format(record[name] for record in records for name in ("before", "after"))
    change_format = _choose_table_format(records, number_format)
    heads = ("Figure", "Before", "After", "Change", "95% interval", "Random units", "Real")
    rows = (
        TableRow(
            *TITLES[name],
            (
                format_number(record["before"], number_format),
                format_number(record["after"], number_format),
                *_format_change(record, change_format),
                format_number(record["real"], number_format),
            ),
        )
        for name, record in zip(FIGURES, records, strict=True)
    )
    return Table(heads, tuple(rows))


def tabulate_concepts(repair: Repair) -> Table | None:
    """Return the table of concepts, in percent of the pixels, largest change first.

    Concepts that are nowhere, before and after, are left out. None without a segmenter.
    """
    if repair.concepts is None:
        return None
    records = [
        {key: value if key == "concept" else 100 * value for key, value in record.items()}
        for record in repair.concepts.records()
        if record["before"] or record["change"]
    ]
    records.sort(key=lambda record: -abs(record["change"]))
    number_format = choose_format(record["before"] for record in records)
    change_format = _choose_table_format(records, number_format)
    rows = (
        TableRow(
            record["concept"],
            "",
            (format_number(record["before"], number_format), *_format_change(record, change_format)),
        )
        for record in records
    )
    return Table(("Concept", "Before, %", "Change", "95% interval", "Random units"), tuple(rows))


def count_units(count: int) -> str:
    """Return a number of units with its noun."""
    return f"{count:,} unit{'' if count == 1 else 's'}"


def choose_format(values: Iterable[float]) -> str:
    """Return the format of a table's numbers, with which every value has two significant digits, within limits."""
    sizes = [abs(value) for value in values]
    if max(sizes, default=0) >= LARGE:
        return SCIENTIFIC
    digits = [1 - math.floor(math.log10(size)) for size in sizes if size > 10.0**-MAX_DECIMALS]
    return f".{min(max([MIN_DECIMALS, *digits]), MAX_DECIMALS)}f"


def choose_change_format(ranges: Iterable[tuple[float, float]], least: str = FIXED) -> str:
    """Return the format of changes, with which the ends of every interval differ, within limits.

    Args:
        ranges: Lower and upper end of each interval.
        least: Format with the minimum number of decimals.
    """
    if least == SCIENTIFIC:
        return least
    digits = [-math.floor(math.log10(high - low)) for low, high in ranges if high - low > 10.0**-MAX_DECIMALS]
    return f".{max(int(least[1:-1]), min(max(digits, default=0), MAX_CHANGE_DECIMALS))}f"


def _choose_table_format(records: Sequence[dict[str, float]], least: str) -> str:
    """Return the format of a table's changes."""
    return choose_change_format(((record["change_low"], record["change_high"]) for record in records), least)


def format_number(value: float, number_format: str = FIXED) -> str:
    """Return a number with a true minus sign; what rounds to 0 has no sign."""
    text = f"{value:{number_format}}"
    return (text if float(text) else f"{0:{number_format}}").replace("-", "\N{MINUS SIGN}")


def format_signed(value: float, number_format: str = FIXED) -> str:
    """Return a difference with its sign; what rounds to 0 has none."""
    text = format_number(value, number_format)
    return text if value <= 0 or not float(f"{value:{number_format}}") else f"+{text}"


def format_range(low: float, high: float, number_format: str = FIXED) -> str:
    """Return a range of differences."""
    return f"{format_signed(low, number_format)} to {format_signed(high, number_format)}"


def _format_change(record: dict[str, float], number_format: str) -> Sequence[str]:
    """Return a record's change, its interval, and the range of random units."""
    return (
        format_signed(record["change"], number_format),
        format_range(record["change_low"], record["change_high"], number_format),
        format_range(record["control_change_min"], record["control_change_max"], number_format),
    )
