from __future__ import annotations

import pytest

from apps.summaries import _describe_matches


@pytest.mark.parametrize(
    ("matching", "units", "concepts", "said"),
    [
        (1, 16, ["sky"], "1 of 16 units matches 1 concept"),
        (5, 6, ["red", "blue"], "5 of 6 units match 2 concepts"),
        (0, 1, [], "0 of 1 units match 0 concepts"),
    ],
)
def test_one_is_no_plural(matching: int, units: int, concepts: list[str], said: str) -> None:
    assert _describe_matches({"matching": matching, "units": units, "concepts": dict.fromkeys(concepts, 1)}) == said
