"""The explorer: a Streamlit app to inspect a generator's units and edit its pictures with them."""

from __future__ import annotations
