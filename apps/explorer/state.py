"""The keys of a visitor's session state: the app's own entries, and widgets whose values other code reads or sets.

Streamlit keeps one flat mapping per visitor, which holds widgets too. Every key that is used in more than one place is
defined here; a test checks that no other file spells one out.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

GENERATOR, SEGMENTER, LAYER, SEED, PICTURE = "generator", "segmenter", "layer", "seed", "picture"
CLASS = "class"
CAPTION = "caption"
"""Keys of the sidebar's widgets, which are also the parameters of the URL."""

ALL_CLASSES = "all"
"""Choice of the class under which pictures of all classes are shown."""

STRIP = "strip"
"""Key of the strip of pictures; its trigger ``picked`` is the number of the clicked picture."""

GO_TO = "go to"
"""Key of the values that the sidebar's widgets take in the next run."""

MEMORY = "memory"
"""Key of the visitor's recent results, a `Memory`."""

EASEL = "easel"
"""Key of the easel; its ``strokes`` are those the visitor painted."""

LAST_STROKE, ON_EASEL, STROKE_ERROR = "last stroke", "on easel", "stroke error"
"""Keys of the last accepted stroke, of what the easel shows, and of the reason why a stroke was refused."""

CURRENT_BRUSH, PAINTINGS = "brush", "paintings"
"""Keys of the brush by scope, and of the strokes by picture."""

RECIPE_FILE, RECIPE_ERROR = "recipe", "recipe error"
"""Keys of the uploaded recipe, and of the reason why it was refused."""

FILM = "film"
"""Key of the film together with the settings it was rendered with."""

UPLOAD, UPLOAD_ERROR, UPLOAD_REQUESTED, UPLOAD_TASK, NUM_UPLOADS = (
    "own picture",
    "own error",
    "own requested",
    "own task",
    "own uploads",
)
"""Keys of the uploaded picture, of the reason why it was refused, whether to invert it, its task, and the number of
removed uploads."""


NUM_INPUTS = "own inputs"
"""Key of the number of removed pictures to translate."""


def go_to(values: dict[str, Any]) -> None:
    """Request new values of the sidebar's widgets from a callback; the next run of the page applies them.

    A callback cannot set such a widget itself: if the same interaction also requests a fragment, Streamlit (1.67)
    carries the triggers over to another run, discards what callbacks have set, and takes the value from the URL again.
    """
    st.session_state[GO_TO] = {**st.session_state.get(GO_TO, {}), **values}


def apply_go_to() -> None:
    """Set the sidebar's widgets to the requested values; must be called before they are drawn."""
    for key, value in st.session_state.pop(GO_TO, {}).items():
        st.session_state[key] = value


def upload_key(number: int) -> str:
    """Return the key of the upload field; a new number is a new, empty field."""
    return f"photograph {number}"


def input_key(number: int) -> str:
    """Return the key of the field of a picture to translate; a new number is a new, empty field."""
    return f"own input {number}"


def step_key(direction: str, scope: str) -> str:
    """Return the key of a direction's slider."""
    return f"step {direction} {scope}"


def cell_key(scope: str) -> str:
    """Return the key of a cell picker."""
    return f"cell {scope}"


def axis_key(axis: str, scope: str) -> str:
    """Return the key of the number field of the cell's ``row`` or ``column``."""
    return f"{axis} {scope}"


def stroke_level_key(number: int, levels: tuple[float, ...] | None) -> str:
    """Return the key of a stroke's strength slider."""
    return f"level{number} {levels}"


def artifacts_key(fingerprint: str, layer: str, method: str) -> str:
    """Return the key of whether the visitor has started the artifact search for a layer."""
    return f"artifacts {fingerprint} {layer} {method}"
