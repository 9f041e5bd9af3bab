"""The strip of pictures on top of every page, from which one is picked."""

from __future__ import annotations

import streamlit as st

from gandissect import Generator

from . import model

STRIP = 8
FIRST_SEED, MAX_NUMBER = 1, 10**9


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
