"""The explorer: a Streamlit page on which one sees a generator's units and switches them off."""

from __future__ import annotations
