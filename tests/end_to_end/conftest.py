"""What the tests of the command line and of the explorer share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import generators
from apps.cli import main
from gandissect import Concept
from segmenters.unet import UNetArchitecture, UNetSegmenter, build_network


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A saved planted generator."""
    path = tmp_path / "planted.safetensors"
    generators.save(generators.PlantedGenerator(), path)
    return path


@pytest.fixture(scope="session")
def tiny_unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved segmenter with features that was never trained, where only its speed matters."""
    architecture = UNetArchitecture("resnet18", (16, 8, 8), 32)
    concepts = (Concept(0, "dark", (0, 0, 0)), Concept(1, "bright", (255, 255, 255)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(architecture, len(concepts))
    path = tmp_path_factory.mktemp("segmenters") / "unet.safetensors"
    UNetSegmenter(network, architecture, concepts).save(path)
    return path


@pytest.fixture
def visit_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open a page of the explorer by its name: ``visit_page("units", "--generator", path, picture="3")``.

    All of it is drawn each time, as where something is clicked that all of it shows; the browser tests have its parts.
    """
    st = pytest.importorskip("streamlit", reason="the extra 'app' is not installed: pip install '.[app]'")
    from explorer_visitor import open_page

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
