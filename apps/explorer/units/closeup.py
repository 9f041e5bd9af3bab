"""Units in detail: the pictures with the highest activations of a unit, and the units that are on at a cell."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from jaxtyping import Float, Float32
from torch import Tensor

from gandissect import LayerDissection, UnitSet
from gandissect.core.rows import limit_rows

from ..components.cell_picker import pick_cell
from ..display.images import draw_picture, encode_png
from ..display.strip import StripImage, show_strip
from ..networks import fingerprint_of, run_head
from ..visit import Visit
from .activity import draw_outline, find_active_units, measure_peaks

NUM_PICTURES, NUM_SHOWN = 256, 8
MAX_UNITS = 12
"""Maximum number of units shown for a cell."""


def _facts(visit: Visit) -> tuple[str, str, int]:
    return fingerprint_of(visit.measured), visit.layer, visit.seed


@st.cache_data(max_entries=64, show_spinner="Finding the top pictures of the layer's units", hash_funcs={Visit: _facts})
def find_layer_peaks(visit: Visit) -> Float32[Tensor, "picture unit"]:
    """Return `measure_peaks` of the first pictures of a visit's seed, cached for all visitors."""
    return measure_peaks(visit.measured, visit.layer, visit.seed, limit_rows(visit.measured, NUM_PICTURES))


def show_best_pictures(visit: Visit, dissection: LayerDissection, units: UnitSet) -> None:
    """Show the seed's pictures with the highest activations of a chosen unit; a button below picks one."""
    titles = {unit: f"unit {unit}, {dissection.matches[unit].concept or 'no concept'}" for unit in units.units}
    if not titles:
        st.info("Choose units above to see their top pictures.")
        return
    # an earlier choice may no longer be among the titles
    unit = st.selectbox(
        "Unit", titles, format_func=lambda unit: titles.get(unit, str(unit)), key=f"best {visit.layer}", width=280
    )
    peaks = find_layer_peaks(visit)[:, unit]
    order = peaks.argsort(descending=True, stable=True)[:NUM_SHOWN].tolist()
    level = float(dissection.thresholds[unit])
    pictures = [
        StripImage(
            draw_outline(visit.measured, visit.seed, number, unit, visit.layer, level),
            f"Picture {number}, with the regions where unit {unit} is on outlined",
            number=number,
            help=f"Maximum activation {float(peaks[number]):.2f}; threshold {level:.2f}",
        )
        for number in order
    ]
    show_strip("best", pictures)
    st.caption(
        f"The {len(pictures)} of the first {len(peaks)} pictures of seed {visit.seed} with the highest activation of "
        "the unit; outlined where it is on. Click a number to pick the picture."
    )


def show_cell(visit: Visit, dissection: LayerDissection, image: Float[Tensor, "3 H W"]) -> None:
    """Let the visitor pick a cell of the picture, and show the units that are on there."""
    activation = run_head(visit.generator, visit.z, visit.layer)[0].float().cpu()
    grid = dissection.info.height, dissection.info.width
    left, right = st.container(key="place").columns([2, 3], gap="medium")
    with left:
        alt = f"Picture {visit.number}, {grid[0]} by {grid[1]} cells."
        row, column = pick_cell(f"{visit.layer} {grid}", encode_png(draw_picture(image)), grid, alt)
    with right:
        on = find_active_units(activation, dissection.thresholds, row, column)
        st.markdown(f"**{len(on)} of {dissection.info.units} units on** in row {row}, column {column}")
        if not len(on):
            st.info("No unit is on here. Click elsewhere on the picture.")
            return
        show_active(on, dissection)


def show_active(on: pd.DataFrame, dissection: LayerDissection) -> None:
    """Show the units that are on at a cell, with their concepts."""
    matches = [dissection.matches[unit] for unit in on["unit"]]
    on = on.assign(concept=[match.concept or "none" for match in matches], IoU=[match.iou for match in matches])
    number = st.column_config.NumberColumn
    columns = {
        "unit": number(width=50),
        "concept": st.column_config.TextColumn(width=90),
        "IoU": number(format="%.3f", width=60),
        "activation": number(format="%.2f", width=80),
        "threshold": number(format="%.2f", width=80),
    }
    st.dataframe(
        on.head(MAX_UNITS),
        hide_index=True,
        column_config=columns,
        column_order=list(columns),
        width="content",
        alt="Units that are on at the cell",
    )
    if len(on) > MAX_UNITS:
        st.caption(f"Shows the {MAX_UNITS} of {len(on)} units that exceed their threshold most.")
