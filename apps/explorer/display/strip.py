"""Rows of pictures that wrap to the width of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ..state import PICTURE, go_to
from .images import Pixels

WIDTH = 96
"""Width of a picture, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class StripImage:
    """One picture of a strip.

    Args:
        pixels: Pixels to draw.
        alt: Alternative text.
        caption: Text below the picture; none if empty.
        number: Number of the picture that a button below picks; no button if None.
        help: Tooltip of the button.
    """

    pixels: Pixels
    alt: str
    caption: str = ""
    number: int | None = None
    help: str | None = None


def show_strip(key: str, pictures: Sequence[StripImage], width: int = WIDTH) -> None:
    """Show a row of pictures.

    Args:
        key: Prefix of the buttons' keys.
        pictures: Pictures, from left to right.
        width: Width of each picture, in pixels.
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
