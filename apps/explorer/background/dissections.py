"""The dissection of a layer on a page: there, or a progress bar until it is, or what went wrong."""

from __future__ import annotations

import streamlit as st

from gandissect import LayerDissection, Segmenter

from ..visit import Visit
from .progress import follow_task
from .resources import escape, load_dissector


def follow_dissection(visit: Visit, segmenter: Segmenter) -> LayerDissection | None:
    """Return the dissection of a visit's layer; None, with a progress bar on the page, while it is not done."""
    dissector = load_dissector(visit.given.num_samples, visit.given.dissection)
    if dissector.saved and not dissector.serves(visit.generator, segmenter):
        folder = escape(visit.given.dissection)
        st.info(f"The dissection in {folder} is of other networks; this layer is follow_dissection anew.")
    key = dissector.begin(visit.generator, segmenter, visit.layer).key
    found = follow_task(key, f"dissecting {visit.layer}", shared=dissector.tasks)
    if found is None:
        return None
    made = found.provenance
    share = f"{100 * made.quantile:g} %"
    st.caption(f"IoU from {made.num_samples} pictures; a unit is on at its highest {share} of pixels.")
    return found[visit.layer]
