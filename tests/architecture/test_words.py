"""Docs, code and templates read as a native speaker writes them: no phrase of the list, American spelling, clear messages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path
    for folder in ("gandissect", "generators", "segmenters", "apps", "examples", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".pyi", ".j2", ".js", ".css"}
]
AVOIDED = (
    r"(is|are) to be",
    r"(?<!there )(?-i:\bis none\b)",
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
    r"\b(his|her|him|she|he)\b(?!'| [12][0-9]{3})",
    r"(?<!-)\b(Theirs|Others'|Of these)\.",
    r"\bmade anew\b",
    r"\b(has|have|had|be|been|is|are|as) (told|said)\b",
    r"\bout of hand\b",
    r"\bmends?\b",
    r"\b(one|two) (a|an) (line|pixel|layer|unit|image|sample|row)\b",
    r"\bwhoever\b",
    r"\b\w*(colour|grey(?!s\b)|licence|neighbour|labell(?!edby))\w*",
    r"\b\w*(recogni|optimi|normali|maximi|minimi|equali|initiali|summari|memori|visuali)s(e|ed|es|ing|ation)\b",
)
"""Phrases that read as translated, British spellings, and pronouns of visitors."""


LITERALS = {"optimise", "optimise_units", "optimisation", "labelled", "unlabelled"}
"""Quoted words that are names in files, data sets and streams of random numbers, or aliases of older versions."""


def _prose(text: str) -> str:
    """Return a page without its code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ {4}\S.*$", "", text, flags=re.MULTILINE))


def _words_of_code(text: str) -> Iterator[str]:
    """Yield the comments, docstrings and messages of a module, without code in backquotes."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind in {"COMMENT", "STRING", "FSTRING_MIDDLE"} and token.string.strip("\"'") not in LITERALS:
            yield re.sub(r"``[^`]*``|`[^`\n]*`|\{[^{}]*\}", "", token.string)


def _find_phrases(prose: str) -> list[str]:
    return [match[0] for phrase in AVOIDED for match in re.finditer(phrase, prose, re.IGNORECASE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_phrase_of_the_list_is_in_a_page(page: Path) -> None:
    assert not _find_phrases(_prose(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(ROOT).as_posix())
def test_no_phrase_of_the_list_is_in_code_or_templates(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    is_python = source.suffix in {".py", ".pyi"}
    prose = "\n".join(_words_of_code(text)) if is_python else re.sub(r"\{[{%].*?[%}]\}", "", text, flags=re.DOTALL)
    assert not _find_phrases(prose)


def test_messages_say_what_must_hold() -> None:
    """``X must be Y; got Z``, not ``X is Y; got Z``."""
    wrong = []
    for source in (path for path in SOURCES if path.suffix == ".py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                message = " ".join(ast.unparse(argument) for argument in node.exc.args)
                allowed = message.partition("; got ")[0]
                if "; got " in message and re.search(r"\b(is|are)\b", allowed) and not re.search(MODAL, allowed):
                    wrong.append(f"{source.relative_to(ROOT)}: {message}")
    assert not wrong, "\n".join(wrong)


MODAL = r"\b(must|may|can|cannot|needs?|takes|require[sd]?)\b"


def test_the_list_finds_what_it_should() -> None:
    for text in (
        "it is to be a PNG",
        "the Labelled pictures",
        "Colours",
        "normalised",
        "what one core bears",
        "his strokes",
        "# it says what it is told, as has been said",
        "seed: Theirs.",
        "one a line",
    ):
        assert _find_phrases(text), text
    for text in (
        "otherwise",
        "noise",
        "a promise",
        "the rise",
        "advertised",
        "Wu and He 2018",
        "`colour`",
        "if there is none",
    ):
        assert not _find_phrases(_prose(text)), text
    assert list(_words_of_code('x = "colour"  # `he` {her}\n')) == ['"colour"', "#  "]
