"""The explorer's pages: one module per page, each with a function ``draw``.

The folder is not named ``pages``, since Streamlit treats files in a ``pages`` folder next to the script as pages.
"""

from __future__ import annotations
