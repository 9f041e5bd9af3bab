"""The list of strokes; each can be switched off, set to another strength, moved and deleted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st
from jaxtyping import Float32
from torch import Tensor

from ..background.resources import escape, pluralize
from ..levels import LEVELS
from ..state import stroke_level_key
from .brush import describe_level
from .fragments import then_redraw
from .session import Painting
from .strokes import Stroke, Strokes, delete_stroke, move_stroke, set_stroke_level, switch_stroke


def show_history(painting: Painting) -> None:
    """Draw undo, redo and clear."""
    history = painting.history
    undo, redo, clear = then_redraw(painting.undo), then_redraw(painting.redo), then_redraw(painting.change)
    st.button(":material/undo:", key="undo", help="Undo", disabled=not history.past, on_click=undo, shortcut="ctrl+z")
    st.button(":material/redo:", key="redo", help="Redo", disabled=not history.future, on_click=redo, shortcut="ctrl+y")
    st.button(
        ":material/delete_sweep:",
        key="clear",
        help="Delete all strokes",
        disabled=not history.now,
        on_click=clear,
        args=((),),
    )


def show_strokes(painting: Painting, table: Float32[Tensor, "unit level"], layer: str) -> None:
    """Draw the strokes in the order in which they are applied.

    Args:
        painting: Painting whose strokes are listed.
        table: Values of the layer's units at the levels.
        layer: Layer of ``table``.
    """
    strokes = painting.history.now
    for index, stroke in enumerate(strokes):
        units = stroke.edit.units
        change_this = then_redraw(partial(_change, painting, stroke.number))
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"stroke{stroke.number}"):
            icon = "visibility" if stroke.on else "visibility_off"
            st.button(
                f":material/{icon}:",
                key=f"switch{stroke.number}",
                help="Switch on or off",
                type="tertiary",
                on_click=change_this,
                args=(switch_stroke,),
            )
            name = escape(stroke.name) if stroke.on else f"~~{escape(stroke.name)}~~"
            st.markdown(f"{index + 1} · {name}  \n:small[:gray[{_details(stroke)}]]", width="stretch")
            if units.layer == layer:
                with st.popover(_strength(stroke), type="tertiary", key=f"strength{stroke.number}"):
                    _choose_strength(painting, stroke, table)
            st.button(
                ":material/arrow_upward:",
                key=f"up{stroke.number}",
                help="Move up",
                type="tertiary",
                disabled=index == 0,
                on_click=change_this,
                args=(move_stroke, -1),
            )
            st.button(
                ":material/arrow_downward:",
                key=f"down{stroke.number}",
                help="Move down",
                type="tertiary",
                disabled=index == len(strokes) - 1,
                on_click=change_this,
                args=(move_stroke, 1),
            )
            st.button(
                ":material/close:",
                key=f"delete{stroke.number}",
                help="Delete",
                type="tertiary",
                on_click=change_this,
                args=(delete_stroke,),
            )


def _change(painting: Painting, number: int, edit_strokes: Callable[..., Strokes], *values: Any) -> None:
    painting.change(edit_strokes(painting.history.now, number, *values))


def _choose_strength(painting: Painting, stroke: Stroke, table: Float32[Tensor, "unit level"]) -> None:
    """Draw the slider of a stroke's strength."""
    levels = set(stroke.levels or ())
    level = levels.pop() if len(levels) == 1 else LEVELS[-3]
    key = stroke_level_key(stroke.number, stroke.levels)

    def choose() -> None:
        _change(painting, stroke.number, set_stroke_level, st.session_state[key], table)

    st.select_slider("Strength of this stroke", LEVELS, level, describe_level, key=key, on_change=then_redraw(choose))
    st.caption("All its units are set to this quantile of their activations; off sets them to 0.")


def _strength(stroke: Stroke) -> str:
    if stroke.levels is None:
        return "custom"
    levels = set(stroke.levels)
    return describe_level(levels.pop()) if len(levels) == 1 else "mixed"


def _details(stroke: Stroke) -> str:
    edit = stroke.edit
    where = "everywhere" if edit.region is None else pluralize(int((edit.region > 0).sum()), "cell")
    return f"{pluralize(len(edit.units), 'unit')} of {escape(edit.units.layer)} · {where}"
