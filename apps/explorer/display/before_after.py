"""The effect of an edit: concepts before and after, the map of changes, and the share of each concept."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gandissect import Segmenter

from ..components.easel import show_easel
from . import tables
from .changes import list_concepts, measure_change, split_change
from .images import FULL_SCALE, draw_change, draw_native_concepts, encode_png


def show_change(
    key: str,
    segmenter: Segmenter,
    before: Float[Tensor, "3 H W"],
    after: Float[Tensor, "3 H W"],
    labels: tuple[Int64[Tensor, "H W"], Int64[Tensor, "H W"]],
    region: Bool[Tensor, "H W"] | None = None,
) -> None:
    """Draw the segmentations of two pictures with a wipe, and where the pictures differ.

    Args:
        key: Key of the widget.
        segmenter: Segmenter that made the label maps.
        before: Picture before the edit, ``[3, H, W]``.
        after: Picture after the edit, ``[3, H, W]``.
        labels: Label maps of ``before`` and ``after``.
        region: Painted region, bool ``[H, W]``, empty before the first stroke; None where there is no painting.
    """
    size = (int(after.shape[1]), int(after.shape[2]))
    first, second = (
        encode_png(draw_native_concepts(image, label_map, segmenter.concepts))
        for image, label_map in zip((before, after), labels, strict=True)
    )
    left, right = st.columns(2, wrap=False)
    with left:
        concepts = list_concepts(labels[1], segmenter.concepts)
        show_easel(key, first, second, size, f"Segmentation: {concepts}", labels=True)
    if region is not None and not region.any():
        right.info("Paint to see what changes.")
        return
    change = measure_change(before, after)
    right.image(draw_change(change, region), width="stretch", alt="Where the picture changed")
    right.caption(f"Change: **{change.mean():.1%}**" if region is None else _describe_change(change, region))


def show_shares(segmenter: Segmenter, labeled: Mapping[str, Int64[Tensor, "H W"]]) -> None:
    """Show each concept's color, its share of the pixels, and the change of that share."""
    frame = tables.share_table(segmenter.concepts, labeled).round(1)
    frame[frame == 0] = 0.0  # no "-0.0"
    numbers = {
        name: st.column_config.NumberColumn(format="%+.1f" if name.startswith("±") else "%.1f", width=70)
        for name in frame.columns[1:]
    }
    columns = {" ": st.column_config.Column(width=24)} | numbers
    st.dataframe(tables.add_colors(frame, segmenter.concepts), width="stretch", hide_index=True, column_config=columns)
    st.caption(
        "Percent of the pixels of this picture; ± in percentage points. Change: mean over red, green and blue, as a "
        f"share of the range from black to white; the map saturates at {FULL_SCALE:.0%}."
    )


def _describe_change(change: Tensor, region: Tensor) -> str:
    """Return a text with the change inside and outside the painted region."""
    inside, outside = split_change(change, region)
    numbers = [
        f"{word} the strokes **{share:.1%}**"
        for word, share in (("inside", inside), ("outside", outside))
        if share is not None and region.any()
    ]
    return f"Change: {', '.join(numbers) or '0.0%'}"
