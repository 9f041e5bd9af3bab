"""Old public names still work, and say what they are called now."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("package", ["gandissect.latent"])
def test_old_names_are_the_new_ones_and_warn(package: str) -> None:
    module = importlib.import_module(package)
    assert module._RENAMED
    for old_name, new_name in module._RENAMED.items():
        with pytest.warns(DeprecationWarning, match=rf"{package}\.{old_name} is called {new_name} now") as warnings:
            assert getattr(module, old_name) is getattr(module, new_name)
        assert warnings[0].filename == __file__
        assert new_name in module.__all__
        assert old_name not in module.__all__


def test_other_names_are_still_unknown() -> None:
    with pytest.raises(ImportError, match="nothing"):
        from gandissect.latent import nothing  # noqa: F401
