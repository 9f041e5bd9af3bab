"""What the tests of the command line and of the explorer share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import generators
from apps.cli import main


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A saved planted generator."""
    path = tmp_path / "planted.safetensors"
    generators.save(generators.PlantedGenerator(), path)
    return path


@pytest.fixture
def visit_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open a page of the explorer by its name: ``visit_page("units", "--generator", path, picture="3")``.

    An AppTest shows what the last run drew, so that here all is drawn anew where a visitor gets some parts; the browser
    tests have the parts.
    """
    st = pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install 'gandissect[app]'")
    from explorer_visitor import open_page

    from apps.explorer import redrawing

    monkeypatch.setattr(redrawing, "st", SimpleNamespace(rerun=lambda parts: None))
    monkeypatch.setattr(sys, "argv", sys.argv)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield lambda name, *arguments, **query: open_page(name, arguments, query)
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def gandissect(capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: (status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run
