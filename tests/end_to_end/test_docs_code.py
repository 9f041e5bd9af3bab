"""The Python of the documentation runs, page by page, and the README's prints what the README shows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_FILES = {"docs/results/units.md"}
"""Pages that read what a command above wrote, which takes hours."""
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```python" in path.read_text(encoding="utf-8") and path.relative_to(ROOT).as_posix() not in NEEDS_FILES
]


def _run(page: Path, folder: Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / "run_page.py"), str(page), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    printed = _run(page, tmp_path)
    if page.name == "README.md":
        (shown,) = re.findall(r"```text\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert _without_figures(printed) == _without_figures(shown)


def _without_figures(text: str) -> str:
    """The words of a text: figures differ in their last digit between machines."""
    return " ".join(re.sub(r"\d+\.\d+", "0", text).split())


def test_line_numbers_are_those_of_the_page(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("run_page", ROOT / "examples" / "run_page.py")
    run_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_page)
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\n```text\ny = 2\n```\n\n```python\nz = 3\n```\n")
    lines = run_page.read_code(page).splitlines()
    assert {number: line for number, line in enumerate(lines, 1) if line} == {4: "x = 1", 12: "z = 3"}
