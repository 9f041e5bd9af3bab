"""Checkpoints that others have made, read without running any code in them."""

from __future__ import annotations

from .explain import Explanation, explain
from .importing import Imported, import_checkpoint, import_network

__all__ = ["Explanation", "Imported", "explain", "import_checkpoint", "import_network"]
