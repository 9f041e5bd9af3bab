"""The page Units: the concepts they match, where they are on, and the picture with their activations scaled."""

from __future__ import annotations

import itertools

import streamlit as st
from jaxtyping import Float, Int64
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from gandissect import Recipe, Segmenter, UnitSet
from gandissect.interventions.edits import control_units

from ..background.dissections import follow_dissection
from ..background.resources import capitalize, escape, load_segmenter, pluralize
from ..display import tables
from ..display.changes import list_concepts, measure_change
from ..display.images import FULL_SCALE, draw_change, draw_concepts, draw_heat, draw_picture
from ..networks import edit_images, label_image, make_images, measure_heat
from ..units.activity import make_factor_edits
from ..units.chooser import choose_units
from ..units.closeup import show_best_pictures, show_cell
from ..visit import Visit

MAX_FACTOR, MAX_SLIDERS = 4.0, 8
"""Largest factor of an activation, and largest number of sliders for single units."""

FORMAT = "%.2f x"
"""Format of a factor on a slider."""


def draw(visit: Visit) -> None:
    """Draw the page, with the picture before anything slow."""
    generator, layer = visit.generator, visit.layer
    image = make_images(generator, visit.z)[0]
    left, right = st.container(key="results").columns([9, 11], gap="medium")
    with left:
        st.markdown(f"#### Picture {visit.number} as generated")
        cells = st.columns(3, wrap=False)
    cells[0].image(
        draw_picture(image), "Picture", "stretch", alt=f"Generated picture {visit.number} of seed {visit.seed}"
    )
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    labels = label_image(segmenter, image)
    show_segmentation(cells[1], image, labels, segmenter)
    units, title, factors = UnitSet(layer, ()), "", {}
    with right:
        st.markdown(f"#### Units of {escape(layer)}")
        dissection = follow_dissection(visit, segmenter)
        if dissection:
            units, title = choose_units(visit, segmenter, dissection)
            factors = choose_factors(units)
    labeled = {"as generated": labels}
    with left:
        if dissection and units.units:
            heat = draw_heat(image, measure_heat(generator, visit.z, units, dissection.thresholds))
            cells[2].image(heat, "Unit activity", "stretch", alt="Where the units are active")
            labeled |= show_edited(visit, segmenter, image, units, factors, title)
        show_concept_shares(segmenter, labeled)
    if dissection:
        st.markdown("#### Top pictures of a unit")
        show_best_pictures(visit, dissection, units)
        st.markdown("#### Units at a cell")
        show_cell(visit, dissection, image)


def choose_factors(units: UnitSet) -> dict[int, float]:
    """Let the visitor choose factors for the activations of the chosen units; return them by unit."""
    if not units.units:
        return {}
    label = "Factor on the activations of these units (0: off, 1: unchanged)"
    factor_of_all = st.slider(label, 0.0, MAX_FACTOR, 0.0, 0.25, FORMAT, key="factor")
    factors = dict.fromkeys(units.units, factor_of_all)
    if len(units) > 1 and st.toggle("Set units individually", key="singly"):
        scope = f"{units.layer} {factor_of_all}"  # a new common value resets the single ones
        for column, unit in zip(itertools.cycle(st.columns(2, wrap=False)), units.units[:MAX_SLIDERS], strict=False):
            key = f"factor {unit} {scope}"
            factors[unit] = column.slider(f"Unit {unit}", 0.0, MAX_FACTOR, factor_of_all, 0.25, FORMAT, key=key)
        if len(units) > MAX_SLIDERS:
            st.caption(f"Shows the first {MAX_SLIDERS} units; the others stay at {factor_of_all:g} x.")
    return factors


def show_edited(
    visit: Visit,
    segmenter: Segmenter,
    image: Float[Tensor, "3 H W"],
    units: UnitSet,
    factors: dict[int, float],
    title: str,
) -> dict[str, Int64[Tensor, "H W"]]:
    """Draw the picture with the units edited, and a control if requested; return the labels of both."""
    edits = make_factor_edits(visit.layer, factors)
    if not edits:
        st.info("A factor of 1 changes nothing; move a slider.")
        return {}
    values = set(factors.values())
    if len(values) > 1:
        effect = "with individual factors"
    else:
        effect = "switched off" if values == {0.0} else f"at {values.pop():g} x"
    short = "off" if effect == "switched off" else "changed"
    after = edit_images(visit.generator, visit.z, edits)[0]
    labeled = {short: show_after(segmenter, image, after, f"{capitalize(title)} {effect}")}
    save_recipe(Recipe.of(visit.generator, edits, visit.seed, visit.number, 1))
    if st.toggle("Control: the same number of random units", key="control"):
        others = control_units(units, visit.generator.layers[visit.layer].units)
        same = make_factor_edits(visit.layer, dict(zip(others.units, factors.values(), strict=True)))
        control_title = f"{pluralize(len(others), 'random unit')} of {escape(visit.layer)} {effect}"
        control = edit_images(visit.generator, visit.z, same)[0]
        labeled[f"random {short}"] = show_after(segmenter, image, control, control_title)
    return labeled


def save_recipe(recipe: Recipe) -> None:
    """Let the visitor save the edits as a recipe."""
    st.download_button(
        "Save as a recipe",
        recipe.to_json(),
        "recipe.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        help="For the Paint page, gandissect edit, and Recipe.load in Python",
    )


def show_after(
    segmenter: Segmenter, image: Float[Tensor, "3 H W"], after: Float[Tensor, "3 H W"], title: str
) -> Int64[Tensor, "H W"]:
    """Draw an edited picture, its concepts and the map of changes; return its labels."""
    labels, change = label_image(segmenter, after), measure_change(image, after)
    st.markdown(f"#### {title}")
    cells = st.columns(3, wrap=False)
    cells[0].image(draw_picture(after), "Picture", "stretch", alt=f"The picture: {title}")
    show_segmentation(cells[1], after, labels, segmenter)
    cells[2].image(draw_change(change), f"Change: {change.mean():.1%}", "stretch", alt="Where the picture changed")
    return labels


def show_segmentation(
    cell: DeltaGenerator, image: Float[Tensor, "3 H W"], labels: Int64[Tensor, "H W"], segmenter: Segmenter
) -> None:
    """Draw the segmentation over a picture."""
    pixels = draw_concepts(image, labels, segmenter.concepts)
    cell.image(pixels, "Concepts", "stretch", alt=f"Segmentation: {list_concepts(labels, segmenter.concepts)}")


def show_concept_shares(segmenter: Segmenter, labeled: dict[str, Int64[Tensor, "H W"]]) -> None:
    """Show each concept's color, its share of the pixels, and the change of that share."""
    st.markdown("#### Concepts in the picture")
    frame = tables.share_table(segmenter.concepts, labeled).round(1)
    frame[frame == 0] = 0.0  # no "-0.0"
    numbers = {
        name: st.column_config.NumberColumn(format="%+.1f" if name.startswith("±") else "%.1f")
        for name in frame.columns[1:]
    }
    columns = {" ": st.column_config.Column(width=24)} | numbers
    colored = tables.add_colors(frame, segmenter.concepts)
    st.dataframe(colored, width="content", hide_index=True, column_config=columns)
    st.caption(
        "Percent of the pixels of this picture; ± in percentage points. "
        f"The map of changes saturates at {FULL_SCALE:.0%} of the range from black to white."
    )
