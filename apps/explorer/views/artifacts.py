"""The page of artifacts: the worst pictures, the units behind them, and what switching these off brings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st
from torch import Tensor

from gandissect import Ablation, ArtifactRanking, Segmenter, UnitSet
from gandissect.artifacts.results import RepairCurve
from gandissect.fidelity.yardstick import Yardstick
from gandissect.report.comparison import COLORS

from ..artifacts import measurements
from ..background.progress import follow_task, visitor_tasks
from ..background.resources import escape, load_segmenter, pluralize
from ..display.images import draw_picture
from ..display.strip import StripImage, show_strip
from ..networks import edit_images, fingerprint_of, make_images
from ..visit import Visit

SIZES = measurements.Sizes()
WORST = 8
MANY_UNITS = 128
"""From so many units on, the quick way to rank them is the default."""

METHODS = {
    "effect": "what each unit alone does",
    "distance": "which pictures it is on in",
}


def draw(visit: Visit) -> None:
    """Draw the page as far as it is known."""
    st.markdown("#### Units behind artifacts")
    specs = measurements.find_real_specs(visit.generator.name, visit.given.data)
    units = visit.generator.layers[visit.layer].units
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.segmented_control(
            "rank units by",
            METHODS,
            default="distance" if units > MANY_UNITS else "effect",
            required=True,
            format_func=METHODS.get,
            key=f"method {units > MANY_UNITS}",
        )
        wanted = f"artifacts {fingerprint_of(visit.generator)} {visit.layer} {method}"
        if not st.session_state.get(wanted):
            st.button(
                f"Look for artifacts in {escape(visit.layer)}",
                type="primary",
                icon=":material/search:",
                key="look",
                on_click=st.session_state.__setitem__,
                args=(wanted, True),
            )
    looked = SIZES.for_ranking(method, units)
    st.caption(
        f"In the background {escape(visit.generator.name)} is compared with {pluralize(SIZES.real, 'picture')} that it "
        f"learned from, by features of the segmenter; its {units} units are ranked over {looked} generated pictures. "
        "What each unit alone does tells causes; which pictures it is on in is quicker, and tells what goes together."
    )
    if st.session_state.get(wanted):
        investigate(visit, specs, method, wanted)


def investigate(visit: Visit, specs: tuple[str, ...], method: str, wanted: str) -> None:
    """Show what is known, and go on with what is not."""
    segmenter = load_segmenter(visit.segmenter_name, visit.given.device)
    generator = visit.generator
    size = generator.image_size[0]
    of = (fingerprint_of(segmenter), specs, size)

    def step(name: str, key: tuple[Hashable, ...], what: str, total: int, work: Callable[[], Any]) -> Any:
        visitor_tasks().begin((name, *key), total, work)
        return follow_task((name, *key), what, wanted)

    real = step(
        "real",
        of,
        "reading real pictures",
        2 * (SIZES.real + SIZES.held_out),
        lambda: measurements.make_yardstick(segmenter, specs, size, SIZES),
    )
    if real is None:
        return
    own = (*of, fingerprint_of(generator))
    scores = step(
        "score",
        (*own, visit.seed),
        "scoring pictures",
        SIZES.scored,
        lambda: measurements.score(generator, real, visit.seed, SIZES.scored),
    )
    if scores is None:
        return
    worst = scores.argsort()[:WORST].tolist()
    place = st.container()
    ranking = step(
        "rank",
        (*own, visit.layer, method),
        f"ranking the units of {visit.layer}",
        SIZES.for_ranking(method, generator.layers[visit.layer].units),
        _on_copy(visit, lambda own_generator: measurements.rank(own_generator, visit.layer, real, method, SIZES)),
    )
    with place:
        show_worst(visit, worst, scores)
    if ranking is None:
        return
    counts = [each for each in (0, *SIZES.counts) if each <= len(ranking.distance)]
    num_units = st.select_slider(
        f"units of {visit.layer} switched off, worst first", counts, counts[1], key=f"off {len(counts)}"
    )
    off = ranking.top(num_units)
    show_worst_without(visit, worst, off)
    left, right = st.container(key="results").columns(2, gap="medium")
    with left:
        st.markdown("#### Distance from real pictures")
        place = st.container()
        curve = find_distances(visit, (*own, visit.layer, method), ranking, real, num_units or counts[1], wanted)
        if curve is not None:
            with place:
                show_curve(curve, num_units)
    with right:
        st.markdown("#### Units, worst first")
        show_ranking(ranking, off)
    if curve is not None and num_units and list(curve.counts) == counts:
        offer_report(visit, segmenter, real, ranking, curve, off)


def find_distances(
    visit: Visit, of: tuple[Hashable, ...], ranking: ArtifactRanking, real: Yardstick, num_units: int, wanted: str
) -> RepairCurve | None:
    """Return the distances for all numbers of units; until they are measured, those for the number that is looked at.

    That number comes first, since the whole curve takes several times as long.
    """

    def measured(counts: tuple[int, ...]) -> RepairCurve | None:
        sizes = replace(SIZES, counts=counts)
        work = _on_copy(visit, lambda own: measurements.measure(own, ranking, real, sizes))
        visitor_tasks().begin(("curve", *of, counts), sizes.for_curve(len(ranking.distance)), work)
        what = "measuring distances"
        if len(counts) == 1:
            what += f" with {pluralize(counts[0], 'unit')} off"
        return follow_task(("curve", *of, counts), what, wanted)

    if visitor_tasks().get(("curve", *of, SIZES.counts)) is None and measured((num_units,)) is None:
        return None
    first = visitor_tasks().get(("curve", *of, (num_units,)))
    return measured(SIZES.counts) or (first and first.found)


def show_worst(visit: Visit, worst: list[int], scores: Tensor) -> None:
    """Draw the pictures of the seed that are least like real ones."""
    images = [make_images(visit.generator, visit.generator.sample_z(1, visit.seed, each))[0] for each in worst]
    shown = [
        StripImage(
            draw_picture(image),
            f"Picture {number}, of realism {scores[number]:.2f}",
            f"{scores[number]:.2f}",
            number,
            "pick this picture",
        )
        for number, image in zip(worst, images, strict=True)
    ]
    st.markdown(f"**The worst of the first {len(scores)} pictures of seed {visit.seed}**, by realism")
    show_strip("worst", shown)


def show_worst_without(visit: Visit, worst: list[int], off: UnitSet) -> None:
    """Draw the same pictures with some units off."""
    shown = []
    for number in worst:
        z = visit.generator.sample_z(1, visit.seed, number)
        image = edit_images(visit.generator, z, [Ablation(off)])[0]
        shown.append(StripImage(draw_picture(image), f"Picture {number} with {pluralize(len(off), 'unit')} off"))
    st.markdown(f"**The same pictures with {pluralize(len(off), 'unit')} of {escape(visit.layer)} off**")
    show_strip("without", shown)


def show_curve(curve: RepairCurve, num_units: int) -> None:
    """Show the distance before and after, beside random units and the floor."""
    frame = measurements.curve_table(curve)
    row = frame[frame["units"] == num_units].iloc[0]
    before, after = frame["distance"][0], row["distance"]
    with st.container(horizontal=True, gap="large"):
        st.metric("before", f"{before:.1f}", width="content")
        now = f"{pluralize(num_units, 'unit')} off"
        st.metric(now, f"{after:.1f}", f"{after - before:+.1f}", delta_color="inverse", width="content")
        st.metric("random units off", f"{row['random low']:.1f} to {row['random high']:.1f}", width="content")
    axis = alt.X("units:Q", title="units switched off", axis=alt.Axis(values=frame["units"].tolist()))
    base = alt.Chart(frame).encode(x=axis)
    scale = alt.Scale(zero=False)
    random = base.mark_area(opacity=0.35, color="#999999").encode(
        y=alt.Y("random low:Q", scale=scale, title="distance"), y2="random high:Q"
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
        f"Frechet distance over {escape(curve.network)}, {curve.distance.shape[1]} sets of {curve.num_images} pictures "
        f"each; bars from the least set to the largest, grey as many random units; real pictures among themselves "
        f"{curve.floor.mean:.1f}. {escape(str(curve)[:1].upper() + str(curve)[1:])}."
    )


def show_ranking(ranking: ArtifactRanking, off: UnitSet) -> None:
    """Show the units, those that are off marked."""
    records = pd.DataFrame(ranking.records()).drop(columns=["varies", "distance"])
    records.insert(1, "off", records["unit"].isin(off.units))
    number = st.column_config.NumberColumn
    columns = {
        "unit": number(width=50),
        "off": st.column_config.CheckboxColumn(width=45),
        "effect": number(format="%+.2f", width=70, help="how much less the distance is without the unit alone"),
        "effect_stderr": number("±", format="%.2f", width=55, help="standard error of the effect"),
        "excess": number(
            format="%+.2f", width=70, help="how much farther from real pictures those are in which it is highest"
        ),
        "realism_correlation": number("realism", format="%+.2f", width=70, help="rank correlation with realism"),
    }
    order = [name for name in columns if name in records]
    st.dataframe(
        records, hide_index=True, height=330, column_config=columns, column_order=order, alt="Units, worst first"
    )


def offer_report(
    visit: Visit, segmenter: Segmenter, real: Yardstick, ranking: ArtifactRanking, curve: RepairCurve, off: UnitSet
) -> None:
    """Offer the repair report of the units that are off: to write, how far it is, or to download."""
    key = ("report", fingerprint_of(visit.generator), fingerprint_of(segmenter), ranking.method, off)
    report = follow_task(key, "writing the repair report")
    if report is not None:
        (st.success if report.repair.helps else st.info)(f"{escape(str(report.repair))}.")
        st.download_button(
            "Download the repair report",
            report.file,
            "repair.zip",
            "application/zip",
            key="report file",
            icon=":material/download:",
            on_click="ignore",
            help="report.html, report.pdf, repair.json, recipe.json",
        )
    elif visitor_tasks().get(key) is None:
        work = _on_copy(
            visit,
            lambda own: measurements.make_report(own, curve, off, real, ranking, segmenter, SIZES),
        )
        st.button(
            f"Write the repair report for {pluralize(len(off), 'unit')}",
            icon=":material/description:",
            key="report",
            on_click=visitor_tasks().begin,
            args=(key, SIZES.for_report(), work),
            help="measured on pictures that nothing was chosen with; it takes a minute or more",
        )
        st.caption(
            f"It is measured with {SIZES.held_out} held-out pictures; with all of them, and more generated ones: "
            "`gandissect repair` on the command line."
        )


def _on_copy(visit: Visit, work: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return work on a copy of the generator: ranking traces layers with hooks, and visitors share the generator."""
    return lambda: work(copy.deepcopy(visit.generator))
