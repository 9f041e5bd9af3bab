"""Acceptance of strokes from the easel, with the picture and the brush that it showed when they were painted.

Streamlit merges the events that arrive while a page is drawn: strokes, another brush and an undo may arrive together.
Strokes are therefore accepted before anything else is done, in callbacks too.
"""

from __future__ import annotations

import streamlit as st

from ..background.resources import load_levels
from ..components.easel import read_strokes
from ..networks import fingerprint_of
from ..state import EASEL, LAST_STROKE, ON_EASEL, STROKE_ERROR
from ..visit import Visit
from .brush import Brush
from .session import Painting
from .strokes import make_edit, make_region


def make_scope(visit: Visit) -> str:
    """Return the scope of strokes: generator, layer and picture. Strokes of another scope are too late."""
    return f"{fingerprint_of(visit.generator)} {visit.layer} {visit.seed} {visit.number}"


def update_easel(visit: Visit, brush: Brush | None) -> None:
    """Record what the easel shows from now on, and accept pending strokes.

    Args:
        visit: The visitor's choices, which determine the picture.
        brush: Brush on the easel; without one, no stroke is accepted.
    """
    before, _ = st.session_state.get(ON_EASEL, (None, None))
    if before and make_scope(before) != make_scope(visit):
        accept_strokes()  # strokes on the previous picture that had waited for a possible new brush
    st.session_state[ON_EASEL] = (visit, brush)
    accept_strokes()


def accept_strokes(*, sure: bool = False) -> None:
    """Accept the strokes since the last call.

    Args:
        sure: Stop at the first stroke that may belong to a new brush, which has not been recorded yet.
    """
    visit, brush = st.session_state.get(ON_EASEL, (None, None))
    for stroke in read_strokes(EASEL, get_last_accepted()) if visit else []:
        if sure and stroke.unsure:
            break
        st.session_state[LAST_STROKE] = stroke.id
        if stroke.scope == make_scope(visit) and brush is not None and brush.units.units:
            try_to_add(visit, brush, stroke.cells)


def get_last_accepted() -> str | None:
    """Return the ID of the last accepted stroke."""
    last: str | None = st.session_state.get(LAST_STROKE)
    return last


def try_to_add(visit: Visit, brush: Brush, cells: list[int]) -> None:
    """Add a stroke of the brush over cells of the layer's grid; on failure, `pop_stroke_error` returns the reason."""
    painting = Painting.of(visit)
    try:
        region = make_region(cells, visit.generator.layers[visit.layer])
        table = load_levels(visit.measured, fingerprint_of(visit.measured), visit.layer)
        painting.add(brush.name, make_edit(brush.units, brush.levels, table, region), brush.levels)
    except ValueError as error:
        st.session_state[STROKE_ERROR] = str(error)


def pop_stroke_error() -> str | None:
    """Return the reason why the last stroke was refused, once."""
    error: str | None = st.session_state.pop(STROKE_ERROR, None)
    return error
