"""Public names of before still work, and say what they are called now."""

import warnings

import pytest

import gandissect


@pytest.mark.parametrize(("old_name", "new_name"), gandissect.OLD_NAMES.items())
def test_an_old_name_stands_for_the_new_one_with_a_warning(old_name: str, new_name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"gandissect.{old_name} is now gandissect.{new_name}"):
        value = getattr(gandissect, old_name)
    assert value is getattr(gandissect, new_name)
    assert new_name in gandissect.__all__ and old_name not in gandissect.__all__


def test_new_names_warn_of_nothing_and_unknown_ones_are_unknown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gandissect.optimize_units.__name__ == "optimize_units"
    with pytest.raises(AttributeError, match="no_such_name"):
        gandissect.no_such_name  # noqa: B018 - the access is what is tested
