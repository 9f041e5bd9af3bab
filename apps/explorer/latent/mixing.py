"""A part of the page Latent: mixing of styles or activations of two pictures."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from jaxtyping import Float, Float32
from torch import Tensor

from gandissect.latent import capabilities, style_groups
from gandissect.latent.directions.direction import ws_shape

from ..background.resources import escape, pluralize
from ..display.changes import measure_change
from ..display.images import draw_picture
from ..networks import fingerprint_of, make_images
from ..picker import MAX_NUMBER, neighboring_numbers
from ..visit import Visit
from . import walks


def draw_mixing(visit: Visit) -> None:
    """Let the visitor take styles, or activations in a region, from another picture."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        following = neighboring_numbers(visit.number, 2)[1]
        other = st.number_input("Other picture", 0, MAX_NUMBER, following, key=f"other {visit.number}", width=140)
        modes = ["styles", "activations"] if capabilities(visit.generator).has_w else ["activations"]
        mode = st.segmented_control("Mix", modes, default=modes[0], required=True, key=f"mix {len(modes)}")
    z_b = visit.generator.sample_z(1, visit.seed, other)
    if mode == "styles":
        image, taken = mix_by_styles(visit, z_b)
    else:
        image, taken = mix_by_activations(visit, z_b)
    first, second = (make_images(visit.generator, z)[0] for z in (visit.z, z_b))
    cells = st.columns(3, gap="medium")
    for cell, picture, caption in zip(
        cells,
        (first, second, image),
        (f"Picture {visit.number}", f"Picture {other}", f"Picture {visit.number} with {taken} of picture {other}"),
        strict=True,
    ):
        cell.image(draw_picture(picture), caption, "stretch", alt=caption)
    from_first, from_second = (float(measure_change(image, picture).mean()) for picture in (first, second))
    st.caption(
        f"Mean change of the pixels, as a share of the range from black to white: {from_first:.1%} from picture "
        f"{visit.number}, {from_second:.1%} from picture {other}."
    )


def mix_by_styles(visit: Visit, z_b: Float32[Tensor, "1 z"]) -> tuple[Float[Tensor, "3 H W"], str]:
    """Let the visitor choose styles; return the mixture and a description of the styles."""
    groups = style_groups(visit.generator)
    layers = dict(enumerate(visit.generator.layers.items()))
    names = {
        style: f"{layers[style][0]} ({layers[style][1].height} px)" if style in layers else "image"
        for style in range(ws_shape(visit.generator)[0])
    }
    group = st.segmented_control(
        "Styles of", [*groups, "single layers"], default=next(iter(groups)), required=True, key="group"
    )
    styles: Sequence[int]
    if group in groups:
        styles = groups[group]
        st.caption(f"{group.capitalize()} styles: {escape(', '.join(names[style] for style in styles))}.")
    else:
        styles = st.pills(
            "Layers",
            list(names),
            selection_mode="multi",
            default=[0],
            format_func=names.__getitem__,
            key=f"styles {fingerprint_of(visit.generator)}",
        )
    taken = f"the {group} styles" if group in groups else pluralize(len(styles), "style")
    return walks.mix_images(visit.generator, visit.z, z_b, sorted(styles))[0], taken


def mix_by_activations(visit: Visit, z_b: Float32[Tensor, "1 z"]) -> tuple[Float[Tensor, "3 H W"], str]:
    """Let the visitor choose a region of the sidebar's layer; return the mixture and a description of the region."""
    st.caption(f"Replaces the activations of {escape(visit.layer)} (chosen in the sidebar) in a region.")
    left, right = st.columns(2)
    columns = left.slider("Region, left to right", 0, 100, (50, 100), 5, format="%d%%", key="region columns")
    rows = right.slider("Region, top to bottom", 0, 100, (0, 100), 5, format="%d%%", key="region rows")
    if columns[0] == columns[1] or rows[0] == rows[1]:
        st.warning("The region is empty; move the ends apart.")
    region = walks.make_rectangle(visit.generator.image_size, rows, columns)
    return walks.swap_region(visit.generator, visit.z, z_b, visit.layer, region)[0], "a region"
