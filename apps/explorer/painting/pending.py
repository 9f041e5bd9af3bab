"""Strokes that come from the easel are taken over with what it showed when they were painted.

Streamlit keeps what comes while the page is drawn, and makes one of it: strokes, another brush and an undo may come
together. So strokes are taken over before anything else is done, by callbacks too.
"""

from __future__ import annotations

import streamlit as st

from ..background.resources import load_levels
from ..components.easel import read_strokes
from ..networks import fingerprint_of
from ..state import EASEL, LAID_OUT, LAST_STROKE, STROKE_ERROR
from ..visit import Visit
from .brush import Brush
from .session import Painting
from .strokes import make_edit, make_region


def scope_of(visit: Visit) -> str:
    """Return on what one paints: strokes that were on another picture or layer come too late."""
    return f"{fingerprint_of(visit.generator)} {visit.layer} {visit.seed} {visit.number}"


def lay_out(visit: Visit, brush: Brush | None) -> None:
    """Say what the easel shows from now on.

    Args:
        visit: Which picture.
        brush: What one paints with; without it no stroke is taken over.
    """
    before, _ = st.session_state.get(LAID_OUT, (None, None))
    if before and scope_of(before) != scope_of(visit):
        take_over()  # what was painted on what was shown until now, and was left since another brush might come
    st.session_state[LAID_OUT] = (visit, brush)
    take_over()


def take_over(*, sure: bool = False) -> None:
    """Take strokes over that have been painted since the last time.

    Args:
        sure: Leave those, and what came after them, for which another brush may have been chosen that is not laid out.
    """
    visit, brush = st.session_state.get(LAID_OUT, (None, None))
    for stroke in read_strokes(EASEL, last_stroke_taken()) if visit else []:
        if sure and stroke.unsure:
            break
        st.session_state[LAST_STROKE] = stroke.id
        if stroke.scope == scope_of(visit) and brush is not None and brush.units.units:
            try_to_add(visit, brush, stroke.cells)


def last_stroke_taken() -> str | None:
    """Return the stroke that was taken over last."""
    last: str | None = st.session_state.get(LAST_STROKE)
    return last


def try_to_add(visit: Visit, brush: Brush, cells: list[int]) -> None:
    """Add a stroke of the brush over cells of the layer's grid; where it does not fit, `pop_stroke_error` says why."""
    painting = Painting.of(visit)
    try:
        region = make_region(cells, visit.generator.layers[visit.layer])
        table = load_levels(visit.generator, painting.fingerprint, visit.layer)
        painting.add(brush.name, make_edit(brush.units, brush.levels, table, region), brush.levels)
    except ValueError as error:
        st.session_state[STROKE_ERROR] = str(error)


def pop_stroke_error() -> str | None:
    """Return why the last stroke was not added, once."""
    error: str | None = st.session_state.pop(STROKE_ERROR, None)
    return error
