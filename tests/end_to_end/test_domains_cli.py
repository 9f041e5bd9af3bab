"""Domains on the command line: trained on, resumed as the same ones only, and one clear line where a name is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generators
from segmenters.datasets import find_edges, open_pictures

TINY = ["--resolution", 16, "--width", 2, "--z-dim", 4, "--batch-size", 4, "--images", 8, "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"pictures/{index}.png")
    return tmp_path / "pictures"


def test_a_cogan_learns_domains_that_the_command_line_names(gandissect, folder: Path) -> None:
    out = folder.with_name("run")
    data = [f"plain={folder}", f"edges=edges:{folder}"]
    command = ["train", "generator", "cogan", "--out", out, *TINY, "--hold-out", 0.3]
    status, _, error = gandissect(*command, "--data", *data)
    assert status == 0, error
    G = generators.load(out, device="cpu")
    assert G.classes == ("plain", "edges")
    status, _, error = gandissect(*command, "--resume", "--data", data[0].replace("plain", "dull"), data[1])
    assert status == 2
    assert "other settings" in error or "different settings" in error
    repaired = ["repair", out, "--segmenter", "palette", "--data", *data, "--classes", "edges", "--out", folder]
    assert "results must be in a folder without pictures" in gandissect(*repaired)[2]
    _, held_out = open_pictures(data, 16, 0.3)
    assert held_out is not None
    half = len(held_out) // 2
    assert (held_out.batch([half]).images == find_edges(held_out.batch([0]).images)).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["noon=scenes@noon", "scenes@dusk"], "all pictures must name their domain (NAME=PICTURES), or none"),
        (["noon=", "dusk=scenes"], "a domain must be NAME=PICTURES, such as dusk=scenes:15000@dusk; got 'noon='"),
        (["noon=scenes@noom", "dusk=scenes"], "unknown mood, season or place of scenes 'noom'; did you mean 'noon'?"),
        (["noon=scenes:40@noon"], "name domains (--data day=FOLDER night=FOLDER)"),
        (["a=nothing", "b=edges:nothing"], "no folder nothing"),
    ],
)
def test_broken_domains_are_explained_in_one_line(gandissect, tmp_path: Path, data: list[str], message: str) -> None:
    status, output, error = gandissect("train", "generator", "cogan", "--data", *data, "--out", tmp_path / "run", *TINY)
    assert (status, output) == (2, "")
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
