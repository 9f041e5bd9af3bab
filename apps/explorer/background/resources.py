"""Networks and results that all visitors share, loaded once and never written to; and formatting of names."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import streamlit as st
from jaxtyping import Float32
from torch import Tensor

from gandissect import Dissection, Generator, Segmenter, UnitSet
from gandissect.causal.values import quantile_table
from gandissect.core.protocols import as_captioned, as_conditional

from ..levels import LEVELS
from ..networks import FORWARD_SLOTS, open_generator
from ..state import MEMORY
from ..visit import DEFAULT_INPUTS
from .dissector import Dissector
from .memory import Memory

MAX_CHARACTERS = 800
"""Maximum number of characters shown of a text from a file or a visitor."""


def load_generator(name: str, device: str, inputs: tuple[str, ...] = DEFAULT_INPUTS) -> Generator:
    """Load a generator once for all visitors, and again when its files change; put a translator on pictures.

    Args:
        name: Bundled name, file or folder.
        device: Device to load it on.
        inputs: Specifications of a translator's pictures; others ignore them.
    """
    return _load_generator(name, device, identify_files(name), inputs)


def load_class(name: str, device: str, chosen: str, inputs: tuple[str, ...] = DEFAULT_INPUTS) -> Generator:
    """Load a generator that draws from one of its classes, once for all visitors; arguments as for `load_generator`."""
    return _load_class(name, device, identify_files(name), chosen, inputs)


def load_caption(name: str, device: str, caption: str) -> Generator:
    """Load a generator that draws from one caption, once for all visitors.

    Args:
        name: Bundled name, file or folder.
        device: Device to load it on.
        caption: The caption; only its words matter, not the spaces between them.

    Raises:
        KeyError: If the generator does not know a word.
        ValueError: If the generator takes no captions, or there are no words or too many.
    """
    return _load_caption(name, device, identify_files(name), " ".join(caption.split()))


def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter once for all visitors, and again when its files change."""
    return _load_segmenter(name, device, identify_files(name))


def identify_files(name: str) -> tuple[tuple[str, int, int, int], ...]:
    """Return name, time, size and inode of each file of a network, which change when it is rewritten.

    Args:
        name: A file, the folder of a training run, or the name of a bundled network, whose files never change.
    """
    path = Path(name)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] * path.is_file()
    facts = [(file.name, file.stat()) for file in files]
    return tuple((file, fact.st_mtime_ns, fact.st_size, fact.st_ino) for file, fact in facts)


@st.cache_resource(max_entries=4, show_spinner=False)
def _load_generator(name: str, device: str, files: Hashable, inputs: tuple[str, ...]) -> Generator:  # noqa: ARG001  # the cache's key
    generator = open_generator(name, device, inputs)
    len(generator.layers)  # computed on first use: do it here, before two visitors do it concurrently
    return generator


@st.cache_resource(max_entries=16, show_spinner=False)
def _load_class(name: str, device: str, files: Hashable, chosen: str, inputs: tuple[str, ...]) -> Generator:
    conditional = as_conditional(_load_generator(name, device, files, inputs))
    if conditional is None:
        raise ValueError(f"{name} has no classes")
    return conditional.of_classes(chosen)


@st.cache_resource(max_entries=16, show_spinner=False)
def _load_caption(name: str, device: str, files: Hashable, caption: str) -> Generator:
    captioned = as_captioned(_load_generator(name, device, files, DEFAULT_INPUTS))
    if captioned is None:
        raise ValueError(f"{name} takes no captions")
    return captioned.of_captions(caption)


@st.cache_resource(max_entries=4, show_spinner="Loading the segmenter")
def _load_segmenter(name: str, device: str, files: Hashable) -> Segmenter:  # noqa: ARG001  # the cache's key
    import segmenters  # imported late, since the first picture does not need it

    return segmenters.load(name, device)


@st.cache_resource(show_spinner=False)
def load_dissector(num_samples: int, folder: str | None) -> Dissector:
    """Return the dissector that all visitors share."""
    return Dissector(num_samples, Dissection.load(folder) if folder else None)


@st.cache_resource(max_entries=32, show_spinner=False)
def load_levels(_generator: Generator, fingerprint: str, layer: str) -> Float32[Tensor, "unit level"]:  # noqa: ARG001  # the cache's key
    """Return the values of a layer's units at ``LEVELS[1:]``, float32 ``[unit, level]``."""
    units = UnitSet(layer, tuple(range(_generator.layers[layer].units)))
    with FORWARD_SLOTS:
        return quantile_table(_generator, units, LEVELS[1:])


def pluralize(number: int, noun: str) -> str:
    """Return a number with a noun in the singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def capitalize(text: str) -> str:
    """Return a text with its first letter capitalized and the others unchanged."""
    return text[:1].upper() + text[1:]


def shorten(name: str) -> str:
    """Return a bundled name, or the last two parts of a path."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.suffix else name


def escape(text: str) -> str:
    """Escape Markdown in a text, and replace invalid characters with question marks.

    The middle of a text longer than `MAX_CHARACTERS` is left out, such as an error that quotes a file.
    """
    if (left_out := len(text) - MAX_CHARACTERS) > 0:
        text = f"{text[: MAX_CHARACTERS // 2]} ... ({left_out} more characters) ... {text[-(MAX_CHARACTERS // 2) :]}"
    return re.sub(r"([\\`*_{}\[\]()#+!|$:<>~-])", r"\\\1", text.encode("utf-8", "replace").decode())


def visitor_memory() -> Memory:
    """Return the cache of this visitor's recent results."""
    memory: Memory = st.session_state.setdefault(MEMORY, Memory())
    return memory
