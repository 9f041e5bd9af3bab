"""Keep renamed attributes of a package available under their old names, with a deprecation warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def with_old_names(
    package: str, get_attribute: Callable[[str], Any], new_names: Mapping[str, str]
) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that also resolves old names.

    Args:
        package: Name of the package, for the warning.
        get_attribute: The package's ``__getattr__``, which resolves the new names.
        new_names: New names by old name.
    """

    def get_renamed(name: str) -> Any:
        if name not in new_names:
            return get_attribute(name)
        new_name = new_names[name]
        warnings.warn(f"{package}.{name} is now {package}.{new_name}", DeprecationWarning, stacklevel=2)
        return get_attribute(new_name)

    return get_renamed
