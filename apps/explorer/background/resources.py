"""What all visitors share, loaded once and only read; and how names and numbers are worded."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st
from jaxtyping import Float32
from torch import Tensor

import generators
from gandissect import Dissection, Generator, Segmenter, UnitSet
from gandissect.causal.values import quantile_table

from ..levels import LEVELS
from ..networks import FORWARD_SLOTS
from ..state import MEMORY
from .dissector import Dissector
from .memory import Memory

LONGEST = 800
"""Characters of a text of a file's or a visitor's that are shown."""


@st.cache_resource(max_entries=4, show_spinner=False)
def load_generator(name: str, device: str) -> Generator:
    """Load a generator once for all visitors."""
    generator = generators.load(name, device)
    len(generator.layers)  # worked out at first use: now, not by two visitors at once
    return generator


@st.cache_resource(max_entries=4, show_spinner="loading the segmenter")
def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter once for all visitors; imported late, since the first picture does not need it."""
    import segmenters

    return segmenters.load(name, device)


@st.cache_resource(show_spinner=False)
def load_dissector(num_samples: int, folder: str | None) -> Dissector:
    """Return the one that dissects for all visitors."""
    return Dissector(num_samples, Dissection.load(folder) if folder else None)


@st.cache_resource(max_entries=32, show_spinner=False)
def load_levels(_generator: Generator, fingerprint: str, layer: str) -> Float32[Tensor, "unit level"]:  # noqa: ARG001  # the cache's key
    """Return the values of a layer's units at `LEVELS` but the first, float32 ``[unit, level]``."""
    units = UnitSet(layer, tuple(range(_generator.layers[layer].units)))
    with FORWARD_SLOTS:
        return quantile_table(_generator, units, LEVELS[1:])


def pluralize(number: int, noun: str) -> str:
    """Return how many there are, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shorten(name: str) -> str:
    """Return a bundled name, or the end of a path."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.suffix else name


def escape(text: str) -> str:
    """Return a text so that Markdown leaves it as it is, what is no character as a question mark.

    Of a text that is too long to read, as an error may be that repeats what a file says, the middle is left out.
    """
    if (left_out := len(text) - LONGEST) > 0:
        text = f"{text[: LONGEST // 2]} ... ({left_out} more characters) ... {text[-(LONGEST // 2) :]}"
    return re.sub(r"([\\`*_{}\[\]()#+!|$:<>~-])", r"\\\1", text.encode("utf-8", "replace").decode())


def visitor_memory() -> Memory:
    """Return what was worked out lately for this visitor."""
    memory: Memory = st.session_state.setdefault(MEMORY, Memory())
    return memory
