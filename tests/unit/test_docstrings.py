"""The examples in docstrings run and print what they show; each public entry point has one."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    "average_causal_effect",
    "closed_form_directions",
    "compare",
    "dissect",
    "draw_dissection",
    "find_causal_units",
    "find_directions",
    "find_repair",
    "generate",
    "generate_grid",
    "intervene",
    "invert",
    "load",
    "measure_unit_effects",
    "mix_styles",
    "move",
    "rank_artifact_units",
    "repair",
    "sample_z",
    "show",
    "slerp",
    "trace",
    "wrap",
    "write_report",
}


def _find_examples() -> dict[str, doctest.DocTest]:
    """Return the docstrings with examples by file and name."""
    found = {}
    for package in ("gandissect", "generators", "segmenters"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " not in (source := path.read_text(encoding="utf-8")):
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and ">>> " in (
                    text := ast.get_docstring(node) or ""
                ):
                    place = f"{path.relative_to(ROOT)}:{node.name}"
                    found[place] = doctest.DocTestParser().get_doctest(text, {}, place, str(path), node.lineno)
    return found


EXAMPLES = _find_examples()


@pytest.mark.parametrize("place", EXAMPLES)
def test_an_example_prints_what_it_shows(place: str) -> None:
    messages: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(EXAMPLES[place], out=messages.append)
    assert not runner.failures, "".join(messages)
    assert runner.tries


def test_entry_points_have_examples() -> None:
    assert not ENTRY_POINTS - {place.rpartition(":")[2] for place in EXAMPLES}
