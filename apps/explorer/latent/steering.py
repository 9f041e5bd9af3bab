"""A part of the page Latent: a slider for each direction, labeled with its effect on concepts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import streamlit as st
from jaxtyping import Float
from torch import Tensor

from gandissect import Segmenter
from gandissect.latent import Direction, capabilities, style_groups

from ..background.progress import show_failure
from ..background.resources import escape, load_segmenter
from ..background.tasks import Tasks
from ..display.changes import measure_change
from ..display.images import draw_change, draw_picture
from ..display.strip import StripImage, show_strip
from ..networks import fingerprint_of, make_images
from ..state import step_key
from ..visit import Visit
from . import walks

NUM_DIRECTIONS, REACH = 5, 4.0
SWEEP = (-3.0, -1.5, 0.0, 1.5, 3.0)


@st.cache_resource(show_spinner=False)
def label_tasks() -> Tasks:
    """Return the tasks that label directions, shared by all visitors."""
    return Tasks(capacity=128)


def draw_steering(visit: Visit) -> None:
    """Let the visitor move the picture along closed-form directions, and show the effect of each."""
    styles = choose_styles(visit)
    try:
        directions = walks.find_directions(visit.generator, NUM_DIRECTIONS, styles)
    except TypeError as error:
        st.info(escape(str(error)))
        return
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    tasks = {direction.name: label_task(visit, segmenter, direction) for direction in directions}
    left, right = st.container(key="results").columns(2, gap="medium")
    with left:
        steps = choose_steps(visit, directions, tasks)
    with right:
        before = make_images(visit.generator, visit.z)[0]
        after = walks.step_along(visit.generator, visit.z, directions, steps)
        show_step(visit, before, after)
    if st.toggle("Show pictures along each direction", key="sweep"):
        show_sweeps(visit, directions)


def choose_styles(visit: Visit) -> Sequence[int] | None:
    """Let the visitor choose the styles that directions move; None for all, and without styles."""
    if not capabilities(visit.generator).has_w:
        return None
    groups = {"all": None, **style_groups(visit.generator)}
    name = st.segmented_control("Styles to move", groups, default="all", required=True, key="moved")
    return groups[name]


def choose_steps(visit: Visit, directions: Sequence[Direction], keys: dict[str, Hashable]) -> dict[str, float]:
    """Let the visitor choose a step along each direction, and show its effect once it is known."""
    steps, num_known = {}, 0
    scope = f"{fingerprint_of(visit.generator)} {directions[0].ws}"
    slider_keys = [step_key(direction.name, scope) for direction in directions]
    for slider_key, direction in zip(slider_keys, directions, strict=True):
        label = f"{escape(direction.name)} ({direction.score:.0%} of the squared weights)"
        steps[direction.name] = st.slider(label, -REACH, REACH, 0.0, 0.25, format="%.2f sigma", key=slider_key)
        num_known += show_label(keys[direction.name])
    if num_known < len(directions):
        wait_for_labels(tuple(keys.values()), num_known)
    st.button("Reset all", key="rest", icon=":material/restart_alt:", on_click=partial(_reset_steps, slider_keys))
    st.caption(
        f"Per sigma: percentage points of the pixels that a concept gains, if beyond chance, over "
        f"{walks.LABEL_SAMPLES} pictures. Closed-form directions: Shen and Zhou 2021."
    )
    return steps


def show_label(key: Hashable) -> bool:
    """Show the effect of a direction; return whether it is known."""
    task = label_tasks().get(key)
    if task is None or not task.result.done():
        st.caption("Per sigma: measuring")
        return False
    if (error := task.result.exception()) is not None:
        show_failure(key, "Not labeled", error, label_tasks())
    else:
        st.caption(f"Per sigma: {escape(walks.describe_effect(task.value))}")
    return True


@st.fragment(run_every=1.0)
def wait_for_labels(keys: Sequence[Hashable], num_known: int) -> None:
    """Show the progress of the labels; rerun the page when another one is done."""
    tasks = [label_tasks().get(key) for key in keys]
    if sum(task is None or task.result.done() for task in tasks) > num_known:
        st.rerun(scope="app")
    share = sum(task.share for task in tasks if task is not None) / len(tasks)
    st.progress(share, f"Measuring the effects of directions: {num_known} of {len(keys)}")


def label_task(visit: Visit, segmenter: Segmenter, direction: Direction) -> Hashable:
    """Start labeling a direction if necessary, and return the key of the task."""
    key = (fingerprint_of(visit.generator), fingerprint_of(segmenter), direction.name, direction.ws)
    if label_tasks().get(key) is None:
        work = partial(walks.find_label, visit.generator, segmenter, direction)
        label_tasks().begin(key, walks.LABEL_PICTURES, work)
    return key


def show_step(visit: Visit, before: Float[Tensor, "3 H W"], after: Float[Tensor, "3 H W"]) -> None:
    """Draw the picture before and after, and the map of changes."""
    change = measure_change(before, after)
    left, right = st.columns(2)
    left.image(draw_picture(before), "As generated", "stretch", alt=f"Generated picture {visit.number}")
    right.image(draw_picture(after), "Moved", "stretch", alt="The picture moved along the directions")
    left.image(draw_change(change), f"Change: {change.mean():.1%}", "stretch", alt="Where the picture changed")


def show_sweeps(visit: Visit, directions: Sequence[Direction]) -> None:
    """Draw the picture at several steps along each direction alone."""
    for direction in directions:
        st.markdown(f"**{escape(direction.name)}**")
        pictures = [
            StripImage(
                draw_picture(walks.step_along(visit.generator, visit.z, directions, {direction.name: step})),
                f"The picture moved by {step:g} sigma along {direction.name}",
                f"{step:+g} sigma",
            )
            for step in SWEEP
        ]
        show_strip(f"sweep {direction.name}", pictures)
    st.caption("The same picture, moved along one direction at a time.")


def _reset_steps(slider_keys: Sequence[str]) -> None:
    for slider_key in slider_keys:
        st.session_state[slider_key] = 0.0
