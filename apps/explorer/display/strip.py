"""Pictures beside each other, as many to a row as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ..state import PICTURE, go_to
from .images import Pixels

WIDTH = 96
"""Of a picture, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class StripImage:
    """One picture of a strip.

    Args:
        pixels: What is drawn.
        alt: What is seen, for who cannot see it.
        caption: What stands below; nothing if empty.
        number: The picture of the seed that a button below picks; no button if None.
        help: What the button says when one stays on it.
    """

    pixels: Pixels
    alt: str
    caption: str = ""
    number: int | None = None
    help: str | None = None


def show_strip(key: str, pictures: Sequence[StripImage], width: int = WIDTH) -> None:
    """Show pictures beside each other.

    Args:
        key: Part of the buttons' keys.
        pictures: From left to right.
        width: Of each, in pixels.
    """
    with st.container(horizontal=True, gap="small"):
        for picture in pictures:
            with st.container(width=width, gap="xxsmall"):
                st.image(picture.pixels, picture.caption or None, width=width, alt=picture.alt)
                if picture.number is not None:
                    st.button(
                        str(picture.number),
                        key=f"{key} {picture.number}",
                        help=picture.help,
                        width="stretch",
                        on_click=go_to,
                        args=({PICTURE: picture.number},),
                    )
