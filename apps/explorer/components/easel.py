"""The easel: a picture with a wipe to another one, on which one paints with a finger, a pen or a mouse.

It is a Streamlit component without build step: its three files are handed over as they are, and never hold anything
that a user has given. Strokes come back as cells of a layer's grid, each until Python has said that it was seen;
what is done with them is Python's business.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_EASEL = st.components.v2.component(
    "gandissect_easel",
    html=(_HERE / "easel.html").read_text(encoding="utf-8"),
    css=(_HERE / "easel.css").read_text(encoding="utf-8"),
    js=(_HERE / "easel.js").read_text(encoding="utf-8"),
)


def _ignore() -> None:
    """Stand for the callback that a component's state must have."""


def show_easel(
    key: str,
    before: bytes,
    after: bytes,
    size: tuple[int, int],
    alt: str,
    brush: Mapping[str, Any] | None = None,
    scope: str = "",
    last_taken: str | None = None,
    *,
    labels: bool = False,
    on_strokes: Callable[[], None] = _ignore,
    on_drawn: Callable[[], None] = _ignore,
) -> None:
    """Show a picture, with a wipe to another one if they differ.

    Args:
        key: The widget's key.
        before: A PNG.
        after: A PNG of the same size, the one that is shown.
        size: Their rows and columns.
        alt: What is seen, for who cannot see it.
        brush: ``grid``, rows and columns, ``color``, ``#rrggbb``, ``id``, what tells it from others, and ``tools``,
            the CSS selector of where it is chosen; None if one may not paint.
        scope: On what one paints; strokes that were on something else are forgotten.
        last_taken: The last stroke that was dealt with.
        labels: The pictures have areas of one color each, which are not to be smoothed.
        on_strokes: Called when something was painted.
        on_drawn: Called when the easel has drawn the picture that followed a stroke, and no other stroke came.
    """
    data = {
        "before": _url(before),
        "after": _url(after),
        "size": list(size),
        "alt": alt,
        "brush": dict(brush) if brush else None,
        "scope": scope,
        "seen": last_taken,
        "labels": labels,
    }
    _EASEL(key=key, data=data, default={"strokes": []}, on_strokes_change=on_strokes, on_drawn_change=on_drawn)


@dataclass(frozen=True, slots=True)
class EaselStroke:
    """What a visitor has painted.

    Args:
        id: What tells it from all others.
        scope: On what, as `show_easel` was told.
        cells: Of the grid; nobody has looked at them yet.
        unsure: Whether something was done where the brush is chosen, and another one might have come.
    """

    id: str
    scope: str
    cells: list[Any]
    unsure: bool


def read_strokes(key: str, last_taken: str | None) -> list[EaselStroke]:
    """Return what was painted on an easel since the stroke that was dealt with last, in order."""
    state = st.session_state.get(key)
    strokes = state.get("strokes") if isinstance(state, Mapping) else None
    painted = [
        EaselStroke(str(entry.get("id"))[:64], str(entry.get("scope")), entry["cells"], bool(entry.get("unsure")))
        for entry in (strokes if isinstance(strokes, list) else [])
        if isinstance(entry, Mapping) and isinstance(entry.get("cells"), list)
    ]
    ends = [index for index, stroke in enumerate(painted, 1) if stroke.id == last_taken]
    return painted[ends[-1] if ends else 0 :]


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
