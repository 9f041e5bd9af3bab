"""The sidebar: which networks and which layer."""

from __future__ import annotations

import argparse

import streamlit as st

import generators
from apps.data import fitting
from gandissect import Generator

from .cached import load_generator, short


def choose_model(given: argparse.Namespace) -> tuple[Generator, str, str]:
    """Let the visitor choose generator, segmenter and layer.

    Raises:
        ValueError: If there is no generator to choose.
    """
    names = list(dict.fromkeys([*filter(None, [given.generator]), *generators.names()]))
    if not names:
        raise ValueError("no generator is bundled here; start with: gandissect explore --generator FILE.safetensors")
    with st.sidebar:
        name = st.selectbox("generator", names, format_func=short, key="generator", bind="query-params")
        generator = load_generator(name, given.device)
        options = segmenter_options(name, given)
        segmenter = st.selectbox("segmenter", options, format_func=short, key="segmenter", bind="query-params")
        layers = list(generator.layers)
        middle = len(layers) // 2
        layer = st.selectbox("layer", layers, middle, key="layer", bind="query-params")
        info = generator.layers[layer]
        st.caption(f"{info.units} units on a grid of {info.height} x {info.width}")
    return generator, segmenter, layer


def segmenter_options(generator: str, given: argparse.Namespace) -> list[str]:
    """Return the segmenters to offer: the one asked for, and those that fit the generator, or all if none does."""
    import segmenters

    asked = [given.segmenter] if given.segmenter and given.generator in (None, generator) else []
    fit = fitting(generator, segmenters.names()) or (*segmenters.names(), "palette")
    return list(dict.fromkeys([*asked, *fit]))
