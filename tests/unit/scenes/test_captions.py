"""Captions: true of the picture, functions of three numbers, and within their vocabulary."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from segmenters.datasets import Scenes
from segmenters.scenes import VOCABULARY, word_indices
from segmenters.scenes.layout import NAMES

COUNT = 120
MEANINGS = {
    r"\b(spring)\b": ("season", "spring"),
    r"\b(summer)\b": ("season", "summer"),
    r"\b(autumn)\b": ("season", "autumn"),
    r"\b(winter)\b": ("season", "winter"),
    r"\bnoon\b": ("mood", "noon"),
    r"\bmorning\b": ("mood", "morning"),
    r"\bgolden\b": ("mood", "golden"),
    r"\bsunset\b": ("mood", "sunset"),
    r"\bovercast\b": ("mood", "overcast"),
    r"\bmist(y)?\b": ("mood", "mist"),
    r"\bdusk\b": ("mood", "dusk"),
    r"(?<!city )\bstreet\b": ("place", "street"),
    r"\blane\b|\bcountry road\b": ("place", "lane"),
    r"\bmeadow\b|\bcountry scene\b": ("place", "country"),
    r"\blake\b": ("place", "lake"),
    r"\bcoast\b|\bsea\b": ("place", "coast"),
    r"\bcity\b": ("place", "city"),
    r"\bwild": ("place", "wild"),
    r"\bno buildings?\b": ("num_buildings", 0),
    r"\b(one|single) building\b": ("num_buildings", 1),
    r"(?<!no )\bbuildings\b": ("num_buildings", 2),
    r"\bbroad roof\b": ("roof", "eaves"),
    r"\bgabled roof\b": ("roof", "gable"),
    r"\bhipped roof\b": ("roof", "hip"),
    r"\bflat roof\b": ("roof", "flat"),
    r"\bbarn roof\b": ("roof", "gambrel"),
    r"\bfir\b": ("has_fir", True),
    r"\bpoplar\b": ("has_poplar", True),
    r"\bround\b": ("has_round", True),
    r"\bperson\b|\bsomebody\b": ("has_person", True),
    r"\bfence\b": ("has_fence", True),
    r"\bflowers\b": ("has_flower", True),
    r"\bmountains?\b": ("has_mountain", True),
    r"\bcloud\b": ("has_cloud", True),
    r"\bsun\b": ("has_sun", True),
}
"""What a reader understands, by regular expression; colors of cars are read apart."""


def _read(text: str) -> dict[str, object]:
    meant = dict[str, object](found for pattern, found in MEANINGS.items() if re.search(pattern, text))
    if car := re.search(r"\b(?:a (\w+) car|car in (\w+))\b", text):
        meant["car_color"] = car[1] or car[2]
    return meant


@pytest.mark.parametrize("season", [None, "winter"])
def test_a_reader_learns_only_what_is_true(season: str | None) -> None:
    scenes = Scenes(64, COUNT, seed=7, season=season)
    seen = set[object]()
    for index in range(COUNT):
        record = scenes.attributes(index).record()
        for number in range(4):
            caption = scenes.caption(index, number)
            meant = _read(caption.text)
            assert meant == caption.truth, caption.text
            assert caption.truth.items() <= record.items(), caption.text
            seen |= set(meant)
            other = scenes.attributes((index + 1) % COUNT)
            assert caption.is_true_of(scenes.attributes(index))
            assert caption.is_true_of(other) == all(other.record()[name] == value for name, value in meant.items())
    assert seen == {name for name, _ in MEANINGS.values()} | {"car_color"}


def test_a_caption_depends_on_seed_index_and_number_only() -> None:
    few, many = Scenes(32, 5, seed=3), Scenes(64, 500, seed=3)
    assert few.caption(4, 2) == many.caption(4, 2)
    texts = [many.caption(4, number).text for number in range(12)]
    assert len(set(texts)) > 6
    assert texts[5] == many.caption(4, 5).text
    assert many.caption(4) == many.caption(4, 0)


def test_another_season_changes_the_words_for_the_season_only() -> None:
    summer, winter = (Scenes(64, 60, seed=1, season=season) for season in ("summer", "winter"))
    said = 0
    for index in range(60):
        before, after = summer.caption(index), winter.caption(index)
        assert before.text.replace("summer", "winter") == after.text
        said += "season" in before.truth
    assert 15 <= said <= 45


def test_every_part_is_left_out_half_of_the_time() -> None:
    scenes = Scenes(64, COUNT, seed=7)
    possible, said = dict[str, int](), dict[str, int]()
    for index in range(COUNT):
        record = scenes.attributes(index).record()
        for number in range(20):
            truth = scenes.caption(index, number).truth
            for name in ("season", "mood", "place", "num_buildings", "has_cloud", "car_color"):
                possible[name] = possible.get(name, 0) + (record[name] not in (None, False) or name == "num_buildings")
                said[name] = said.get(name, 0) + (name in truth)
    for name, count in possible.items():
        assert abs(said[name] / count - 0.5) < 4 * (0.25 / count) ** 0.5, name


def test_every_word_is_in_the_vocabulary_and_every_word_is_used() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY) and list(VOCABULARY) == sorted(VOCABULARY)
    assert 60 <= len(VOCABULARY) <= 80
    used = set[str]()
    for place, mood in zip(NAMES["place"], NAMES["mood"], strict=True):
        for season in NAMES["season"]:
            scenes = Scenes(32, 25, seed=2, mood=mood, season=season, place=place)
            for index in range(25):
                for number in range(8):
                    text = scenes.caption(index, number).text
                    words = [VOCABULARY[k] for k in word_indices(text)]
                    assert words == text.replace(",", "").split()
                    used |= set(words)
    assert used == set(VOCABULARY)


def test_captions_read_as_english() -> None:
    scenes = Scenes(32, COUNT, seed=7)
    for index in range(COUNT):
        text = scenes.caption(index).text
        assert re.match(r"an? [a-z]", text) and (text.startswith("an ") == (text.split(" ")[1][0] in "aeiou"))
        assert text == text.lower().strip() and "  " not in text and "*" not in text
        assert all(a != b for a, b in pairwise(text.split()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=20))
def test_words_and_their_indices(words: list[str]) -> None:
    assert [VOCABULARY[index] for index in word_indices(" ".join(words).upper() + ".")] == words


def test_unknown_words_and_empty_captions_are_refused() -> None:
    with pytest.raises(KeyError, match=r"unknown word of captions 'hause'; .*known: a, an"):
        word_indices("a hause")
    with pytest.raises(ValueError, match="a caption must contain at least one word; got ' , '"):
        word_indices(" , ")
    with pytest.raises(ValueError, match="number must be at least 0; got -1"):
        Scenes(32, 5).caption(1, -1)
