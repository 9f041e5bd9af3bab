"""The page Compare: two layers, of one generator or of two, side by side."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import altair as alt
import streamlit as st

import generators
from gandissect import Comparison, Dissection, Generator, Segmenter, compare
from gandissect.core.rows import limit_rows
from gandissect.dissection.comparison import ComparedLayer
from gandissect.report.comparison import COLORS

from ..background.progress import follow_task
from ..background.resources import escape, load_dissector, load_generator, load_segmenter, pluralize, shorten
from ..display import tables
from ..display.images import draw_picture
from ..networks import fingerprint_of, make_images
from ..picker import count_pictures
from ..state import GENERATOR
from ..visit import Visit, find_inputs

MIN_IOU, NUM_PICTURES = 0.04, 4


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison.

    Args:
        generator: Generator, which all visitors share; never written to.
        name: Name or path by which the generator was chosen.
        layer: Name of a layer of the generator.
    """

    generator: Generator
    name: str
    layer: str

    @property
    def label(self) -> str:
        """The side's label."""
        return f"{shorten(self.name)}, {self.layer}"


def draw(visit: Visit) -> None:
    """Draw both sides, with the pictures before anything slow."""
    left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
    first = Side(visit.measured, st.session_state.get(GENERATOR) or visit.generator.name, visit.layer)
    with left:
        st.markdown(f"#### {escape(first.label)}")
        st.caption("Chosen in the sidebar")
        show_pictures(visit, first)
    with right:
        second = choose_other(visit)
        show_pictures(visit, second)
    if second.label == first.label:
        st.info("Both sides are the same; choose another generator or layer on the right.")
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    sides = first, second
    dissections = follow_dissections(visit, sides, segmenter, visit.settings.num_samples)
    if len(dissections) == len(sides):
        num_samples = max(dissection.provenance.num_samples for dissection in dissections)
        # one side had a saved dissection with more pictures: dissect the other with the same number
        if any(dissection.provenance.num_samples < num_samples for dissection in dissections):
            dissections = follow_dissections(visit, sides, segmenter, num_samples)
    if len(dissections) == len(sides):
        show_comparison(sides, dissections)


def choose_other(visit: Visit) -> Side:
    """Let the visitor choose the generator and layer to compare with."""
    names = list(dict.fromkeys([st.session_state.get(GENERATOR) or visit.generator.name, *generators.names()]))
    cells = st.container(key="place").columns([3, 2])
    name = cells[0].selectbox("Compare with", names, format_func=shorten, key="other generator")
    device = visit.settings.device
    generator = visit.measured if name == names[0] else load_generator(name, device, find_inputs(name, visit.settings))
    layers = list(generator.layers)
    same_place = layers.index(visit.layer) if visit.layer in layers else len(layers) // 2
    start = (same_place + 1) % len(layers) if name == names[0] else same_place
    layer = cells[1].selectbox("Layer", layers, start, key=f"other layer {fingerprint_of(generator)} {start}")
    return Side(generator, name, layer)


def show_pictures(visit: Visit, side: Side) -> None:
    """Draw four pictures of the seed, starting with the picked one."""
    first = min(visit.number, max(0, count_pictures(side.generator) - NUM_PICTURES))
    count = limit_rows(side.generator, NUM_PICTURES)
    images = make_images(side.generator, side.generator.sample_z(count, visit.seed, first))
    for cell, (number, image) in zip(st.columns(NUM_PICTURES, wrap=False), enumerate(images, first), strict=False):
        cell.image(draw_picture(image), str(number), "stretch", alt=f"Picture {number} of {shorten(side.name)}")


def follow_dissections(
    visit: Visit, sides: tuple[Side, Side], segmenter: Segmenter, num_samples: int
) -> list[Dissection]:
    """Return the dissections of both sides; fewer, with progress bars on the page, until all are done.

    Args:
        visit: The visitor's choices.
        sides: Both sides; if they are equal, the layer is dissected once.
        segmenter: Segmenter that labels the pictures.
        num_samples: Number of pictures per dissection.
    """
    dissector = load_dissector(num_samples, visit.settings.dissection)
    keys = [dissector.begin(side.generator, segmenter, side.layer).key for side in sides]
    by_key: dict[Hashable, Dissection | None] = {
        key: follow_task(key, f"Dissecting {side.label}", shared=dissector.tasks)
        for key, side in dict(zip(keys, sides, strict=True)).items()
    }
    return [dissection for key in keys if (dissection := by_key[key])]


def show_comparison(sides: tuple[Side, Side], dissections: list[Dissection]) -> None:
    """Show how many units of both sides are interpretable, and which concepts they match."""
    min_iou = st.slider("Minimum IoU of an interpretable unit", 0.0, 0.3, MIN_IOU, 0.01, key="least")
    try:
        comparison = compare(dissections, min_iou, ("left", "right"))
    except ValueError as error:
        st.error(escape(str(error)))
        return
    layers = [
        next(compared for compared in comparison.layers_of(name) if compared.layer == side.layer)
        for name, side in zip(comparison.models, sides, strict=True)
    ]
    for column, side, layer in zip(st.columns(2, gap="medium"), sides, layers, strict=True):
        with column:
            show_interpretable_share(side, layer)
    show_concept_counts(sides, layers, comparison)
    provenance = comparison.provenance[0]
    st.caption(
        f"IoU measured on {provenance.num_samples} pictures per generator, labeled by "
        f"{escape(provenance.segmenter.name)}. Wilson intervals over units, conditional on their IoU."
    )
    for note in comparison.notes:
        st.caption(escape(note))


def show_interpretable_share(side: Side, layer: ComparedLayer) -> None:
    """Show the share of interpretable units of a side."""
    low, high = layer.interval
    st.metric(f"Interpretable units of {side.layer}", f"{layer.share:.0%}")
    st.caption(
        f"{escape(side.label)}: {layer.interpretable} of {layer.units} units, 95% interval {low:.0%} to {high:.0%}; "
        f"{pluralize(layer.num_concepts, 'concept')}; grid {layer.grid[0]} x {layer.grid[1]}"
    )


def show_concept_counts(sides: tuple[Side, Side], layers: list[ComparedLayer], comparison: Comparison) -> None:
    """Draw a chart and a table of the number of units per concept, for both sides."""
    labels = [side.label for side in sides]
    if labels[0].partition(",")[0] == labels[1].partition(",")[0]:
        labels = [side.layer for side in sides]
    if labels[0] == labels[1]:
        labels[1] += " (right)"
    frame = tables.concept_table(labels, layers, comparison.concepts)
    st.markdown("#### Units per concept")
    if frame.empty:
        st.info("No unit of either side reaches this IoU beyond chance; lower the minimum.")
        return
    left, right = st.container(key="results").columns([3, 2], gap="medium")
    long_frame = frame.melt("concept", var_name="side", value_name="units")
    chart = (
        alt.Chart(long_frame)
        .mark_bar()
        .encode(
            y=alt.Y("concept:N", sort=frame["concept"].tolist(), title=None),
            x=alt.X("units:Q", title="Interpretable units", axis=alt.Axis(tickMinStep=1)),
            yOffset=alt.YOffset("side:N", sort=labels),
            color=alt.Color(
                "side:N",
                sort=labels,
                title=None,
                legend=alt.Legend(orient="top", labelLimit=400),
                scale=alt.Scale(domain=labels, range=[COLORS[6], COLORS[5]]),
            ),
            tooltip=["concept", "side", "units"],
        )
    )
    words = "; ".join(f"{row.iloc[0]}: {row.iloc[1]} and {row.iloc[2]}" for _, row in frame.iterrows())
    left.altair_chart(chart, alt=f"Units per concept in {labels[0]} and in {labels[1]}. {words}")
    right.dataframe(frame, hide_index=True, alt="Units per concept")
