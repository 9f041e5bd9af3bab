"""The page Artifacts: the least realistic pictures, the units behind them, and the effect of switching those off."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st
from jaxtyping import Float64
from torch import Tensor

from gandissect import ArtifactRanking, Segmenter, UnitSet
from gandissect.artifacts.ranking import RankingMethod
from gandissect.artifacts.results import RepairCurve
from gandissect.core.drawn import Drawn
from gandissect.fidelity.yardstick import Yardstick

from ..artifacts import measurements
from ..artifacts.panels import show_curve, show_ranking, show_worst, show_worst_without
from ..background.progress import follow_task, visitor_tasks
from ..background.resources import capitalize, escape, load_segmenter, pluralize
from ..networks import fingerprint_of
from ..state import artifacts_key
from ..visit import Visit

SIZES = measurements.Sizes()
NUM_WORST = 8
MANY_UNITS = 128
"""Number of units above which the faster ranking is the default."""

METHODS: dict[RankingMethod, str] = {
    "effect": "effect of each unit",
    "distance": "activity in unrealistic pictures",
}


def draw(visit: Visit) -> None:
    """Draw the page, with the results available so far."""
    st.markdown("#### Units behind artifacts")
    specs = measurements.find_real_specs(visit.measured.name, visit.settings.data)
    units = visit.measured.layers[visit.layer].units
    quick: RankingMethod = "distance" if units > MANY_UNITS else "effect"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.segmented_control(
            "Rank units by",
            METHODS,
            default=quick,
            required=True,
            format_func=METHODS.__getitem__,
            key=f"method {units > MANY_UNITS}",
        )
        entry = artifacts_key(fingerprint_of(visit.measured), visit.layer, method)
        if not st.session_state.get(entry):
            st.button(
                f"Find artifacts in {escape(visit.layer)}",
                type="primary",
                icon=":material/search:",
                key="look",
                on_click=st.session_state.__setitem__,
                args=(entry, True),
            )
    st.caption(
        f"Compares {escape(visit.measured.name)} with {pluralize(SIZES.real, 'training picture')} by features of the "
        f"segmenter, and ranks its {units} units on {SIZES.for_ranking(method, units)} generated pictures, in the "
        "background. The effect of each unit is causal; activity in unrealistic pictures is faster to measure but only "
        "a correlation."
    )
    drawn = Drawn.of(visit.measured)
    if drawn.classes or drawn.captions:
        st.info(
            "If the training pictures are of other classes or captions too, part of the distance is their difference. "
            "Choose all classes, or clear the caption, to compare like with like."
        )
    if st.session_state.get(entry):
        investigate(visit, specs, method, entry)


def investigate(visit: Visit, specs: tuple[str, ...], method: RankingMethod, entry: str) -> None:
    """Show the available results, and start the computation of the others."""
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    key: tuple[Hashable, ...] = (fingerprint_of(segmenter), specs, visit.measured.image_size[0])
    yardstick = follow_yardstick(visit, segmenter, specs, key, entry)
    if yardstick is None:
        return
    key = (*key, fingerprint_of(visit.measured))
    scores = follow_scores(visit, yardstick, key, entry)
    if scores is None:
        return
    worst = scores.argsort()[:NUM_WORST].tolist()
    key, worst_pictures = (*key, visit.layer, method), st.container()
    ranking = follow_ranking(visit, yardstick, method, key, entry)
    with worst_pictures:
        show_worst(visit, worst, scores)
    if ranking is not None:
        show_repair(visit, segmenter, yardstick, ranking, worst, key, entry)


def show_repair(
    visit: Visit,
    segmenter: Segmenter,
    yardstick: Yardstick,
    ranking: ArtifactRanking,
    worst: list[int],
    key: tuple[Hashable, ...],
    entry: str,
) -> None:
    """Let the visitor switch off the units behind the worst pictures, and show the effect."""
    counts = [count for count in (0, *SIZES.counts) if count <= len(ranking.distance)]
    num_units = st.select_slider(
        f"Units of {visit.layer} switched off, worst first", counts, counts[1], key=f"off {len(counts)}"
    )
    off = ranking.top(num_units)
    show_worst_without(visit, worst, off)
    left, right = st.container(key="results").columns(2, gap="medium")
    with left:
        st.markdown("#### Distance from real pictures")
        curve_container = st.container()
        curve = find_distances(visit, key, ranking, yardstick, num_units or counts[1], entry)
        if curve is not None:
            with curve_container:
                show_curve(curve, num_units)
    with right:
        st.markdown("#### Units, worst first")
        show_ranking(ranking, off)
    if curve is not None and num_units and list(curve.counts) == counts:
        offer_report(visit, segmenter, yardstick, ranking, curve, off)


def follow_yardstick(
    visit: Visit, segmenter: Segmenter, specs: tuple[str, ...], key: tuple[Hashable, ...], entry: str
) -> Yardstick | None:
    """Return the yardstick of real pictures; None until they are read."""
    size = visit.measured.image_size[0]
    work = partial(measurements.make_yardstick, segmenter, specs, size, SIZES, visit.settings.skip_broken)
    total = 2 * (SIZES.real + SIZES.held_out)
    yardstick: Yardstick | None = _follow(("real", *key), "Reading real pictures", total, work, entry)
    return yardstick


def follow_scores(
    visit: Visit, yardstick: Yardstick, key: tuple[Hashable, ...], entry: str
) -> Float64[Tensor, " picture"] | None:
    """Return the realism of the first pictures of the seed; None until they are scored."""
    work = partial(measurements.score, visit.measured, yardstick, visit.seed, SIZES.scored)
    scores: Tensor | None = _follow(("score", *key, visit.seed), "Scoring pictures", SIZES.scored, work, entry)
    return scores


def follow_ranking(
    visit: Visit, yardstick: Yardstick, method: RankingMethod, key: tuple[Hashable, ...], entry: str
) -> ArtifactRanking | None:
    """Return the ranking of the layer's units; None until it is computed."""
    work = partial(measurements.rank, visit.measured, visit.layer, yardstick, method, SIZES)
    total = SIZES.for_ranking(method, visit.measured.layers[visit.layer].units)
    title = f"Ranking the units of {visit.layer}"
    ranking: ArtifactRanking | None = _follow(("rank", *key), title, total, work, entry)
    return ranking


def find_distances(
    visit: Visit,
    key: tuple[Hashable, ...],
    ranking: ArtifactRanking,
    yardstick: Yardstick,
    num_units: int,
    entry: str,
) -> RepairCurve | None:
    """Return the distances for all numbers of units; until then, those for the selected number.

    The selected number is measured first, since the whole curve takes several times as long.
    """

    def follow_curve(counts: tuple[int, ...]) -> RepairCurve | None:
        sizes = replace(SIZES, counts=counts)
        work = partial(measurements.measure, visit.measured, ranking, yardstick, sizes)
        total = sizes.for_curve(len(ranking.distance))
        title = "Measuring distances"
        if len(counts) == 1:
            title += f" with {pluralize(counts[0], 'unit')} off"
        curve: RepairCurve | None = _follow(("curve", *key, counts), title, total, work, entry)
        return curve

    if visitor_tasks().get(("curve", *key, SIZES.counts)) is None and follow_curve((num_units,)) is None:
        return None
    first = visitor_tasks().get(("curve", *key, (num_units,)))
    curve = follow_curve(SIZES.counts)
    if curve is None and first is not None:
        curve = first.value
    return curve


def offer_report(
    visit: Visit,
    segmenter: Segmenter,
    yardstick: Yardstick,
    ranking: ArtifactRanking,
    curve: RepairCurve,
    off: UnitSet,
) -> None:
    """Draw the controls of the repair report for the units that are off: write, progress, or download."""
    key = ("report", fingerprint_of(visit.measured), fingerprint_of(segmenter), ranking.method, off)
    report: measurements.Report | None = follow_task(key, "Writing the repair report")
    if report is not None:
        (st.success if report.repair.helps else st.info)(f"{escape(capitalize(str(report.repair)))}.")
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
        work = partial(measurements.make_report, visit.measured, curve, off, yardstick, ranking, segmenter, SIZES)
        st.button(
            f"Write the repair report for {pluralize(len(off), 'unit')}",
            icon=":material/description:",
            key="report",
            on_click=_begin,
            args=(key, SIZES.for_report(), work),
            help="Measured on held-out pictures; takes at least a minute",
        )
        st.caption(
            f"Uses {SIZES.held_out} held-out pictures. For all of them and more generated pictures, run "
            "`gandissect repair`."
        )


def _begin(key: Hashable, total: int, work: Callable[[], Any]) -> None:
    visitor_tasks().begin(key, total, work)


def _follow(key: Hashable, title: str, total: int, work: Callable[[], Any], entry: str) -> Any:
    """Start a computation if necessary and return its result; until then, show its progress and return None."""
    _begin(key, total, work)
    return follow_task(key, title, entry)
