"""The easel: a picture with a wipe to another one, on which one paints with a finger, a pen or a mouse.

It is a Streamlit component without build step: its three files are handed over as they are, and never hold anything
that a user has given. A stroke comes back as cells of a layer's grid; what is done with it is Python's business.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_EASEL = st.components.v2.component(
    "gandissect_easel",
    **{kind: (_HERE / f"easel.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")},
)


def _nothing() -> None:
    """Stand for the callback that a component's state must have."""


def show_easel(
    key: str, before: bytes, after: bytes, size: tuple[int, int], alt: str, brush: Mapping[str, Any] | None = None,
    seen: str | None = None, *, labels: bool = False, on_drawn: Callable[[], None] = _nothing,
) -> None:  # fmt: skip
    """Show a picture, with a wipe to another one if they differ.

    Args:
        key: The widget's key.
        before: A PNG.
        after: A PNG of the same size, the one that is shown.
        size: Their rows and columns.
        alt: What is seen, for who cannot see it.
        brush: ``grid``, rows and columns, and ``color``, ``#rrggbb``, if one may paint.
        seen: The last stroke that was dealt with.
        labels: The pictures have areas of one color each, which are not to be smoothed.
        on_drawn: Called when the easel has drawn the picture that followed a stroke.
    """
    data = {
        "before": _url(before),
        "after": _url(after),
        "size": list(size),
        "alt": alt,
        "brush": dict(brush) if brush else None,
        "seen": seen,
        "labels": labels,
    }
    _EASEL(key=key, data=data, default={"stroke": None}, on_stroke_change=_nothing, on_drawn_change=on_drawn)


def painted_cells(key: str) -> tuple[str, list[int]] | None:
    """Return what was painted last on an easel, as the stroke's id and cells; None if nothing was, or it is none."""
    state = st.session_state.get(key)
    stroke = state.get("stroke") if isinstance(state, Mapping) else None
    if not isinstance(stroke, Mapping) or not isinstance(stroke.get("cells"), list):
        return None
    return str(stroke.get("id"))[:64], stroke["cells"]


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
