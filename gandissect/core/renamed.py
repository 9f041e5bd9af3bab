"""Old names of public objects, which still work for one release and warn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def with_renamed(module: str, get_attribute: Callable[[str], Any], renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` of a module that also knows the names of the previous release.

    Args:
        module: The module's name.
        get_attribute: Its ``__getattr__`` for the names of today.
        renamed: New names by old name.
    """

    def get_attribute_or_renamed(name: str) -> Any:
        if name not in renamed:
            return get_attribute(name)
        new_name = renamed[name]
        message = f"{module}.{name} is called {new_name} now; the old name goes in the next release"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return get_attribute(new_name)

    return get_attribute_or_renamed
