"""Render pages from templates: all text is escaped, and style and script are part of the page."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..core.environment import PACKAGE, installed_versions

HERE = Path(__file__).parent


def render(name: str, **values: Any) -> str:
    """Render a page that refers to no other file.

    Args:
        name: Name of the template, ``NAME.html.j2``.
        values: Variables of the template; all text is escaped.
    """
    style, script = (HERE / "page.css").read_text("utf-8"), (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    template = _environment().get_template(f"{name}.html.j2")
    return template.render(
        style=Markup(style), script=Markup(script), script_hash=digest, version=installed_versions()[PACKAGE], **values
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=_format_count,
        plural=_format_plural,
        percent=_format_percent,
        figure=_format_figure,
        iou=_format_iou,
        q_value=_format_q_value,
        duration=_format_duration,
        short=shorten_name,
    )
    return environment


def shorten_name(name: str) -> str:
    """Return a network's name for a title: the last two parts of a file's path, any other name in full."""
    parts = PurePath(name).parts
    return "/".join(parts[-2:]) if name.endswith(".safetensors") and len(parts) > 2 else name


def _format_count(number: int) -> str:
    """Return an integer with a comma between thousands."""
    return f"{number:,}"


def _format_plural(number: int, singular: str, plural: str = "") -> str:
    """Return a number followed by its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _format_percent(share: float) -> str:
    """Return a share as a percentage with about two significant digits."""
    value = 100 * share
    digits = 0 if value >= 9.95 or value == 0 else 1 if value >= 0.995 else 2
    return f"{value:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _format_figure(number: float, digits: int = 3) -> str:
    """Return a number with at least ``digits`` significant digits and a true minus sign."""
    fixed = digits == 3 and 0.1 <= abs(number) < 100
    text = f"{number:.2f}" if fixed else f"{number:.{digits}g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _format_iou(value: float) -> str:
    """Return an IoU with three significant digits."""
    return "0" if value == 0 else "<0.0001" if value < 0.0001 else f"{value:#.3g}"


def _format_q_value(value: float) -> str:
    """Return a q value with four decimals."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _format_duration(seconds: float) -> str:
    """Return a duration with its units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, remainder = divmod(round(seconds), 3600)
    minutes, remainder = divmod(remainder, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {remainder} s"
