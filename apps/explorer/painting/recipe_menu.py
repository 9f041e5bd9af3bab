"""The menu of recipes: what is painted as a file, as Python and as a command line; and a file opened again."""

from __future__ import annotations

import streamlit as st
from jaxtyping import Float
from torch import Tensor

import generators
from gandissect import Recipe
from gandissect.core import NetworkId

from ..background.resources import escape, load_generator
from ..networks import fingerprint_of
from ..picker import MAX_NUMBER
from ..state import GENERATOR, PICTURE, RECIPE_ERROR, RECIPE_FILE, SEED, go_to
from ..visit import Visit, parse_settings
from .pending import take_over
from .recipe_files import check_fits, format_command, format_python, make_sheet, read_recipe
from .session import Painting
from .strokes import Stroke


def show_menu(recipe: Recipe, before: Float[Tensor, "1 3 H W"], after: Float[Tensor, "1 3 H W"]) -> None:
    """Draw the buttons that save and copy.

    Args:
        recipe: What is painted.
        before: The picture, ``[1, 3, H, W]``.
        after: The picture with all strokes.
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
            help="Opens here, with Recipe.load, and by gandissect edit and repair",
        )
        st.download_button(
            "PNG",
            make_sheet(before, after),
            "edited.png",
            "image/png",
            key="save png",
            icon=":material/image:",
            on_click="ignore",
            help="Before and after, as gandissect edit makes it of the recipe",
        )
        with st.popover("Python", icon=":material/code:", help="Copy as Python"):
            st.code(format_python(recipe), "python", height=320)
        with st.popover("Shell", icon=":material/terminal:", help="Copy as command line"):
            bundled = recipe.generator.name in generators.names()
            st.code(format_command(recipe, bundled=bundled), "bash", height=320)


def show_opening() -> None:
    """Draw the button that opens a recipe."""
    with st.popover("Open", icon=":material/upload_file:", help="open a recipe"):
        st.file_uploader("a recipe", "json", key=RECIPE_FILE, on_change=open_recipe, max_upload_size=1)
    if error := st.session_state.get(RECIPE_ERROR):
        st.error(escape(error))


def open_recipe() -> None:
    """Go to the picture with which the uploaded recipe begins, and take over its strokes; or keep what is wrong."""
    st.session_state.pop(RECIPE_ERROR, None)
    file = st.session_state[RECIPE_FILE]
    if file is None:
        return
    try:
        recipe = read_recipe(file.getvalue())
        name = recipe.generator.name if recipe.generator.name in generators.names() else st.session_state[GENERATOR]
        generator = load_generator(name, parse_settings().device)
        check_fits(recipe, generator)
        if max(recipe.seed, recipe.start) > MAX_NUMBER or recipe.seed < 0:
            raise ValueError(f"seed and start are 0 to {MAX_NUMBER} here; got {recipe.seed} and {recipe.start}")
    except (KeyError, ValueError, OSError) as error:
        st.session_state[RECIPE_ERROR] = str(error.args[0] if error.args else error)
        return
    go_to({GENERATOR: name, SEED: recipe.seed, PICTURE: recipe.start})
    take_over()  # what was painted before the recipe was opened
    painting = Painting(fingerprint_of(generator), recipe.seed, recipe.start)
    first = painting.history.next_number
    painting.change(
        tuple(
            Stroke(number, type(edit).__name__.lower(), edit, None) for number, edit in enumerate(recipe.edits, first)
        )
    )
    st.rerun()  # of the whole page: this is called for a part of it, which would go on with the old picture


def recipe_of(visit: Visit, painting: Painting) -> Recipe:
    """Return the recipe of what is painted on a visit's picture."""
    edits = tuple(stroke.edit for stroke in painting.history.now if stroke.on)
    return Recipe(NetworkId(visit.generator.name, painting.fingerprint), visit.seed, visit.number, 1, edits)
