"""The explorer's shell. Streamlit runs this script from top to bottom for every visitor and every click.

Models and dissections are cached for the whole process and never written to; a visitor's choices are kept in the
session and in the URL.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from apps.explorer.background.resources import escape
from apps.explorer.inputs import as_translator, choose_own, show_input
from apps.explorer.picker import FIRST_SEED, pick_picture
from apps.explorer.sidebar import choose_model
from apps.explorer.state import apply_go_to
from apps.explorer.views import artifacts, compare, latent, paint, units
from apps.explorer.visit import Visit, parse_settings

STYLE = """<style>
.stMainBlockContainer {padding: 3.75rem clamp(1rem, 3vw, 3rem) 2rem}
.stColumn .stColumn {min-width: 0}
@media (max-width: 950px) {
  .st-key-studio .stHorizontalBlock:has(> .stColumn), .st-key-results .stHorizontalBlock:has(> .stColumn),
  .st-key-place .stHorizontalBlock:has(> .stColumn) {flex-wrap: wrap}
  .st-key-studio .stColumn, .st-key-results .stColumn, .st-key-place .stColumn {flex: 1 1 100%; min-width: 100%}
  .st-key-results .stColumn .stHorizontalBlock:has(> .stColumn) {flex-wrap: nowrap}
  .st-key-results .stColumn .stColumn {flex: 1 1 0; min-width: 0}
}
</style>"""
# Function, icon and path of each page; the first page is served at /, and /paint redirects to it.
PAGES = {
    "Paint": (paint.draw, "brush", "start"),
    "Units": (units.draw, "grid_view", "units"),
    "Artifacts": (artifacts.draw, "healing", "artifacts"),
    "Latent": (latent.draw, "timeline", "latent"),
    "Compare": (compare.draw, "compare", "compare"),
}


def draw_shell() -> None:
    """Draw what all pages share, with the pictures before anything slow, and then the page."""
    st.set_page_config("gandissect explorer", "🔬", layout="wide")
    st.html(STYLE)
    visit: Visit | None = None

    def page_of(draw: Callable[[Visit], None]) -> Callable[[], None]:
        def draw_page() -> None:
            if visit is not None:  # always set by the time the page runs
                draw(visit)

        return draw_page

    options = [
        st.Page(page_of(draw), title=title, icon=f":material/{icon}:", url_path=path)
        for title, (draw, icon, path) in PAGES.items()
    ]
    start = st.Page(lambda: st.switch_page(options[0], query_params=query), url_path="paint", visibility="hidden")
    page, query = st.navigation([*options, start], position="top"), st.query_params.to_dict()
    if page is start:
        page.run()
    settings = parse_settings()
    apply_go_to()
    try:
        generator, segmenter, layer = choose_model(settings)
        translator = as_translator(generator)
        own = None if translator is None else choose_own(translator, segmenter, settings.device)
        picked = pick_picture(generator, is_own=own is not None)
        if own is None:
            visit = Visit(settings, generator, segmenter, layer, *picked)
        else:
            visit = Visit(settings, own, segmenter, layer, FIRST_SEED, 0, offered=generator)
        show_input(visit)
        page.run()
    except (KeyError, ValueError, OSError) as error:
        st.error(escape(str(error.args[0] if error.args else error)))


draw_shell()
