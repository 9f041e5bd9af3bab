"""The page of the latent space: ways between pictures, truncation, mixtures, directions, and real pictures."""

from __future__ import annotations

import streamlit as st

from gandissect.latent import capabilities

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
    """Draw the part of the page that is asked for."""
    part = st.segmented_control(
        "part", PARTS, default="walk", required=True, label_visibility="collapsed", key="part", bind="query-params"
    )
    allowed = capabilities(visit.generator)
    has = "z and w, a style for each layer" if allowed.has_w else "z, and no styles"
    counts = "; of z only the direction counts" if allowed.normalizes_z else ""
    st.caption(f"This generator has {has}{counts}.")
    PARTS[part](visit)
