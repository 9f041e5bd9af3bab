"""The keys of a visitor's session: entries of his own, and widgets whose values other code reads or sets.

Streamlit keeps one flat mapping from text to anything for each visitor, in which widgets stand, too. Every key that is
used in more than one place is here, and a test sees to it that no other file spells one out.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

GENERATOR, SEGMENTER, LAYER, SEED, PICTURE = "generator", "segmenter", "layer", "seed", "picture"
"""The widgets beside every page, which are also the parameters of the URL."""

STRIP = "strip"
"""The strip of pictures, whose trigger ``picked`` is the number of the picture that was clicked."""

GO_TO = "go to"
"""The values that the widgets beside the page take in the next run."""

MEMORY = "memory"
"""What was worked out lately, a `Memory`."""

EASEL = "easel"
"""The easel, whose ``strokes`` are those that were painted."""

LAST_STROKE, LAID_OUT, STROKE_ERROR = "seen", "laid out", "stroke error"
"""The stroke that was taken over last, what the easel shows, and why a stroke was refused."""

CURRENT_BRUSH, PAINTINGS = "brush", "paintings"
"""The brush by what it belongs to, and the strokes by picture."""

RECIPE_FILE, RECIPE_ERROR = "recipe", "recipe error"
"""The recipe that was uploaded, and why it was refused."""

FILM = "film"
"""What the film shows, and the film."""

UPLOAD, UPLOAD_ERROR, UPLOAD_WANTED, UPLOAD_TASK, NUM_UPLOADS = (
    "own picture",
    "own error",
    "own wanted",
    "own task",
    "own uploads",
)
"""The visitor's own picture, why it was refused, whether to look for it, its task, and how many were forgotten."""


def go_to(values: dict[str, Any]) -> None:
    """Ask for other values of the widgets beside the page; callbacks do so, and the next run of the page applies it.

    A callback cannot set such a widget itself. If the same interaction also asks for a part of the page, Streamlit
    (1.67) carries the triggers over to another run, counts what callbacks have set as old, and takes the widget's value
    from the URL again.
    """
    st.session_state[GO_TO] = {**st.session_state.get(GO_TO, {}), **values}


def apply_go_to() -> None:
    """Set the widgets beside the page to what was asked for; to be called before they are drawn."""
    for key, value in st.session_state.pop(GO_TO, {}).items():
        st.session_state[key] = value


def upload_key(number: int) -> str:
    """Return the key of the field by which a picture is uploaded; another number is an empty field."""
    return f"photograph {number}"


def step_key(direction: str, scope: str) -> str:
    """Return the key of the slider of a direction."""
    return f"step {direction} {scope}"


def cell_key(scope: str) -> str:
    """Return the key of the picture on which a cell is picked."""
    return f"cell {scope}"


def axis_key(axis: str, scope: str) -> str:
    """Return the key of the number of the picked cell's ``row`` or ``column``."""
    return f"{axis} {scope}"


def stroke_level_key(number: int, levels: tuple[float, ...] | None) -> str:
    """Return the key of the slider of a stroke's strength."""
    return f"level{number} {levels}"


def artifacts_key(fingerprint: str, layer: str, method: str) -> str:
    """Return the key of whether a visitor wants to know the artifacts of a layer's units."""
    return f"artifacts {fingerprint} {layer} {method}"
