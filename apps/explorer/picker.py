"""The strip of pictures at the top of every page, from which the visitor picks one."""

from __future__ import annotations

import base64
import re

import streamlit as st

from gandissect import Generator
from gandissect.core.protocols import as_conditional
from gandissect.core.rows import limit_rows

from .background.resources import visitor_memory
from .display.images import draw_native, encode_jpeg
from .inputs import as_translator, draw_inputs
from .networks import fingerprint_of, make_images
from .state import NUM_INPUTS, PICTURE, SEED, STRIP, go_to

NUM_PICTURES = 12
FIRST_SEED, MAX_NUMBER = 1, 10**9

_CSS = """
:host { display: block; }
nav { width: 100%; display: flex; gap: 0.5rem; padding: 0.3rem 0; }
.pictures { flex: 1; display: grid; grid-template-columns: repeat(auto-fit, minmax(3.4rem, 1fr)); gap: 0.4rem; }
button {
  padding: 0; border: 0; background: none; cursor: pointer; color: var(--st-text-color, #333);
  border-radius: var(--st-base-radius, 0.5rem); font: 1.1rem var(--st-font, sans-serif); opacity: 0.8;
}
button.arrow { flex: 0 0 1.5rem; background: var(--st-secondary-background-color, #8882); }
button[aria-pressed="true"] { outline: 3px solid var(--st-primary-color, #f33); outline-offset: 1px; opacity: 1; }
button:hover, button:focus-visible { opacity: 1; }
button:focus-visible { outline: 2px solid var(--st-text-color, #333); }
button:disabled { opacity: 0.25; cursor: default; }
img { display: block; width: 100%; border-radius: inherit; }
"""
_JS = """
export default function ({ parentElement: root, data, setTriggerValue }) {
  const strip = root.querySelector("nav");
  const button = (number, label) => {
    const element = document.createElement("button");
    element.type = "button";
    element.title = label;
    element.disabled = number < 0 || number > data.largest;
    element.onclick = () => setTriggerValue("picked", number);
    return element;
  };
  const arrow = (sign, number, label) => {
    const element = button(number, label);
    element.className = "arrow";
    element.textContent = sign;
    element.setAttribute("aria-label", label);
    return element;
  };
  const pictures = data.pictures.map((picture, index) => {
    const number = data.first + index, element = button(number, `Picture ${number}`);
    const image = document.createElement("img");
    image.src = picture;
    image.style.aspectRatio = data.shape; // reserves the space before the picture loads
    image.alt = data.name.replace("#", number);
    element.dataset.number = number;
    element.setAttribute("aria-pressed", number === data.number);
    element.append(image);
    return element;
  });
  const step = data.step;
  const grid = document.createElement("div");
  grid.className = "pictures";
  grid.append(...pictures);
  const back = arrow("\\u2039", data.first - step, "Previous pictures");
  strip.replaceChildren(back, grid, arrow("\\u203a", data.first + step, "Next pictures"));
}
"""
_COMPONENT = st.components.v2.component("gandissect_strip", html="<nav></nav>\n", css=_CSS, js=_JS)


def pick_picture(generator: Generator, *, is_own: bool = False) -> tuple[int, int]:
    """Draw the strip, and seed and number in the sidebar; return the seed and number of the picked picture.

    The strip of a translator shows its inputs.

    Args:
        generator: Generator of the pictures.
        is_own: Whether the visitor uploaded a picture, so that none of the strip is shown as picked.
    """
    translator, last = as_translator(generator), count_pictures(generator) - 1
    remove_invalid_numbers(last)
    if st.session_state.get(PICTURE, 0) > last:  # of a generator with more pictures
        st.session_state[PICTURE] = 0
    is_drawn = translator is None or as_conditional(generator) is not None
    if is_drawn and SEED not in st.query_params:
        st.session_state.setdefault(SEED, FIRST_SEED)  # not the widget's value, since a recipe sets it too
    with st.sidebar, st.container(horizontal=True):
        seed = FIRST_SEED
        if is_drawn:
            seed = st.number_input("Seed", 0, MAX_NUMBER, key=SEED, bind="query-params", width=110)
        number = st.number_input("Picture", 0, last, key=PICTURE, bind="query-params", width=110)
    first = number // NUM_PICTURES * NUM_PICTURES
    key = (fingerprint_of(generator), "strip of pictures", seed, first)
    pictures = visitor_memory().get(key, lambda: _draw_strip(generator, seed, first))
    height, width = generator.image_size
    data = {
        "pictures": pictures,
        "shape": f"{width} / {height}",
        "first": first,
        "number": -1 if is_own else number,
        "name": f"Generated picture # of seed {seed}" if translator is None else "Input of picture #",
        "largest": last,
        "step": NUM_PICTURES,
    }
    _COMPONENT(key=STRIP, data=data, on_picked_change=pick)
    return seed, number


def count_pictures(generator: Generator) -> int:
    """Return the number of pictures to pick from: as many as numbers, or those of a translator."""
    return limit_rows(generator, MAX_NUMBER + 1)


def neighboring_numbers(number: int, count: int) -> list[int]:
    """Return a picture's number and the next ones; numbers beyond `MAX_NUMBER` are replaced by preceding ones."""
    following = range(number, number + count)
    return [other if other <= MAX_NUMBER else number - (other - MAX_NUMBER) for other in following]


def remove_invalid_numbers(last: int) -> None:
    """Remove invalid picture numbers and seeds from the URL; Streamlit's number field fails on an infinite value.

    Args:
        last: Largest number of a picture.
    """
    largest = {SEED: MAX_NUMBER, PICTURE: last}
    texts = {name: st.query_params[name] for name in (SEED, PICTURE) if name in st.query_params}
    wrong = [name for name, text in texts.items() if not re.fullmatch("[0-9]{1,10}", text) or int(text) > largest[name]]
    for name in wrong:
        del st.query_params[name]
    if wrong:
        st.rerun()


def pick() -> None:
    """Pick the clicked picture."""
    number = st.session_state[STRIP]["picked"]
    if type(number) is int and 0 <= number <= MAX_NUMBER:
        go_to({PICTURE: number})
        st.session_state[NUM_INPUTS] = st.session_state.get(NUM_INPUTS, 0) + 1  # instead of the visitor's own
        st.rerun()  # the whole page: with a simultaneous stroke, only its fragment would be drawn


def _draw_strip(generator: Generator, seed: int, first: int) -> list[str]:
    """Return the strip's pictures as data URLs."""
    z = generator.sample_z(min(NUM_PICTURES, count_pictures(generator) - first), seed, first)
    translator = as_translator(generator)
    images = make_images(generator, z) if translator is None else draw_inputs(translator, z)
    return ["data:image/jpeg;base64," + base64.b64encode(encode_jpeg(draw_native(image))).decode() for image in images]
