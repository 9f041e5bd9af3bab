from __future__ import annotations

import pytest

from gandissect.core.lookup import lookup, unique_names


def test_an_unknown_name_is_told_the_nearest_and_all() -> None:
    with pytest.raises(KeyError, match=r"unknown concept 'tre'; did you mean 'tree'\? known: sky, tree"):
        lookup({"sky": 1, "tree": 2}, "tre", "concept")
    with pytest.raises(KeyError, match="unknown concept 'zzz'; known: none"):
        lookup({}, "zzz", "concept")
    assert lookup({"sky": 1}, "sky", "concept") == 1


def test_of_many_names_the_first_are_told() -> None:
    with pytest.raises(KeyError, match=r"unknown class '1000'; did you mean '100'\? known: 0, 1, .*, 59 and 940 more"):
        lookup({str(number): number for number in range(1000)}, "1000", "class")


def test_names_stand_once_and_in_their_order() -> None:
    assert unique_names(["tree", "sky", "tree"]) == ("tree", "sky")
    assert unique_names("tree") == ("tree",)
    assert unique_names(()) == ()
