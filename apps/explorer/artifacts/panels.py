"""Panels of the page Artifacts: the worst pictures before and after, the distances, and the ranking."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st
from jaxtyping import Float64
from torch import Tensor

from gandissect import Ablation, ArtifactRanking, UnitSet
from gandissect.artifacts.results import RepairCurve
from gandissect.report.comparison import COLORS

from ..background.resources import capitalize, escape, pluralize
from ..display.images import draw_picture
from ..display.strip import StripImage, show_strip
from ..networks import edit_images, make_images
from ..visit import Visit
from .measurements import curve_table


def show_worst(visit: Visit, worst: list[int], scores: Float64[Tensor, " picture"]) -> None:
    """Draw the least realistic pictures of the seed."""
    images = [make_images(visit.measured, visit.measured.sample_z(1, visit.seed, number))[0] for number in worst]
    pictures = [
        StripImage(
            draw_picture(image),
            f"Picture {number}, realism {scores[number]:.2f}",
            f"{scores[number]:.2f}",
            number,
            "Pick this picture",
        )
        for number, image in zip(worst, images, strict=True)
    ]
    st.markdown(f"**Least realistic of the first {len(scores)} pictures of seed {visit.seed}** (realism below each)")
    show_strip("worst", pictures)


def show_worst_without(visit: Visit, worst: list[int], off: UnitSet) -> None:
    """Draw the same pictures with units off."""
    pictures = []
    for number in worst:
        z = visit.measured.sample_z(1, visit.seed, number)
        image = edit_images(visit.measured, z, [Ablation(off)])[0]
        pictures.append(StripImage(draw_picture(image), f"Picture {number} with {pluralize(len(off), 'unit')} off"))
    st.markdown(f"**The same pictures with {pluralize(len(off), 'unit')} of {escape(visit.layer)} off**")
    show_strip("without", pictures)


def show_curve(curve: RepairCurve, num_units: int) -> None:
    """Show the distance before and after, with random units and the floor."""
    frame = curve_table(curve)
    row = frame[frame["units"] == num_units].iloc[0]
    before, after = frame["distance"][0], row["distance"]
    with st.container(horizontal=True, gap="large"):
        st.metric("Before", f"{before:.1f}", width="content")
        now = f"{pluralize(num_units, 'unit')} off"
        st.metric(now, f"{after:.1f}", f"{after - before:+.1f}", delta_color="inverse", width="content")
        st.metric("Random units off", f"{row['random low']:.1f} to {row['random high']:.1f}", width="content")
    axis = alt.X("units:Q", title="Units switched off", axis=alt.Axis(values=frame["units"].tolist()))
    base = alt.Chart(frame).encode(x=axis)
    scale = alt.Scale(zero=False)
    random = base.mark_area(opacity=0.35, color="#999999").encode(
        y=alt.Y("random low:Q", scale=scale, title="Distance"), y2="random high:Q"
    )
    ranked = base.mark_line(point=alt.OverlayMarkDef(color=COLORS[1]), color=COLORS[1]).encode(
        y=alt.Y("distance:Q", scale=scale)
    )
    spread = base.mark_rule(color=COLORS[1]).encode(y="low:Q", y2="high:Q")
    words = "; ".join(
        f"{units} units {value:.1f}" for units, value in zip(frame["units"], frame["distance"], strict=True)
    )
    st.altair_chart((random + spread + ranked).properties(height=240), alt=f"Distance from real pictures: {words}")
    st.caption(
        f"Fréchet distance with features of {escape(curve.network)}; {curve.distance.shape[1]} sets of "
        f"{curve.num_images} pictures. Bars: range over the sets. Gray: the same number of random units. Distance "
        f"between sets of real pictures: {curve.floor.mean:.1f}. {escape(capitalize(str(curve)))}."
    )


def show_ranking(ranking: ArtifactRanking, off: UnitSet) -> None:
    """Show the units, with those that are off checked."""
    records = pd.DataFrame(ranking.records()).drop(columns=["varies", "distance"])
    records.insert(1, "off", records["unit"].isin(off.units))
    number = st.column_config.NumberColumn
    columns = {
        "unit": number(width=50),
        "off": st.column_config.CheckboxColumn(width=45),
        "effect": number(format="%+.2f", width=70, help="Decrease of the distance when only this unit is off"),
        "effect_stderr": number("±", format="%.2f", width=55, help="Standard error of the effect"),
        "excess": number(
            format="%+.2f", width=70, help="Extra distance from real pictures of those in which the unit is most active"
        ),
        "realism_correlation": number("realism", format="%+.2f", width=70, help="Rank correlation with realism"),
    }
    order = [name for name in columns if name in records]
    st.dataframe(
        records, hide_index=True, height=330, column_config=columns, column_order=order, alt="Units, worst first"
    )
