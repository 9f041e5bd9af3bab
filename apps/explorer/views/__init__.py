"""The explorer's pages, a module each with a function ``draw``.

The folder is not called ``pages``: Streamlit would run files of a folder of that name beside the script by themselves.
"""

from __future__ import annotations
