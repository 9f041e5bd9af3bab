"""The page Latent: walks, truncation, mixing, directions, and the visitor's own picture."""

from __future__ import annotations

import streamlit as st

from gandissect.core.rows import noise_length
from gandissect.latent import capabilities

from ..background.resources import escape
from ..latent.inverting import draw_inverting
from ..latent.mixing import draw_mixing
from ..latent.steering import draw_steering
from ..latent.walking import draw_truncation, draw_walk
from ..visit import Visit

PARTS = {
    "walk": draw_walk,
    "truncation": draw_truncation,
    "mixing": draw_mixing,
    "directions": draw_steering,
    "your picture": draw_inverting,
}


def draw(visit: Visit) -> None:
    """Draw the chosen part of the page; a translator without noise has none."""
    try:
        noise_length(visit.generator)
    except ValueError as error:
        st.info(escape(str(error)))
        return
    part = st.segmented_control(
        "Part", PARTS, default="walk", required=True, label_visibility="collapsed", key="part", bind="query-params"
    )
    allowed = capabilities(visit.generator)
    spaces = "z and w, with one style per layer" if allowed.has_w else "z only, without styles"
    normalization = "; z is normalized" if allowed.normalizes_z else ""
    st.caption(f"Latent spaces of this generator: {spaces}{normalization}.")
    PARTS[part](visit)
