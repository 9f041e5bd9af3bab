"""The page of units: the picture without some of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from torch import Tensor

import generators
from apps.explorer import model, tables
from apps.explorer.cached import count, load_segmenter, plain
from apps.explorer.dissections import dissected
from apps.explorer.picker import MAX_NUMBER
from apps.explorer.visit import Visit
from gandissect import UNLABELLED, Ablation, Generator, LayerDissection, Recipe, Segmenter, UnitSet
from gandissect.causal import control_units

MIN_IOU = 0.04


def draw(visit: Visit) -> None:
    """Draw the page, the picture before anything slow."""
    generator, z, layer = visit.generator, visit.z, visit.layer
    recipe = read_recipe(generator)
    image = model.generated(generator, z)[0]
    left, right = st.columns([4, 3], gap="medium")
    with left:
        st.markdown(f"#### Picture {visit.number} as generated")
        cells = st.columns(3, wrap=False)
    cells[0].image(
        model.draw_picture(image), "picture", "stretch", alt=f"Generated picture {visit.number} of seed {visit.seed}"
    )
    segmenter = load_segmenter(visit.segmenter_name, visit.given.device)
    labels = model.label(segmenter, image)
    show_concepts(cells[1], image, labels, segmenter)
    with right:
        st.markdown(f"#### Units of {plain(layer)}")
        found = dissected(visit, segmenter)
        units, what = UnitSet(layer, ()), ""
        if found:
            units, what = choose_units(found, f"{generator.fingerprint} {layer}")
    labelled = {"as generated": labels}
    with left:
        if units.units:
            cells[2].image(
                model.draw_heat(image, model.heat(generator, z, units, found.thresholds)),
                "the units' activity",
                "stretch",
                alt="Where the units are active",
            )
            labelled["off"] = show_without(generator, segmenter, z, image, units, what)
            save_recipe(Recipe.of(generator, [Ablation(units)], visit.seed, visit.number, 1))
            if st.toggle("the same number of random units as control", key="control"):
                others = control_units(units, found.info.units)
                what = f"{count(len(others), 'random unit')} of {plain(layer)}"
                labelled["random off"] = show_without(generator, segmenter, z, image, others, what)
        if recipe:
            title = f"With {count(len(recipe.edits), 'edit')} of the recipe"
            labelled["recipe"] = show_after(segmenter, image, model.edited(generator, z, recipe.edits)[0], title)
        show_shares(segmenter, labelled)


def read_recipe(generator: Generator) -> Recipe | None:
    """Let the visitor open a recipe, and return it if it is of this generator."""
    with st.sidebar:
        file = st.file_uploader("recipe", "json", key="recipe", on_change=to_recipe, help="saved here, or by a command")
        if file is None:
            return None
        try:
            recipe = Recipe.from_json(file.getvalue().decode())
            recipe.check_generator(generator)
        except ValueError as error:
            st.error(plain(str(error)))
            return None
        return recipe


def to_recipe() -> None:
    """Go to the picture with which a recipe begins."""
    file = st.session_state["recipe"]
    if file is None:
        return
    try:
        recipe = Recipe.from_json(file.getvalue().decode())
    except ValueError:
        return  # read_recipe says why
    if recipe.generator in generators.names():
        st.session_state["generator"] = recipe.generator
    if max(recipe.seed, recipe.start) <= MAX_NUMBER:
        st.session_state["seed"], st.session_state["picture"] = recipe.seed, recipe.start


def save_recipe(recipe: Recipe) -> None:
    """Let the visitor save what is done to the picture."""
    st.download_button(
        "Save as a recipe", recipe.to_json(), "recipe.json", "application/json", icon=":material/download:",
        on_click="ignore", help="Opens here again, in Python with Recipe.load, and by gandissect edit and repair",
    )  # fmt: skip


def choose_units(found: LayerDissection, scope: str) -> tuple[UnitSet, str]:
    """Let the visitor choose units, and show the table of them; return them and what to call them.

    Args:
        found: The layer's dissection.
        scope: What the choice belongs to, as a part of the widgets' keys.
    """
    ranked = {each.name: found.units_for(each.name, MIN_IOU) for each in found.concepts}
    ranked = {name: units for name, units in sorted(ranked.items(), key=lambda item: -len(item[1])) if len(units)}
    ways = [*(["best for a concept"] if ranked else []), "picked in the table"]
    way = st.segmented_control("units", ways, default=ways[0], required=True, label_visibility="collapsed", key="way")
    if way == ways[-1] or not ranked:
        return pick_rows(found, scope)
    concept = st.selectbox("concept", ranked, key="concept", bind="query-params")
    units = ranked[concept]
    if len(units) > 1:
        ask = f"how many of the {len(units)} units with IoU >= {MIN_IOU}, best first"
        units = units.top(st.slider(ask, 1, len(units), min(20, len(units)), key=f"top {concept} {scope}"))
    show_units(tables.unit_table(found, units.units, concept), f"IoU with {concept}", found)
    return units, f"{count(len(units), 'best unit')} for {plain(concept)}"


def pick_rows(found: LayerDissection, scope: str) -> tuple[UnitSet, str]:
    """Show all units of a layer, best first; return those whose rows are selected, and what to call them."""
    order = found.iou.amax(0).argsort(descending=True, stable=True).tolist()
    start = {"selection": {"rows": [0]}}
    frame = tables.unit_table(found, order)
    event = show_units(frame, "IoU", found, on_select="rerun", selection_default=start, key=f"rows {scope}")
    rows = [row for row in event["selection"]["rows"] if row < len(order)]
    if not rows:
        st.info("Select rows of the table to switch their units off.")
    units = UnitSet(found.name, tuple(order[row] for row in rows))
    return units, count(len(units), "chosen unit")


def show_units(frame: pd.DataFrame, title: str, found: LayerDissection, **selection: Any) -> Any:
    """Show a table of units; return what is selected in it."""
    top = max(0.2, float(found.iou.max()))
    columns = {
        "unit": st.column_config.NumberColumn(width=40),
        "concept": st.column_config.TextColumn(width=80, help="the concept that the unit agrees with best"),
        "IoU": st.column_config.ProgressColumn(title, format="%.3f", min_value=0, max_value=top, width=110),
        "threshold": st.column_config.NumberColumn(format="%.2f", width=65),
    }
    return st.dataframe(frame, height=390, hide_index=True, column_config=columns, **selection)


def show_without(
    generator: Generator, segmenter: Segmenter, z: Tensor, image: Tensor, units: UnitSet, what: str
) -> Tensor:
    """Draw the picture without some units, its concepts and what changed; return its labels."""
    after = model.edited(generator, z, [Ablation(units)])[0]
    return show_after(segmenter, image, after, f"{what[0].upper() + what[1:]} switched off")


def show_after(segmenter: Segmenter, image: Tensor, after: Tensor, title: str) -> Tensor:
    """Draw an edited picture, its concepts and what changed; return its labels."""
    labels, change = model.label(segmenter, after), model.changed(image, after)
    st.markdown(f"#### {title}")
    cells = st.columns(3, wrap=False)
    cells[0].image(model.draw_picture(after), "picture", "stretch", alt=f"The picture: {title}")
    show_concepts(cells[1], after, labels, segmenter)
    cells[2].image(
        model.draw_change(change), f"change: {change.mean():.1%}", "stretch", alt="Where the picture changed"
    )
    return labels


def show_concepts(cell: st.delta_generator.DeltaGenerator, image: Tensor, labels: Tensor, segmenter: Segmenter) -> None:
    """Draw the segmentation over a picture."""
    named = [segmenter.concepts[index].name for index in labels.unique().tolist() if index != UNLABELLED]
    pixels = model.draw_concepts(image, labels, segmenter.concepts)
    cell.image(pixels, "concepts", "stretch", alt=f"Segmentation: {', '.join(named) or 'nothing'}")


def show_shares(segmenter: Segmenter, labelled: dict[str, Tensor]) -> None:
    """Show the share of pixels of each concept, with its colour, and how it changes."""
    st.markdown("#### Concepts in the picture")
    frame = tables.share_table(segmenter.concepts, labelled).round(1)
    frame[frame == 0] = 0.0  # no "-0.0"
    numbers = {
        name: st.column_config.NumberColumn(format="%+.1f" if name.startswith("±") else "%.1f")
        for name in frame.columns[1:]
    }
    columns = {" ": st.column_config.Column(width=24)} | numbers
    colored = tables.with_colors(frame, segmenter.concepts)
    st.dataframe(colored, width="content", hide_index=True, column_config=columns)
    st.caption(
        "Percent of the pixels of this one picture, not an average over pictures; ± in percentage points. "
        f"A change is brightest from {model.FULL_SCALE:.0%} of the range between black and white."
    )
