"""The dissection of the chosen layer on a page: there, or a progress bar until it is."""

from __future__ import annotations

import streamlit as st

from gandissect import LayerDissection, Segmenter

from .cached import load_dissector, plain
from .jobs import Job
from .visit import Visit


def dissected(visit: Visit, segmenter: Segmenter) -> LayerDissection | None:
    """Return the dissection of a visit's layer; None, with a progress bar on the page, while it is not done."""
    dissector = load_dissector(visit.given.num_samples, visit.given.dissection)
    if dissector.saved and not dissector.serves(visit.generator, segmenter):
        folder = plain(visit.given.dissection)
        st.info(f"The dissection in {folder} is of other networks; this layer is dissected anew.")
    job = dissector.job(visit.generator, segmenter, visit.layer)
    if not job.result.done():
        wait_for(job, visit.layer)
        return None
    found = job.result.result()
    made = found.provenance
    share = f"{100 * made.quantile:g} %"
    st.caption(f"IoU from {made.num_samples} pictures; a unit is on at its highest {share} of pixels.")
    return found[visit.layer]


@st.fragment(run_every=1.0)
def wait_for(job: Job, layer: str) -> None:
    """Show how far a dissection is; draw the page anew when it is done."""
    if job.result.done():
        st.rerun(scope="app")
    done = f"{job.num_labelled} of {job.num_samples} pictures labelled" if job.num_labelled else "finding thresholds"
    st.progress(job.num_labelled / job.num_samples, f"dissecting {plain(layer)}: {done}")
