"""Names of before: an attribute of a package that has a new name works under the old one, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


def with_old_names(
    package: str, get_attribute: Callable[[str], Any], new_names: Mapping[str, str]
) -> Callable[[str], Any]:
    """Return a package's ``__getattr__`` that also knows the old names of what was renamed.

    Args:
        package: Name of the package, for the warning.
        get_attribute: ``__getattr__`` of the package, which knows the new names.
        new_names: New names by old name.
    """

    def get_renamed(name: str) -> Any:
        if name not in new_names:
            return get_attribute(name)
        new_name = new_names[name]
        warnings.warn(f"{package}.{name} is now {package}.{new_name}", DeprecationWarning, stacklevel=2)
        return get_attribute(new_name)

    return get_renamed
