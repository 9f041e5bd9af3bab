"""The page Paint: paint with concepts and see what changes."""

from __future__ import annotations

from typing import Any

import streamlit as st
from jaxtyping import Float
from torch import Tensor

from gandissect import Segmenter
from gandissect.interventions.edits import Edit

from ..background.dissections import follow_dissection
from ..background.resources import escape, load_levels, load_segmenter, visitor_memory
from ..components.easel import show_easel
from ..display.before_after import show_change, show_shares
from ..display.images import draw_native, encode_png
from ..networks import fingerprint_of, label_image
from ..painting.brush import Brush, choose_brush
from ..painting.fragments import (
    BRUSH,
    CANVAS,
    HISTORY,
    RECIPE,
    RESULTS,
    STROKES,
    redraw_brush,
    redraw_canvas,
    redraw_rest,
    redraw_results,
    then_redraw,
)
from ..painting.pending import get_last_accepted, make_scope, pop_stroke_error, try_to_add, update_easel
from ..painting.recipe_menu import make_recipe, show_menu, show_opening
from ..painting.render import render
from ..painting.session import Painting
from ..painting.stroke_list import show_history, show_strokes
from ..painting.strokes import active_edits, find_painted_region, make_control_edits
from ..state import CURRENT_BRUSH, EASEL
from ..units.chooser import find_measured_effects
from ..visit import Visit, find_inputs

TOOLS = "tools"


def draw(visit: Visit) -> None:
    """Draw the page; later changes redraw only the parts that depend on them."""
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    left, right = st.container(key="studio").columns([11, 9], gap="medium")
    with left:
        tools, picture, menu = st.container(), st.container(), st.container()
    with right, st.container(key=TOOLS):
        draw_brush(visit, segmenter)
    with picture:
        draw_canvas(visit)  # first: it accepts new strokes, which the other parts show
    with tools:
        draw_history(visit)
    with right:
        draw_strokes(visit)
    with menu:
        draw_recipe(visit)
    draw_results(visit, segmenter)
    load_levels(visit.measured, fingerprint_of(visit.measured), visit.layer)  # so that the first stroke does not wait


@st.fragment(key=BRUSH)
def draw_brush(visit: Visit, segmenter: Segmenter) -> None:
    """Draw the choice of the brush, and the form that paints by rows and columns."""
    dissection, scope = follow_dissection(visit, segmenter), _scope(visit)
    brush = (
        choose_brush(dissection, find_measured_effects(visit, segmenter), scope, redraw_brush) if dissection else None
    )
    st.session_state[CURRENT_BRUSH] = {scope: brush}
    if brush:
        choose_region(visit, brush)


@st.fragment(key=CANVAS)
def draw_canvas(visit: Visit) -> None:
    """Accept new strokes, and draw the easel.

    A stroke redraws only this part; the others follow once strokes pause, so that the picture does not wait for them.
    """
    painting, brush = Painting.of(visit), _current_brush(visit)
    update_easel(visit, brush)
    if error := pop_stroke_error():
        st.error(escape(error))
    before, after = render_pictures(visit, painting)
    show_easel(
        EASEL,
        encode_png(draw_native(before)),
        encode_png(draw_native(after)),
        visit.generator.image_size,
        f"Picture {visit.number} of seed {visit.seed} with the strokes. Paint here.",
        describe_brush(visit, brush) if brush and brush.units.units else None,
        make_scope(visit),
        get_last_accepted(),
        on_strokes=redraw_canvas,
        on_drawn=redraw_rest,
    )


@st.fragment(key=HISTORY)
def draw_history(visit: Visit) -> None:
    """Draw the buttons above the picture."""
    with st.container(horizontal=True, gap="xsmall"):
        show_history(Painting.of(visit))
        show_opening()


@st.fragment(key=RECIPE)
def draw_recipe(visit: Visit) -> None:
    """Draw the buttons below the picture."""
    painting = Painting.of(visit)
    before, after = render_pictures(visit, painting)
    recipe = make_recipe(visit, painting)
    is_offered = bool(recipe.drawn.pictures) and visit.offered is None
    inputs = find_inputs(recipe.model, visit.settings) if is_offered else ()
    show_menu(recipe, inputs, before[None], after[None])


@st.fragment(key=STROKES)
def draw_strokes(visit: Visit) -> None:
    """Draw the list of strokes."""
    painting = Painting.of(visit)
    if painting.history.now:
        show_strokes(painting, load_levels(visit.measured, fingerprint_of(visit.measured), visit.layer), visit.layer)
    elif _current_brush(visit):
        st.caption("Paint on the picture. Your strokes are listed here.")


@st.fragment(key=RESULTS)
def draw_results(visit: Visit, segmenter: Segmenter) -> None:
    """Draw the concepts before and after, the map of changes, and a control."""
    painting = Painting.of(visit)
    edits = active_edits(painting.history.now)
    before, after = render_pictures(visit, painting)
    labels = visitor_memory().get((painting, segmenter.name), lambda: label_image(segmenter, before))
    labeled = {"before": labels}
    if edits:
        labeled["after"] = label_image(segmenter, after)
    region = find_painted_region(edits, visit.generator.image_size)
    left, right = st.container(key="results").columns([11, 9], gap="medium")
    with left:
        show_change("segmentation", segmenter, before, after, (labels, labeled.get("after", labels)), region)
        label, explanation = "Control: random units in the same region", "The same number of other units of the layer"
        if edits and st.toggle(label, key="control", on_change=redraw_results, help=explanation):
            random = render(visit, control_edits(visit, painting), visitor_memory())
            labeled["random"] = label_image(segmenter, random)
            show_change("random segmentation", segmenter, before, random, (labels, labeled["random"]), region)
    with right:
        show_shares(segmenter, labeled)


def _scope(visit: Visit) -> str:
    return f"{fingerprint_of(visit.generator)} {visit.layer}"


def _current_brush(visit: Visit) -> Brush | None:
    """Return the brush chosen for the visit's layer, if any."""
    brush: Brush | None = st.session_state.get(CURRENT_BRUSH, {}).get(_scope(visit))
    return brush


def describe_brush(visit: Visit, brush: Brush) -> dict[str, Any]:
    """Return a brush as `show_easel` takes it."""
    info = visit.generator.layers[visit.layer]
    grid = [info.height, info.width]
    return {"grid": grid, "color": brush.color, "id": str(hash(brush)), "tools": f".st-key-{TOOLS}"}


def render_pictures(visit: Visit, painting: Painting) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "3 H W"]]:
    """Return the picture before and after the strokes, ``[3, H, W]`` each."""
    strokes, memory = painting.history.now, visitor_memory()
    key = (painting, visit.layer, "pictures", strokes)
    return memory.get(key, lambda: (render(visit, [], memory), render(visit, active_edits(strokes), memory)))


def choose_region(visit: Visit, brush: Brush) -> None:
    """Let the visitor paint by rows and columns."""
    info = visit.generator.layers[visit.layer]
    with st.expander("Paint by rows and columns"), st.container(horizontal=True, vertical_alignment="bottom"):
        rows = choose_span("Rows", info.height, max(1, info.height // 2), visit.layer)
        columns = choose_span("Columns", info.width, info.width, visit.layer)
        cells = [
            row * info.width + column
            for row in range(rows[0] - 1, rows[1])
            for column in range(columns[0] - 1, columns[1])
        ]
        st.button(
            "Paint",
            key="paint region",
            disabled=not brush.units.units,
            on_click=then_redraw(try_to_add),
            args=(visit, brush, cells),
        )


def choose_span(title: str, count: int, last: int, layer: str) -> tuple[int, int]:
    """Return the first and the last row or column that the visitor chooses, from 1; of a single one, that one."""
    if count == 1:  # the grid of a perceptron's layer has one cell, and a slider needs two values
        st.caption(f"{title}: 1")
        return 1, 1
    span: tuple[int, int] = st.slider(
        title, 1, count, (1, last), key=f"{title.lower()} {layer}", on_change=redraw_brush
    )
    return span


def control_edits(visit: Visit, painting: Painting) -> list[Edit]:
    """Return the edits of the layer's strokes, applied to random units."""
    table = load_levels(visit.measured, fingerprint_of(visit.measured), visit.layer)
    return make_control_edits(painting.history.now, visit.generator.layers[visit.layer].units, table, visit.layer)
