"""The recipe menu: strokes as a file, as Python and as shell commands; and opening a recipe."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from jaxtyping import Float
from torch import Tensor

import generators
from gandissect import Recipe
from gandissect.core import NetworkId
from gandissect.core.drawn import Drawn
from gandissect.core.protocols import as_captioned, as_conditional

from ..background.resources import escape, load_caption, load_class, load_generator
from ..networks import fingerprint_of
from ..picker import MAX_NUMBER
from ..state import ALL_CLASSES, CAPTION, CLASS, GENERATOR, PICTURE, RECIPE_ERROR, RECIPE_FILE, SEED, go_to
from ..visit import Visit, find_inputs, parse_settings
from .pending import accept_strokes
from .recipe_files import check_fits, format_command, format_python, make_sheet, read_recipe
from .session import Painting
from .strokes import Stroke


def show_menu(
    recipe: Recipe, inputs: Sequence[str], before: Float[Tensor, "1 3 H W"], after: Float[Tensor, "1 3 H W"]
) -> None:
    """Draw the buttons that save and copy a recipe.

    Args:
        recipe: Recipe of the strokes.
        inputs: Specifications of the pictures of a translator; none for the visitor's own, or for other generators.
        before: Picture before the strokes, ``[1, 3, H, W]``.
        after: Picture after the strokes, ``[1, 3, H, W]``.
    """
    with st.container(horizontal=True, gap="xsmall", key="exchange"):
        st.download_button(
            "Recipe",
            recipe.to_json(),
            "recipe.json",
            "application/json",
            key="save recipe",
            icon=":material/download:",
            on_click="ignore",
            help="For this page, gandissect edit, and Recipe.load in Python",
        )
        st.download_button(
            "PNG",
            make_sheet(before, after),
            "edited.png",
            "image/png",
            key="save png",
            icon=":material/image:",
            on_click="ignore",
            help="Before and after, as gandissect edit renders them",
        )
        with st.popover("Python", icon=":material/code:", help="Copy as Python"):
            st.code(format_python(recipe, inputs), "python", height=320)
        with st.popover("Shell", icon=":material/terminal:", help="Copy as shell commands"):
            bundled = recipe.model in generators.names()
            st.code(format_command(recipe, inputs, bundled=bundled), "bash", height=320)


def show_opening() -> None:
    """Draw the button that opens a recipe."""
    with st.popover("Open", icon=":material/upload_file:", help="Open a recipe"):
        st.file_uploader("Recipe", "json", key=RECIPE_FILE, on_change=open_recipe, max_upload_size=1)
    if error := st.session_state.get(RECIPE_ERROR):
        st.error(escape(error))


def open_recipe() -> None:
    """Go to the first picture of the uploaded recipe and load its strokes; on failure, store the reason."""
    st.session_state.pop(RECIPE_ERROR, None)
    file = st.session_state[RECIPE_FILE]
    if file is None:
        return
    try:
        recipe = read_recipe(file.getvalue())
        classes, captions = recipe.drawn.classes, recipe.drawn.captions
        name = recipe.model if recipe.model in generators.names() else st.session_state[GENERATOR]
        settings = parse_settings()
        inputs = find_inputs(name, settings)
        generator = load_generator(name, settings.device, inputs)
        check_fits(recipe, generator)
        if len(classes) > 1:
            raise ValueError(f"the explorer shows one class or all; got {', '.join(classes)}")
        if len(captions) > 1:
            raise ValueError(f"the explorer shows one caption or those of the training; got {len(captions)}")
        if classes:
            generator = load_class(name, settings.device, classes[0], inputs)
        if captions:
            generator = load_caption(name, settings.device, captions[0])
        if max(recipe.seed, recipe.start) > MAX_NUMBER or recipe.seed < 0:
            raise ValueError(
                f"seed and start must be in [0, {MAX_NUMBER}] in the explorer; got {recipe.seed} and {recipe.start}"
            )
    except (KeyError, ValueError, OSError) as error:
        st.session_state[RECIPE_ERROR] = str(error.args[0] if error.args else error)
        return
    chosen = {CLASS: classes[0] if classes else ALL_CLASSES} if as_conditional(generator) else {}
    chosen |= {CAPTION: captions[0] if captions else ""} if as_captioned(generator) else {}
    go_to({GENERATOR: name, **chosen, SEED: recipe.seed, PICTURE: recipe.start})
    accept_strokes()  # strokes painted before the recipe was opened
    painting = Painting(fingerprint_of(generator), recipe.seed, recipe.start)
    first = painting.history.next_number
    painting.change(
        tuple(
            Stroke(number, type(edit).__name__.lower(), edit, None) for number, edit in enumerate(recipe.edits, first)
        )
    )
    st.rerun()  # the whole page: the fragment alone would continue with the old picture


def make_recipe(visit: Visit, painting: Painting) -> Recipe:
    """Return the recipe of the strokes on a visit's picture."""
    edits = tuple(stroke.edit for stroke in painting.history.now if stroke.on)
    return Recipe(
        NetworkId(visit.generator.name, painting.fingerprint),
        visit.seed,
        visit.number,
        1,
        edits,
        Drawn.of(visit.generator),
    )
