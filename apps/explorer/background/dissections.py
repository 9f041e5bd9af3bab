"""The dissection of a layer on a page: the result, its progress, or its failure."""

from __future__ import annotations

import streamlit as st

from gandissect import Dissection, LayerDissection, Segmenter

from ..visit import Visit
from .progress import follow_task
from .resources import escape, load_dissector


def follow_dissection(visit: Visit, segmenter: Segmenter) -> LayerDissection | None:
    """Return the dissection of a visit's layer; until then, show the progress and return None."""
    dissector = load_dissector(visit.settings.num_samples, visit.settings.dissection)
    if dissector.saved and not dissector.matches(visit.measured, segmenter):
        folder = escape(visit.settings.dissection)
        st.info(f"The dissection in {folder} belongs to other networks; this layer is dissected again.")
    key = dissector.begin(visit.measured, segmenter, visit.layer).key
    dissection: Dissection | None = follow_task(key, f"Dissecting {visit.layer}", shared=dissector.tasks)
    if dissection is None:
        return None
    provenance = dissection.provenance
    share = f"{100 * provenance.quantile:g}%"
    st.caption(f"IoU measured on {provenance.num_samples} pictures; units are on in their top {share}.")
    return dissection[visit.layer]
