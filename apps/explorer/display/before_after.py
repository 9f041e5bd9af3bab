"""What an edit has changed: concepts before and after, the difference, and the share of each concept."""

from __future__ import annotations

import streamlit as st
from torch import Tensor

from gandissect import UNLABELLED, Segmenter

from ..components.easel import show_easel
from . import tables
from .changes import measure_change, split_change
from .images import FULL_SCALE, draw_change, draw_native_concepts, encode_png


def show_change(
    key: str,
    segmenter: Segmenter,
    before: Tensor,
    after: Tensor,
    labels: tuple[Tensor, Tensor],
    where: Tensor | None = None,
) -> None:
    """Draw the segmentation of two pictures with a wipe, and where they differ.

    Args:
        key: Of the wipe.
        segmenter: Whose concepts they are.
        before: A picture ``[3, H, W]``.
        after: Another one.
        labels: Their label maps.
        where: The painted region, bool ``[H, W]``; None if nothing was painted.
    """
    size = (int(after.shape[1]), int(after.shape[2]))
    first, second = (
        encode_png(draw_native_concepts(image, each, segmenter.concepts))
        for image, each in zip((before, after), labels, strict=True)
    )
    named = [segmenter.concepts[index].name for index in labels[1].unique().tolist() if index != UNLABELLED]
    one, two = st.columns(2, wrap=False)
    with one:
        show_easel(key, first, second, size, f"Segmentation: {', '.join(named) or 'nothing'}", labels=True)
    change = measure_change(before, after)
    two.image(draw_change(change, where), width="stretch", alt="Where the picture changed")
    two.caption(f"change: **{change.mean():.1%}**" if where is None else _describe_change(change, where))


def show_shares(segmenter: Segmenter, labelled: dict[str, Tensor]) -> None:
    """Show the share of pixels of each concept, with its colour, and how it changes."""
    frame = tables.share_table(segmenter.concepts, labelled).round(1)
    frame[frame == 0] = 0.0  # no "-0.0"
    numbers = {
        name: st.column_config.NumberColumn(format="%+.1f" if name.startswith("±") else "%.1f", width=70)
        for name in frame.columns[1:]
    }
    columns = {" ": st.column_config.Column(width=24)} | numbers
    st.dataframe(tables.with_colors(frame, segmenter.concepts), width="stretch", hide_index=True, column_config=columns)
    st.caption(
        "Percent of the pixels of this one picture; ± in percentage points. Change: mean over red, green and blue, "
        f"100 % from black to white, brightest in the map from {FULL_SCALE:.0%} on."
    )


def _describe_change(change: Tensor, where: Tensor) -> str:
    """Return how much changed inside and outside of a painted region, in words."""
    inside, outside = split_change(change, where)
    numbers = [
        f"{word} the strokes **{share:.1%}**"
        for word, share in (("inside", inside), ("outside", outside))
        if share is not None and where.any()
    ]
    return f"change: {', '.join(numbers) or '0.0%'}"
