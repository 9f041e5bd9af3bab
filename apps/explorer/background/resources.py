"""What all visitors share, loaded once and only read; and how names and numbers are worded."""

from __future__ import annotations

import re
from collections.abc import Hashable
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


def load_generator(name: str, device: str) -> Generator:
    """Load a generator once for all visitors, and again when a training has written another one into its folder."""
    return _load_generator(name, device, identify_files(name))


def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter once for all visitors, and again when a training has written another one into its folder."""
    return _load_segmenter(name, device, identify_files(name))


def identify_files(name: str) -> tuple[tuple[str, int, int, int], ...]:
    """Return what differs once a file is written again: name, time, size and inode of each file of a network.

    Args:
        name: A file, the folder of a training, or the name of a bundled network, which has no files that change.
    """
    path = Path(name)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] * path.is_file()
    facts = [(file.name, file.stat()) for file in files]
    return tuple((file, fact.st_mtime_ns, fact.st_size, fact.st_ino) for file, fact in facts)


@st.cache_resource(max_entries=4, show_spinner=False)
def _load_generator(name: str, device: str, files: Hashable) -> Generator:  # noqa: ARG001  # the cache's key
    generator = generators.load(name, device)
    len(generator.layers)  # worked out at first use: now, not by two visitors at once
    return generator


@st.cache_resource(max_entries=4, show_spinner="loading the segmenter")
def _load_segmenter(name: str, device: str, files: Hashable) -> Segmenter:  # noqa: ARG001  # the cache's key
    import segmenters  # late: the first picture does not need it

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
