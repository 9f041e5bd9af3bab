"""The page of artifacts."""

from __future__ import annotations

import streamlit as st

from apps.explorer.visit import Visit


def draw(visit: Visit) -> None:
    """Say that there is nothing here yet."""
    st.info(f"Nothing here yet for {visit.layer}.")
