"""The sidebar: which networks and which layer."""

from __future__ import annotations

import argparse

import streamlit as st

import generators
from gandissect import Generator

from ..data import fitting
from .background.resources import escape, load_generator, shorten
from .visit import first_layer


def choose_model(given: argparse.Namespace) -> tuple[Generator, str, str]:
    """Let the visitor choose generator, segmenter and layer.

    Raises:
        ValueError: If there is no generator to choose.
    """
    names = generator_names(given)
    if (told := st.query_params.get("generator")) not in (None, *names):
        st.toast(f"There is no generator {escape(told)} here; start with --generator FILE.", icon=":material/warning:")
    with st.sidebar:
        st.markdown("### gandissect\nSee what a GAN's units draw, and use them.")
        name = st.selectbox("generator", names, format_func=shorten, key="generator", bind="query-params")
        generator = load_generator(name, given.device)
        options = segmenter_options(name, given)
        segmenter = st.selectbox("segmenter", options, format_func=shorten, key="segmenter", bind="query-params")
        layers = list(generator.layers)
        first = layers.index(first_layer(generator))
        layer = st.selectbox("layer", layers, first, key="layer", bind="query-params")
        info = generator.layers[layer]
        st.caption(f"{info.units} units on a grid of {info.height} x {info.width}")
    return generator, segmenter, layer


def generator_names(given: argparse.Namespace) -> list[str]:
    """Return the generators to offer: the one asked for, and the bundled ones.

    Raises:
        ValueError: If there is none.
    """
    names = list(dict.fromkeys([*filter(None, [given.generator]), *generators.names()]))
    if not names:
        raise ValueError("no generator is bundled here; start with: gandissect explore --generator FILE.safetensors")
    return names


def segmenter_options(generator: str, given: argparse.Namespace) -> list[str]:
    """Return the segmenters to offer: the one asked for, and those that fit the generator, or all if none does."""
    import segmenters

    asked = [given.segmenter] if given.segmenter and given.generator in (None, generator) else []
    fit = fitting(generator, segmenters.names()) or (*segmenters.names(), "palette")
    return list(dict.fromkeys([*asked, *fit]))
