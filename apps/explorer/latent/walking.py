"""Parts of the page Latent: walks through several pictures, and truncation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st
import torch
from jaxtyping import Float32
from torch import Tensor

from gandissect.latent import Walk, capabilities, truncated_w, truncated_z
from gandissect.latent.directions.direction import ws_shape

from ..background.resources import escape
from ..display.changes import measure_change
from ..display.images import draw_picture
from ..display.strip import StripImage, show_strip
from ..networks import fingerprint_of, make_images
from ..picker import neighboring_numbers
from ..state import FILM
from ..visit import Visit
from . import walks

NUM_STRIP = 9
PSIS, LIMITS = (1.0, 0.75, 0.5, 0.25, 0.0, -0.5), (4.0, 2.0, 1.5, 1.0, 0.5, 0.25)


def draw_walk(visit: Visit) -> None:
    """Let the visitor walk from picture to picture, and download the walk as a film."""
    first = visit.number
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Pictures",
            ", ".join(map(str, neighboring_numbers(first, 3))),
            key=f"keys {first}",
            width=260,
            max_chars=80,
            help="2 to 8 numbers",
        )
        spaces = [*capabilities(visit.generator).spaces, *visit.generator.layers]
        best = len(capabilities(visit.generator).spaces) - 1
        space = st.selectbox(
            "Space",
            spaces,
            best,
            key=f"space {fingerprint_of(visit.generator)}",
            width=180,
            help="Great circles in z; straight lines in w and in the activations of a layer",
        )
        closed = st.toggle("Return to the first picture", True, key="closed")
    try:
        numbers = walks.parse_numbers(text)
        walk = walks.walk_through(visit.generator, visit.seed, numbers, space, closed=closed)
    except ValueError as error:
        st.error(escape(str(error)))
        return
    show_place(visit, walk, numbers)
    offer_film(visit, walk, (fingerprint_of(visit.generator), visit.seed, numbers, space, closed))


def show_place(visit: Visit, walk: Walk, numbers: tuple[int, ...]) -> None:
    """Draw the picture at the slider's position, and pictures along the whole walk."""
    position = st.slider(
        "Position (integers are the chosen pictures)", 0.0, float(walk.end), 0.5, 0.05, key=f"place {walk.end:g}"
    )
    strip = torch.linspace(0, walk.end, NUM_STRIP, dtype=torch.float64, device="cpu")
    here = torch.tensor([position], dtype=torch.float64, device="cpu")
    picture, *along = walks.render_walk(walk, torch.cat([here, strip]))
    start = int(min(position, walk.end - 1))
    between = numbers[start], numbers[(start + 1) % len(numbers)]
    left, right = st.container(key="place").columns([1, 2], gap="medium")
    left.image(
        draw_picture(picture),
        f"{position - start:.0%} from {between[0]} to {between[1]}",
        "stretch",
        alt=f"Picture at position {position:.2f} of the walk through pictures {', '.join(map(str, numbers))}",
    )
    with right:
        pictures = [
            StripImage(draw_picture(image), f"Picture at position {position:.2f} of the walk", f"{position:.2f}")
            for position, image in zip(strip.tolist(), along, strict=True)
        ]
        show_strip("along", pictures)
        st.caption(f"Equal steps along the walk; pictures of seed {visit.seed}.")


def offer_film(visit: Visit, walk: Walk, facts: tuple[object, ...]) -> None:
    """Let the visitor render a film of the walk, and download it."""
    film = st.session_state.get(FILM)
    if not isinstance(film, tuple) or film[0] != facts:
        button_slot = st.empty()
        if not button_slot.button("Render film", icon=":material/movie:", key="make film"):
            return
        button_slot.empty()
        with st.spinner("Rendering the film"):
            film = st.session_state[FILM] = facts, walks.make_film(walk)
    gif = film[1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.image(gif, width=192, alt="Film of the walk, in a loop")
        st.download_button(
            "Download film",
            gif,
            "walk.gif",
            "image/gif",
            icon=":material/download:",
            on_click="ignore",
            key="film file",
        )
        loop = "seamless loop" if walk.path.closed else "jumps back to the first picture at the end"
        st.caption(
            f"{escape(visit.generator.name)}; {walks.FRAMES_PER_STEP} frames per step, {walks.FPS} frames per second, "
            f"{len(gif) / 1e6:.1f} MB; {loop}."
        )


def draw_truncation(visit: Visit) -> None:
    """Let the visitor truncate the latents, if the generator allows it."""
    allowed = capabilities(visit.generator)
    if allowed.has_w:
        num_ws, _ = ws_shape(visit.generator)
        psi = st.slider("Truncation psi (1: unchanged, 0: mean of w)", -1.0, 1.5, 0.7, 0.05, key="psi")
        label = f"Number of truncated styles (of {num_ws})"
        cutoff = st.slider(label, 0, num_ws, num_ws, key=f"cutoff {num_ws}")
        z = visit.z.to(visit.generator.device)
        show_truncated(visit, psi, PSIS, "psi", lambda value: truncated_w(visit.generator, z, value, cutoff))
    elif allowed.normalizes_z:
        st.info(
            f"{escape(visit.generator.name)} normalizes z and has no w, so there is nothing to truncate. "
            "Choose a StyleGAN (psi) or a DCGAN (limit) in the sidebar."
        )
    else:
        label = "Limit on the absolute values of z"
        limit = st.slider(label, 0.1, 4.0, 1.0, 0.1, key="limit")
        show_truncated(visit, limit, LIMITS, "limit", partial(truncate_picture, visit))


def truncate_picture(visit: Visit, limit: float) -> Float32[Tensor, "1 z"]:
    """Return z of the visit's picture, truncated at a limit."""
    return truncated_z(visit.generator, 1, visit.seed, limit, start=visit.number)


def show_truncated(
    visit: Visit,
    value: float,
    others: tuple[float, ...],
    name: str,
    truncate: Callable[[float], Float32[Tensor, "1 *num_ws z"]],
) -> None:
    """Draw the picture as generated, truncated, and truncated at some other values."""
    with torch.no_grad():
        latents = torch.cat([truncate(other) for other in (value, *others)])
    image, *strip = make_images(visit.generator, latents.to(visit.generator.device))
    plain_image = make_images(visit.generator, visit.z)[0]
    left, right = st.container(key="results").columns([2, 3], gap="medium")
    with left:
        cells = st.columns(2, wrap=False)
        cells[0].image(draw_picture(plain_image), "As generated", "stretch", alt=f"Generated picture {visit.number}")
        cells[1].image(
            draw_picture(image), f"{name} {value:g}", "stretch", alt=f"The picture truncated, {name} {value:g}"
        )
    with right:
        pictures = [
            StripImage(draw_picture(other_image), f"The picture at {name} {other:g}", f"{name} {other:g}")
            for other, other_image in zip(others, strip, strict=True)
        ]
        show_strip("truncated", pictures)
        change = float(measure_change(plain_image, image).mean())
        st.caption(f"Mean change of the pixels at {name} {value:g}: {change:.1%} of the range from black to white.")
