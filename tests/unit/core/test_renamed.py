"""Public names of before still work, and say what they are called now."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest

import gandissect
from gandissect import latent

OLD_NAMES = [(package, *names) for package in (gandissect, latent) for names in package.OLD_NAMES.items()]


@pytest.mark.parametrize(("package", "old_name", "new_name"), OLD_NAMES)
def test_an_old_name_stands_for_the_new_one_with_a_warning(package: ModuleType, old_name: str, new_name: str) -> None:
    full = package.__name__
    with pytest.warns(DeprecationWarning, match=f"{full}.{old_name} is now {full}.{new_name}"):
        value = getattr(package, old_name)
    assert value is getattr(package, new_name)
    assert new_name in package.__all__ and old_name not in package.__all__


def test_new_names_warn_of_nothing_and_unknown_ones_are_unknown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gandissect.optimize_units.__name__ == "optimize_units"
    for package in (gandissect, latent):
        with pytest.raises(AttributeError, match="no_such_name"):
            package.no_such_name  # noqa: B018  # the access is what is tested
