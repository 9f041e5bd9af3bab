"""The notebooks in examples/ run, and were committed with the outputs of a run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "examples" / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _kinds(notebook: dict[str, Any]) -> list[list[list[str]]]:
    """The media types of each code cell's outputs."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [[sorted(output.get("data", ["printed"])) for output in cell["outputs"]] for cell in cells]


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["dissect_and_prove", "latent_space", "repair"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_outputs_is_small_and_its_links_lead_somewhere(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    notebook = _read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert sum("image" in kind for cell in _kinds(notebook) for kinds in cell for kind in kinds) >= 5
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        for target in re.findall(r"\]\(([^)#]+)\)", text) if cell["cell_type"] == "markdown" else []:
            assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, runner: ModuleType) -> None:
    assert _kinds(runner.run_notebook(path)) == _kinds(_read(path))


def test_a_cell_shows_what_it_prints_and_its_last_value(runner: ModuleType) -> None:
    namespace: dict[str, Any] = {}
    assert runner.run_cell("x = 1\nprint('hello')", namespace, 1) == [
        {"name": "stdout", "output_type": "stream", "text": ["hello\n"]}
    ]
    (output,) = runner.run_cell("from PIL import Image\nImage.new('RGB', (x, 2))", namespace, 2)
    assert set(output["data"]) == {"text/plain", "image/jpeg"}
    assert output["execution_count"] == 2


def test_a_failure_names_the_cell(runner: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["1 / 0"], "outputs": []}]}))
    with pytest.raises(RuntimeError, match=r"cell 1 of broken\.ipynb failed:\n1 / 0"):
        runner.run_notebook(path)
