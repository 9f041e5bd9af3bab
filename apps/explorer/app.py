"""The explorer's page. Streamlit runs this script from top to bottom for every visitor and every click.

Models and dissections are cached for the whole process and only read; what a visitor chooses lives in his session
and in the URL.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

import generators
from apps.data import fitting
from apps.explorer import model, tables
from apps.explorer.jobs import Dissector, Job
from gandissect import (
    UNLABELLED,
    Ablation,
    Dissection,
    Generator,
    LayerDissection,
    Recipe,
    Segmenter,
    UnitSet,
)
from gandissect.causal import control_units

STRIP = 8
FIRST_SEED, MAX_NUMBER = 1, 10**9
MIN_IOU = 0.04
STYLE = """<style>
.stMainBlockContainer {padding: 3.75rem clamp(1rem, 3vw, 3rem) 2rem}
.stColumn .stColumn {min-width: 0}
</style>"""


def settings() -> argparse.Namespace:
    """Return what `gandissect explore` passed on."""
    parser = argparse.ArgumentParser()
    for name in ("generator", "segmenter", "dissection"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--num-samples", type=int, default=300)
    parser.add_argument("--device", default="auto")
    return parser.parse_known_args(sys.argv[1:])[0]


@st.cache_resource(max_entries=4, show_spinner=False)
def load_generator(name: str, device: str) -> Generator:
    """Load a generator once for all visitors."""
    generator = generators.load(name, device)
    len(generator.layers)  # worked out at first use: now, not by two visitors at once
    return generator


@st.cache_resource(max_entries=4, show_spinner="loading the segmenter")
def load_segmenter(name: str, device: str) -> Segmenter:
    """Load a segmenter once for all visitors; imported late, since the first picture does not need it."""
    import segmenters

    return segmenters.load(name, device)


@st.cache_resource(show_spinner=False)
def load_dissector(num_samples: int, folder: str | None) -> Dissector:
    """Return the one that dissects for all visitors."""
    return Dissector(num_samples, Dissection.load(folder) if folder else None)


def page() -> None:
    """Draw everything, the first picture before anything slow."""
    st.set_page_config("gandissect explorer", "🔬", layout="wide")
    st.html(STYLE)
    given = settings()
    try:
        explore(given)
    except (KeyError, ValueError, OSError) as error:
        st.error(plain(str(error.args[0] if error.args else error)))


def explore(given: argparse.Namespace) -> None:
    """Draw the page of the chosen models."""
    generator, segmenter_name, layer = sidebar(given)
    recipe = read_recipe(generator)
    seed, number = pick_picture(generator)
    z = generator.sample_z(1, seed, number)
    image = model.generated(generator, z)[0]
    left, right = st.columns([4, 3], gap="medium")
    with left:
        st.markdown(f"#### Picture {number} as generated")
        cells = st.columns(3, wrap=False)
    cells[0].image(model.draw_picture(image), "picture", "stretch", alt=f"Generated picture {number} of seed {seed}")
    segmenter = load_segmenter(segmenter_name, given.device)
    labels = label(segmenter, image)
    show_concepts(cells[1], image, labels, segmenter)
    with right:
        st.markdown(f"#### Units of {plain(layer)}")
        found = dissected(generator, segmenter, layer, given)
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
            save_recipe(Recipe.of(generator, [Ablation(units)], seed, number, 1))
            if st.toggle("the same number of random units as control", key="control"):
                others = control_units(units, found.info.units)
                what = f"{count(len(others), 'random unit')} of {plain(layer)}"
                labelled["random off"] = show_without(generator, segmenter, z, image, others, what)
        if recipe:
            title = f"With {count(len(recipe.edits), 'edit')} of the recipe"
            labelled["recipe"] = show_after(segmenter, image, model.edited(generator, z, recipe.edits)[0], title)
        show_shares(segmenter, labelled)


def dissected(
    generator: Generator, segmenter: Segmenter, layer: str, given: argparse.Namespace
) -> LayerDissection | None:
    """Return the dissection of a layer; None, with a progress bar on the page, while it is not done."""
    dissector = load_dissector(given.num_samples, given.dissection)
    if dissector.saved and not dissector.serves(generator, segmenter):
        st.info(f"The dissection in {plain(given.dissection)} is of other networks; this layer is dissected anew.")
    job = dissector.job(generator, segmenter, layer)
    if not job.result.done():
        wait_for(job, layer)
        return None
    found = job.result.result()
    made = found.provenance
    share = f"{100 * made.quantile:g} %"
    st.caption(f"IoU from {made.num_samples} pictures; a unit is on at its highest {share} of pixels.")
    return found[layer]


def sidebar(given: argparse.Namespace) -> tuple[Generator, str, str]:
    """Let the visitor choose generator, segmenter and layer."""
    names = list(dict.fromkeys([*filter(None, [given.generator]), *generators.names()]))
    if not names:
        raise ValueError("no generator is bundled here; start with: gandissect explore --generator FILE.safetensors")
    with st.sidebar:
        st.title("gandissect")
        st.caption("Pick a picture, choose units, and see the picture without them.")
        name = st.selectbox("generator", names, format_func=short, key="generator", bind="query-params")
        generator = load_generator(name, given.device)
        options = segmenter_options(name, given)
        segmenter = st.selectbox("segmenter", options, format_func=short, key="segmenter", bind="query-params")
        layers = list(generator.layers)
        middle = len(layers) // 2
        layer = st.selectbox("layer", layers, middle, key="layer", bind="query-params")
        info = generator.layers[layer]
        st.caption(f"{info.units} units on a grid of {info.height} x {info.width}")
    return generator, segmenter, layer


def segmenter_options(generator: str, given: argparse.Namespace) -> list[str]:
    """Return the segmenters to offer: the one asked for, and those that fit the generator, or all if none does."""
    import segmenters

    asked = [given.segmenter] if given.segmenter and given.generator in (None, generator) else []
    fit = fitting(generator, segmenters.names()) or (*segmenters.names(), "palette")
    return list(dict.fromkeys([*asked, *fit]))


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


def pick_picture(generator: Generator) -> tuple[int, int]:
    """Draw the strip of pictures; return seed and number of the picked one."""
    if "seed" not in st.query_params:
        st.session_state.setdefault("seed", FIRST_SEED)  # not as the widget's value: a recipe sets it too
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = st.number_input("seed", 0, MAX_NUMBER, key="seed", bind="query-params", width=120)
        number = st.number_input("picture", 0, MAX_NUMBER, key="picture", bind="query-params", width=120)
        first = number // STRIP * STRIP
        for key, arrow, step in (("earlier", "chevron_left", -STRIP), ("later", "chevron_right", STRIP)):
            reach = 0 <= first + step < MAX_NUMBER
            st.button(
                f":material/{arrow}:",
                key=key,
                help=f"{key} pictures",
                disabled=not reach,
                on_click=pick,
                args=(first + step,),
            )
    images = model.generated(generator, generator.sample_z(STRIP, seed, first))
    with st.container(horizontal=True, gap="small"):
        for index, image in enumerate(images, first):
            with st.container(width=80, gap="xxsmall"):
                st.image(model.draw_picture(image), width=80, alt=f"Generated picture {index} of seed {seed}")
                kind = "primary" if index == number else "secondary"
                st.button(str(index), key=f"pick{index}", type=kind, width="stretch", on_click=pick, args=(index,))
    return seed, number


def pick(number: int) -> None:
    """Make a picture the picked one."""
    st.session_state["picture"] = number


@st.fragment(run_every=1.0)
def wait_for(job: Job, layer: str) -> None:
    """Show how far a dissection is; draw the page anew when it is done."""
    if job.result.done():
        st.rerun(scope="app")
    done = f"{job.num_labelled} of {job.num_samples} pictures labelled" if job.num_labelled else "finding thresholds"
    st.progress(job.num_labelled / job.num_samples, f"dissecting {plain(layer)}: {done}")


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
    labels, change = label(segmenter, after), model.changed(image, after)
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


@torch.inference_mode()
def label(segmenter: Segmenter, image: Tensor) -> Tensor:
    """Return the labels of one picture, on CPU."""
    return segmenter(image[None]).cpu()[0]


def count(number: int, what: str) -> str:
    """Return how many there are, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def short(name: str) -> str:
    """Return a bundled name, or the end of a path."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.suffix else name


def plain(text: str) -> str:
    """Return a text so that Markdown leaves it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$:<>~-])", r"\\\1", text)


page()
