"""The sidebar: choice of networks and layer."""

from __future__ import annotations

import argparse

import streamlit as st

import generators
from gandissect import Generator
from gandissect.core.protocols import CaptionedGenerator, as_captioned, as_conditional

from .background.resources import capitalize, escape, load_caption, load_class, load_generator, shorten
from .state import ALL_CLASSES, CAPTION, CLASS, GENERATOR, LAYER, SEGMENTER
from .visit import find_inputs, first_layer


def choose_model(settings: argparse.Namespace) -> tuple[Generator, str, str]:
    """Let the visitor choose generator, segmenter and layer.

    Raises:
        ValueError: If no generator is available.
    """
    names = generator_names(settings)
    name_in_url = st.query_params.get(GENERATOR)
    if name_in_url is not None and name_in_url not in names:
        message = f"Unknown generator {escape(name_in_url)}; to add one, run gandissect explore FILE."
        st.toast(message, icon=":material/warning:")
    with st.sidebar:
        st.markdown("### gandissect\nInspect and edit the units of a GAN.")
        name = st.selectbox("Generator", names, format_func=shorten, key=GENERATOR, bind="query-params")
        generator = _choose_drawn(name, settings)
        options = segmenter_options(name, settings)
        segmenter = st.selectbox("Segmenter", options, format_func=shorten, key=SEGMENTER, bind="query-params")
        layers = list(generator.layers)
        first = layers.index(first_layer(generator))
        layer = st.selectbox("Layer", layers, first, key=LAYER, bind="query-params")
        info = generator.layers[layer]
        st.caption(f"{info.units} units on a grid of {info.height} x {info.width}")
    return generator, segmenter, layer


def _choose_drawn(name: str, settings: argparse.Namespace) -> Generator:
    """Let the visitor choose a class or a caption, where there are any; return the generator that draws from it."""
    inputs = find_inputs(name, settings)
    generator = load_generator(name, settings.device, inputs)
    if (captioned := as_captioned(generator)) is not None:
        return _choose_caption(name, settings.device, captioned)
    if (conditional := as_conditional(generator)) is None:
        return generator
    draws_all = conditional.drawn == conditional.classes  # a UNIT draws from one direction
    options = [*([ALL_CLASSES] if draws_all else []), *conditional.classes]
    first = 0 if draws_all else options.index(conditional.drawn[0])
    chosen = st.selectbox("Class", options, first, key=CLASS, bind="query-params")
    is_whole = chosen == ALL_CLASSES or conditional.drawn == (chosen,)
    return generator if is_whole else load_class(name, settings.device, chosen, inputs)


def _choose_caption(name: str, device: str, generator: CaptionedGenerator) -> Generator:
    """Let the visitor write a caption; return the generator that draws from it, or from all if it cannot be read."""
    caption = st.text_input(
        "Caption",
        key=CAPTION,
        bind="query-params",
        placeholder="Empty: those of its training",
        help=f"For example: {escape(generator.captions[0])}",
    )
    if not caption or not caption.strip():
        return generator
    try:
        return load_caption(name, device, caption)
    except (KeyError, ValueError) as error:
        problem, _, words = str(error.args[0]).partition(" known: ")
        st.error(escape(f"{capitalize(problem).rstrip(';')}. The pictures show captions of its training instead."))
        if words:
            st.caption(f"Known words: {escape(words)}")
        return generator


def generator_names(settings: argparse.Namespace) -> list[str]:
    """Return the names of the available generators: the one passed on the command line, and the bundled ones.

    Raises:
        ValueError: If no generator is available.
    """
    names = list(dict.fromkeys([*filter(None, [settings.generator]), *generators.names()]))
    if not names:
        raise ValueError("no generators are bundled; run gandissect explore FILE.safetensors")
    return names


def segmenter_options(generator: str, settings: argparse.Namespace) -> list[str]:
    """Return the names of the available segmenters: the requested one, and those that fit the generator, else all."""
    import segmenters

    requested = [settings.segmenter] if settings.segmenter and settings.generator in (None, generator) else []
    fit = segmenters.names_for(generator) or (*segmenters.names(), "palette")
    return list(dict.fromkeys([*requested, *fit]))
