"""The parts of the page on which one paints, and which of them are drawn anew after what; only callbacks may ask.

What comes while the page is drawn comes as one. Where something is among it that all of the page has to show, such as
another layer, nothing is asked for: parts would take the place of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from .pending import take_over

BRUSH, CANVAS, HISTORY, RECIPE, STROKES, RESULTS = "brush", "canvas", "history", "recipe", "strokes", "results"
REST = [HISTORY, STROKES, RESULTS, RECIPE]
"""What shows the strokes besides the picture, in the order in which one looks at it."""


def redraw() -> None:
    """Draw all that shows the strokes, after a change of them."""
    _draw([CANVAS, *REST])


def then_redraw(change: Callable[..., None]) -> Callable[..., None]:
    """Return a callback that makes a change of the strokes, of all that were painted before, and has them drawn."""

    def change_and_redraw(*values: Any) -> None:
        take_over()
        change(*values)
        redraw()

    return change_and_redraw


def redraw_rest() -> None:
    """Draw all that shows the strokes but the picture, which is there already."""
    _draw(REST)


def redraw_brush() -> None:
    """Draw the brush and what is painted with it, after a change of it; what was painted before is taken over."""
    take_over(sure=True)
    _draw([BRUSH, CANVAS])


def redraw_canvas() -> None:
    """Take over what was painted, with the brush that was there, and draw it."""
    take_over(sure=True)
    _draw([CANVAS])


def redraw_results() -> None:
    """Draw what the strokes change, after a change of what is shown of it."""
    _draw([RESULTS])


def _draw(parts: list[str]) -> None:
    run = get_script_run_ctx()
    if run and run.fragment_ids_this_run:
        with suppress(StreamlitAPIException):  # there are no such parts on the page to which one has gone meanwhile
            st.rerun(parts)
