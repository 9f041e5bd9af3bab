"""The fragments of the page Paint, and which of them are redrawn after which change; for callbacks only.

Streamlit merges the events that arrive while a page is drawn. If one of them concerns the whole page, such as another
layer, no fragments are requested, since they would replace the run of the whole page.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from .pending import accept_strokes

BRUSH, CANVAS, HISTORY, RECIPE, STROKES, RESULTS = "brush", "canvas", "history", "recipe", "strokes", "results"
REST = [HISTORY, STROKES, RESULTS, RECIPE]
"""Fragments other than the picture that show the strokes, most important first."""


def redraw() -> None:
    """Redraw everything that shows the strokes."""
    _draw([CANVAS, *REST])


def then_redraw(change: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that accepts pending strokes, applies a change and redraws."""

    def change_and_redraw(*values: Any) -> None:
        accept_strokes()
        change(*values)
        redraw()

    return change_and_redraw


def redraw_rest() -> None:
    """Redraw everything that shows the strokes, except the picture."""
    _draw(REST)


def redraw_brush() -> None:
    """Accept pending strokes of the previous brush, and redraw brush and canvas."""
    accept_strokes(sure=True)
    _draw([BRUSH, CANVAS])


def redraw_canvas() -> None:
    """Accept pending strokes, and redraw the canvas."""
    accept_strokes(sure=True)
    _draw([CANVAS])


def redraw_results() -> None:
    """Redraw the results."""
    _draw([RESULTS])


def _draw(parts: list[str]) -> None:
    run = get_script_run_ctx()
    if run and run.fragment_ids_this_run:
        with suppress(StreamlitAPIException):  # the visitor has left for a page without these fragments
            st.rerun(parts)
