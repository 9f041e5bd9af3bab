"""The page on which one paints with concepts and sees what changes."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from apps.explorer import model
from apps.explorer.brush import Brush, choose_brush
from apps.explorer.cached import load_levels, load_segmenter, plain
from apps.explorer.dissections import dissected
from apps.explorer.easel import painted_cells, show_easel
from apps.explorer.painting import Painting, memory
from apps.explorer.recipe_menu import recipe_of, show_menu, show_opening
from apps.explorer.rendering import render
from apps.explorer.results import show_change, show_shares
from apps.explorer.stroke_list import show_history, show_strokes
from apps.explorer.strokes import control, edit_of, edits, painted, region_of
from apps.explorer.visit import Visit
from gandissect import Segmenter
from gandissect.interventions import Edit

EASEL, STUDIO = "easel", "studio"


def draw(visit: Visit) -> None:
    """Draw the page; a change on it draws the studio only."""
    segmenter = load_segmenter(visit.segmenter_name, visit.given.device)
    studio(visit, segmenter)


@st.fragment(key=STUDIO)
def studio(visit: Visit, segmenter: Segmenter) -> None:
    """Draw the easel, the brush, the strokes and what they change.

    A stroke draws the easel only, which then asks for the rest: the new picture waits for nothing else.
    """
    painting, scope = Painting.of(visit), _scope(visit)
    left, right = st.container(key="studio").columns([11, 9], gap="medium")
    with left:
        tools, picture, menu = st.container(horizontal=True, gap="xsmall"), st.container(), st.container()
    with right:
        found = dissected(visit, segmenter)
        brush = choose_brush(found, scope) if found else None
        st.session_state["brush"] = {scope: brush}
        if brush:
            choose_region(visit, painting, brush)
        listed = st.container()
    with picture:
        canvas(visit)
    with tools:
        show_history(painting)
        show_opening()
    made = edits(painting.history.now)
    before, after = pictures(visit, painting)
    with menu:
        show_menu(recipe_of(visit, painting), before[None], after[None])
    with listed:
        if painting.history.now:
            show_strokes(painting, load_levels(visit.generator, painting.fingerprint, visit.layer), visit.layer)
        elif brush:
            st.caption("Paint on the picture: each stroke is listed here.")
    show_results(visit, segmenter, painting, made, before, after)
    load_levels(visit.generator, painting.fingerprint, visit.layer)  # now, so that the first stroke need not wait


@st.fragment
def canvas(visit: Visit) -> None:
    """Take over what was painted, and draw the easel."""
    painting, brush = Painting.of(visit), st.session_state.get("brush", {}).get(_scope(visit))
    wrong = st.container()
    receive(visit, painting, brush, wrong)
    info = visit.generator.layers[visit.layer]
    before, after = pictures(visit, painting)
    show_easel(
        EASEL,
        model.png(model.native(before)),
        model.png(model.native(after)),
        visit.generator.image_size,
        f"Picture {visit.number} of seed {visit.seed} with the strokes; paint here",
        {"grid": [info.height, info.width], "color": brush.color} if brush and brush.units.units else None,
        st.session_state.get("seen"),
        on_drawn=draw_the_rest,
    )


def draw_the_rest() -> None:
    """Draw the studio, after the easel has drawn a stroke."""
    st.rerun(STUDIO)


def _scope(visit: Visit) -> str:
    return f"{model.fingerprint(visit.generator)} {visit.layer}"


def receive(visit: Visit, painting: Painting, brush: Brush | None, wrong: DeltaGenerator) -> None:
    """Take a stroke over that has been painted since the last time.

    Args:
        visit: Which picture.
        painting: Its strokes.
        brush: What it was painted with; without it nothing is taken over.
        wrong: Where to say what is wrong with it.
    """
    got = painted_cells(EASEL)
    if brush is None or got is None or got[0] == st.session_state.get("seen"):
        return
    st.session_state["seen"], cells = got
    try:
        if brush.units.units:
            add(visit, painting, brush, cells)
    except ValueError as error:
        wrong.error(plain(str(error)))


def add(visit: Visit, painting: Painting, brush: Brush, cells: list[int]) -> None:
    """Add a stroke of the brush over cells of the layer's grid."""
    region = region_of(cells, visit.generator.layers[visit.layer])
    table = load_levels(visit.generator, painting.fingerprint, visit.layer)
    painting.add(brush.name, edit_of(brush.units, brush.levels, table, region), brush.levels)


def pictures(visit: Visit, painting: Painting) -> tuple[Tensor, Tensor]:
    """Return the picture before and after the strokes, ``[3, H, W]`` each."""
    key, made = (painting, visit.layer, "pictures", painting.history.now), edits(painting.history.now)
    return memory().get(key, lambda: (render(visit, [], memory()), render(visit, made, memory())))


def choose_region(visit: Visit, painting: Painting, brush: Brush) -> None:
    """Let the visitor paint by rows and columns."""
    info = visit.generator.layers[visit.layer]
    with st.expander("paint by rows and columns"), st.container(horizontal=True, vertical_alignment="bottom"):
        rows = st.slider("rows", 1, info.height, (1, max(1, info.height // 2)), key=f"rows {visit.layer}")
        columns = st.slider("columns", 1, info.width, (1, info.width), key=f"columns {visit.layer}")
        cells = [
            row * info.width + column
            for row in range(rows[0] - 1, rows[1])
            for column in range(columns[0] - 1, columns[1])
        ]
        st.button("Paint", key="paint region", disabled=not brush.units.units, on_click=add,
                  args=(visit, painting, brush, cells))  # fmt: skip


def show_results(
    visit: Visit, segmenter: Segmenter, painting: Painting, made: list[Edit], before: Tensor, after: Tensor
) -> None:
    """Draw the concepts before and after, where the picture changed, and a control."""
    labels = memory().get((painting, segmenter.name), lambda: model.label(segmenter, before))
    labelled = {"before": labels}
    if made:
        labelled["after"] = model.label(segmenter, after)
    where = painted(made, visit.generator.image_size)
    one, two = st.container(key="results").columns([11, 9], gap="medium")
    with one:
        show_change("segmentation", segmenter, before, after, (labels, labelled.get("after", labels)), where)
        if made and st.toggle("the same number of random units in the same region", key="control"):
            random = render(visit, control_edits(visit, painting), memory())
            labelled["random"] = model.label(segmenter, random)
            show_change("random segmentation", segmenter, before, random, (labels, labelled["random"]), where)
    with two:
        show_shares(segmenter, labelled)


def control_edits(visit: Visit, painting: Painting) -> list[Edit]:
    """Return the strokes of the layer on random units."""
    table = load_levels(visit.generator, painting.fingerprint, visit.layer)
    return control(painting.history.now, visit.generator.layers[visit.layer].units, table, visit.layer)
