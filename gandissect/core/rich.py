"""Parts of the HTML in which results show themselves in notebooks: tables, bars and pictures.

Every text is escaped, pictures are written into the HTML, and nothing is loaded from elsewhere. Styles are inline and
take their colors from the notebook, so that a light and a dark one are both legible.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from .display import Displayed, count_digits

MAX_ROWS = 12
"""Maximum number of rows of a table; the rest is counted."""

MAX_LINE = 40
"""Maximum number of characters of a cell that is kept on one line."""

MAX_ITEMS = 6
"""Maximum number of entries of a list or mapping within a cell."""

BAR = 160
"""Length of the longest bar, in pixels."""

NEUTRAL = "#8a93a0"
"""Color of a bar that belongs to no concept."""

DIMMING = 0.4
"""Brightness that is left outside a region."""

LINE = "1px solid rgba(128,128,128,.35)"
CELL = "padding:2px 12px 2px 0;border:0;text-align:{align};vertical-align:middle;background:none;white-space:{wrap}"
SOFT = "opacity:.75;font-size:90%"

SPREADS = {"stderr": ("SE", "standard error"), "std": ("SD", "standard deviation over sets")}
"""Suffixes of the columns that belong to the column before them; their sign in headings, and what it means."""

HEADINGS = {
    "num_units": "units",
    "num_concepts": "concepts",
    "taken": "removed",
    "iou": "IoU",
    "null_iou": "IoU by chance",
    "q_value": "q",
    "ace": "ACE",
    "control_ace": "ACE of random units",
    "control": "random units",
    "control_change": "change with random units",
}
"""Headings of columns; those of others are their names, with spaces for underscores."""

ABOUT = ("generator", "segmenter", "network", "seed")
"""Attributes of a result that its page lists."""


def render_result(result: Displayed, parts: Iterable[str]) -> str:
    """Return a result's summary, what produced it, and its parts, one below the other.

    Args:
        result: Result to show.
        parts: HTML of its parts.
    """
    source = getattr(result, "provenance", result)
    about = [(name, getattr(source, name)) for name in ABOUT if getattr(source, name, None) is not None]
    lines = " \N{MIDDLE DOT} ".join(f"{name} {escape(str(getattr(value, 'name', value)))}" for name, value in about)
    head = f"<div><strong>{escape(repr(result))}</strong></div>"
    if lines:
        head += f'<div style="{SOFT}">{lines}</div>'
    return f'<div style="line-height:1.45;overflow-x:auto">{head}{"".join(parts)}</div>'


def draw_records(records: Sequence[Mapping[str, Any]], max_rows: int = MAX_ROWS) -> str:
    """Return a table of records, with intervals and errors in the cell of their figure.

    Args:
        records: Rows with the same keys. ``X_stderr`` or ``X_std`` becomes ``X ± ...``, ``X_low`` and ``X_high`` become
            ``X (... to ...)``, and ``X_min`` and ``X_max`` become ``... to ...``.
        max_rows: Maximum number of rows to show.
    """
    if not records:
        return f'<div style="{SOFT}">no records</div>'
    keys = list(records[0])
    signs = [": ".join(sign) for suffix, sign in SPREADS.items() if any(key.endswith(f"_{suffix}") for key in keys)]
    columns = [key for key in keys if not _belongs_to_another(key, keys)]
    names = [_name_column(key, keys) for key in columns]
    rows = [[_format_entry(record, key) for key in columns] for record in records[:max_rows]]
    notes = signs + ([f"{len(records) - max_rows:,} more rows in records()"] if len(records) > max_rows else [])
    return draw_table(names, rows, "; ".join(notes))


def draw_table(names: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """Return a table.

    Args:
        names: Heading of each column.
        rows: Cells of each row: numbers, texts, or `Markup` from this module.
        note: Sentence below the table.
    """
    numeric = [all(isinstance(row[column], int | float) for row in rows) for column in range(len(names))]
    short = [all(len(_as_text(row[column])) <= MAX_LINE for row in rows) for column in range(len(names))]
    aligned = [
        CELL.format(align="right" if is_number else "left", wrap="nowrap" if is_short else "normal")
        for is_number, is_short in zip(numeric, short, strict=True)
    ]
    heads = "".join(
        f'<th style="{style};white-space:normal;font-weight:600;border-bottom:{LINE}">{escape(name)}</th>'
        for name, style in zip(names, aligned, strict=True)
    )
    body = "".join(
        "<tr style='background:none'>"
        + "".join(f'<td style="{style}">{_cell(value)}</td>' for value, style in zip(row, aligned, strict=True))
        + "</tr>"
        for row in rows
    )
    head = f"<thead><tr>{heads}</tr></thead>" if any(names) else ""
    table = f'<table style="border-collapse:collapse;margin:6px 0 2px;border:0">{head}'
    below = f'<div style="{SOFT}">{escape(note)}</div>' if note else ""
    return f"{table}<tbody>{body}</tbody></table>{below}"


class Markup(str):
    """HTML that is escaped already."""

    __slots__ = ()


def draw_bars(values: Mapping[str, float], colors: Mapping[str, str] | None = None, form: str = "{:,}") -> str:
    """Return a table of names, bars and values.

    Args:
        values: Length of each bar by name, below 0 too.
        colors: Color of each bar as ``#rrggbb`` by name; gray without one.
        form: Format of the values.
    """
    longest = max(map(abs, values.values()), default=0) or 1
    rows = [
        [name, draw_bar(abs(value) / longest, (colors or {}).get(name, NEUTRAL)), Markup(escape(form.format(value)))]
        for name, value in values.items()
    ]
    return draw_table(("", "", ""), rows)


def draw_bar(share: float, color: str = NEUTRAL) -> Markup:
    """Return a bar.

    Args:
        share: Length as a share of the longest bar, 0 to 1.
        color: Color as ``#rrggbb``.
    """
    size = f"width:{max(1, round(BAR * share))}px;height:11px"
    look = f"background:{escape(color)};box-shadow:0 0 0 1px rgba(128,128,128,.6)"
    return Markup(f'<div style="{size};{look};border-radius:2px"></div>')


def draw_picture(pixels: UInt8[Tensor, "3 H W"], title: str = "", side: int = 72) -> Markup:
    """Return a picture, written into the HTML.

    Args:
        pixels: uint8 ``[3, H, W]``.
        title: Tooltip.
        side: Height in pixels.
    """
    picture = Image.fromarray(pixels.movedim(0, -1).contiguous().numpy())
    if picture.height > 2 * side:
        picture.thumbnail((4 * side, 2 * side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    look = f"height:{side}px;display:inline-block;margin:1px;vertical-align:middle;image-rendering:pixelated"
    text = escape(title)
    return Markup(f'<img style="{look}" alt="{text}" title="{text}" src="data:image/jpeg;base64,{data}">')


def join_markup(parts: Iterable[str]) -> Markup:
    """Return parts of HTML one after the other."""
    return Markup("".join(parts))


def dim_outside(pixels: UInt8[Tensor, "3 h w"], region: Bool[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Return a picture that is darkened outside a region."""
    return torch.where(region, pixels, (pixels.float() * DIMMING).round().to(torch.uint8))


def _belongs_to_another(key: str, keys: Sequence[str]) -> bool:
    """Return whether a column is shown in the cell of another one."""
    stem, _, suffix = key.rpartition("_")
    return (suffix in {*SPREADS, "low", "high"} and stem in keys) or (suffix == "max" and f"{stem}_min" in keys)


def _name_column(key: str, keys: Sequence[str]) -> str:
    """Return the heading of a column, with the sign of the error in its cells."""
    stem = key.removesuffix("_min")
    name = HEADINGS.get(stem, stem.replace("_", " "))
    sign = next((sign for suffix, (sign, _) in SPREADS.items() if f"{key}_{suffix}" in keys), None)
    return name if sign is None else f"{name} \N{PLUS-MINUS SIGN} {sign}"


def _format_entry(record: Mapping[str, Any], key: str) -> Any:
    """Return a cell: a figure with its error or its interval, or the value as it is."""
    value, stem = record[key], key.removesuffix("_min")
    if key.endswith("_min") and f"{stem}_max" in record:
        return f"{_format(value)} to {_format(record[f'{stem}_max'])}"
    spread = next((record[name] for suffix in SPREADS if (name := f"{key}_{suffix}") in record), None)
    if isinstance(spread, float) and isinstance(value, float):
        digits = count_digits(spread)
        return f"{_format(value, digits)} \N{PLUS-MINUS SIGN} {_format(spread, digits)}"
    low, high = record.get(f"{key}_low"), record.get(f"{key}_high")
    if low is None or high is None:
        return value.replace("_", " ") if key == "figure" else value
    digits = count_digits(high - low)
    return f"{_format(value, digits)} ({_format(low, digits)} to {_format(high, digits)})"


def _cell(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(_format(value))


def _as_text(value: Any) -> str:
    """Return a cell's text to measure; a picture has none."""
    return "" if isinstance(value, Markup) else _format(value)


def _format(value: Any, digits: int | None = None) -> str:
    """Return a value as text: three significant digits, or some decimals; the first few entries of a list."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return (f"{value:.3g}" if digits is None else f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")
    if isinstance(value, Mapping):
        entries = [f"{name} {_format(entry)}" for name, entry in value.items()]
    else:
        entries = [_format(entry) for entry in value]
    shown = ", ".join(entries[:MAX_ITEMS])
    return f"{shown}, \N{HORIZONTAL ELLIPSIS}" if len(entries) > MAX_ITEMS else shown
