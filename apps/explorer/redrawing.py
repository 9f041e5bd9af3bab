"""The parts of the page on which one paints, and which of them are drawn anew after what; only callbacks may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

BRUSH, CANVAS, HISTORY, RECIPE, STROKES, RESULTS = "brush", "canvas", "history", "recipe", "strokes", "results"
REST = [HISTORY, STROKES, RESULTS, RECIPE]
"""What shows the strokes besides the picture, in the order in which one looks at it."""


def redraw() -> None:
    """Draw all that shows the strokes, after a change of them."""
    st.rerun([CANVAS, *REST])


def then_redraw(change: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that makes a change of the strokes and has them drawn."""

    def changed(*values: Any) -> None:
        change(*values)
        redraw()

    return changed


def redraw_rest() -> None:
    """Draw all that shows the strokes but the picture, which is there already."""
    st.rerun(REST)


def redraw_brush() -> None:
    """Draw the brush and what is painted with it, after a change of it."""
    st.rerun([BRUSH, CANVAS])
