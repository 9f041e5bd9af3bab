"""The easel: a picture with a wipe to another one, on which the visitor paints with a finger, a pen or a mouse.

It is a Streamlit component without a build step; its three files are static and never contain user input. It sends
strokes as cells of a layer's grid, and repeats each one until Python has confirmed it.
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
    """Do nothing; a component's state needs a callback."""


def show_easel(
    key: str,
    before: bytes,
    after: bytes,
    size: tuple[int, int],
    alt: str,
    brush: Mapping[str, Any] | None = None,
    scope: str = "",
    last_accepted: str | None = None,
    *,
    labels: bool = False,
    on_strokes: Callable[[], None] = _ignore,
    on_drawn: Callable[[], None] = _ignore,
) -> None:
    """Show a picture, with a wipe to another one if the two differ.

    Args:
        key: Key of the widget.
        before: PNG of the picture before the strokes.
        after: PNG of the picture after the strokes, of the same size; shown by default.
        size: Rows and columns of both pictures.
        alt: Alternative text.
        brush: ``grid`` (rows and columns), ``color`` (``#rrggbb``), ``id`` (unique) and ``tools`` (CSS selector of the
            controls that choose the brush); None if painting is disabled.
        scope: Identifies the picture and layer; the easel drops strokes of another scope.
        last_accepted: ID of the last stroke that Python has processed.
        labels: The pictures are label maps, which are drawn without smoothing.
        on_strokes: Called after a stroke.
        on_drawn: Called when the easel shows the result of a stroke and no other stroke has followed.
    """
    data = {
        "before": _url(before),
        "after": _url(after),
        "size": list(size),
        "alt": alt,
        "brush": dict(brush) if brush else None,
        "scope": scope,
        "accepted": last_accepted,
        "labels": labels,
    }
    _EASEL(key=key, data=data, default={"strokes": []}, on_strokes_change=on_strokes, on_drawn_change=on_drawn)


@dataclass(frozen=True, slots=True)
class EaselStroke:
    """A stroke as the easel sent it.

    Args:
        id: Unique ID of the stroke.
        scope: Scope that `show_easel` was called with.
        cells: Cells of the grid, not validated.
        unsure: Whether the visitor used the brush's controls before the stroke, so that the brush may have changed.
    """

    id: str
    scope: str
    cells: list[Any]
    unsure: bool


def read_strokes(key: str, last_accepted: str | None) -> list[EaselStroke]:
    """Return the strokes on an easel since the last processed one, in order."""
    state = st.session_state.get(key)
    strokes = state.get("strokes") if isinstance(state, Mapping) else None
    painted = [
        EaselStroke(str(entry.get("id"))[:64], str(entry.get("scope")), entry["cells"], bool(entry.get("unsure")))
        for entry in (strokes if isinstance(strokes, list) else [])
        if isinstance(entry, Mapping) and isinstance(entry.get("cells"), list)
    ]
    ends = [index for index, stroke in enumerate(painted, 1) if stroke.id == last_accepted]
    return painted[ends[-1] if ends else 0 :]


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
