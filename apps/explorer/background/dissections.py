"""The dissection of a layer on a page: there, or a progress bar until it is, or what went wrong."""

from __future__ import annotations

import streamlit as st

from gandissect import Dissection, LayerDissection, Segmenter

from ..visit import Visit
from .progress import follow_task
from .resources import escape, load_dissector


def follow_dissection(visit: Visit, segmenter: Segmenter) -> LayerDissection | None:
    """Return the dissection of a visit's layer; None, with a progress bar on the page, while it is not done."""
    dissector = load_dissector(visit.settings.num_samples, visit.settings.dissection)
    if dissector.saved and not dissector.serves(visit.generator, segmenter):
        folder = escape(visit.settings.dissection)
        st.info(f"The dissection in {folder} is of other networks; this layer is dissected again.")
    key = dissector.begin(visit.generator, segmenter, visit.layer).key
    dissection: Dissection | None = follow_task(key, f"dissecting {visit.layer}", shared=dissector.tasks)
    if dissection is None:
        return None
    provenance = dissection.provenance
    share = f"{100 * provenance.quantile:g} %"
    st.caption(f"IoU from {provenance.num_samples} pictures; a unit is on at its highest {share} of pixels.")
    return dissection[visit.layer]
