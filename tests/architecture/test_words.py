"""The documentation reads as a native speaker writes it: no phrase of the list, American spelling, no gendered visitors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
AVOIDED = (
    r"(is|are) to be",
    r"is none\b",
    r"\blest\b",
    r"\banew\b",
    r"\b(gone|goes|go) on\b",
    r"\btaken up\b",
    r"\bof one's own\b",
    r"\bso many\b",
    r"\bsome (hundred|thousand)\b",
    r"\btells? most\b",
    r"\bout of the question\b",
    r"\bhanded over\b",
    r"\bby turns\b",
    r"\bnothing else\b(?= is)",
    r"\b(report|file|folder|command|code) lies\b",
    r"\bwants (a|an|some|more|to)\b",
    r"\bbears?\b",
    r"\b(his|her|him|she|he)\b",
    r"\bwhoever\b",
    r"\b\w*(colour|grey|licence|neighbour|labell)\w*",
    r"\b\w*(recogni|optimi|normali|maximi|minimi|equali|initiali|summari|memori|visuali)s(e|ed|es|ing|ation)\b",
)
"""Phrases that read as translated, British spellings, and pronouns of visitors."""


def _prose(text: str) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ {4}\S.*$", "", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_phrase_of_the_list_is_in_a_page(page: Path) -> None:
    prose = _prose(page.read_text(encoding="utf-8"))
    found = [match[0] for phrase in AVOIDED for match in re.finditer(phrase, prose, re.IGNORECASE)]
    assert not found, found


def test_the_list_finds_what_it_should() -> None:
    for text in (
        "it is to be a PNG",
        "the Labelled pictures",
        "Colours",
        "normalised",
        "what one core bears",
        "his strokes",
    ):
        assert any(re.search(phrase, text, re.IGNORECASE) for phrase in AVOIDED), text
    for text in ("otherwise", "noise", "a promise", "the rise", "advertised", "`colour`"):
        assert not any(re.search(phrase, _prose(text), re.IGNORECASE) for phrase in AVOIDED), text
