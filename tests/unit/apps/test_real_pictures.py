"""Every command that reads folders of pictures reads them alike: broken ones named at once, or left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generators
from apps import commands
from apps.cli import main

COMMANDS = Path(commands.__file__).parent
ONLY = ["--hold-out", "1e-9"]  # so that a command ends once it has read its pictures
ARGUMENTS = {
    "train generator": ["progan", "--data", "A", "B", "--out", "OUT", *ONLY],
    "train segmenter": ["--data", "A", "--held-out", "B", "--out", "OUT"],
    "fidelity": ["PLANTED", "--data", "A", "B", "--segmenter", "palette", *ONLY],
    "shares": ["PLANTED", "--data", "A", "B", "--segmenter", "palette", *ONLY],
    "repair": ["PLANTED", "--data", "A", "B", "--segmenter", "palette", "--out", "OUT", *ONLY],
    "invert": ["PLANTED", "--data", "A", "B", "--out", "OUT", *ONLY],
}
"""How to call each but the explorer, which only looks whether there are pictures before it opens."""


def test_every_command_that_reads_folders_can_leave_broken_pictures_out() -> None:
    sources = {path.stem.replace("_", " "): path.read_text(encoding="utf-8") for path in COMMANDS.glob("[a-z]*.py")}
    readers = {name for name, source in sources.items() if "    data: tuple[str, ...]" in source}
    assert readers == {*ARGUMENTS, "explore"}
    assert readers == {name for name, source in sources.items() if "    skip_broken: bool = False\n" in source}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_broken_pictures_of_all_folders_are_named_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    places = {"A": tmp_path / "a", "B": tmp_path / "b", "OUT": tmp_path / "out", "PLANTED": tmp_path / "p.safetensors"}
    for folder in (places["A"], places["B"]):
        folder.mkdir()
        for index in range(3):
            Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(folder / f"{index}.png")
        (folder / "broken.png").write_bytes(b"\x89PNG")
    generators.save(generators.PlantedGenerator(), places["PLANTED"])
    arguments = [str(places.get(argument, argument)) for argument in ARGUMENTS[name]]

    def run(*more: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([*name.split(), *arguments, *more])
        assert stop.value.code == 2
        return capsys.readouterr().err

    error = run()
    assert error.count("\n") == 1 and "2 pictures cannot be used" in error and "--skip-broken" in error
    assert "a/broken.png" in error and "b/broken.png" in error
    error = run("--skip-broken")
    assert "cannot be used" not in error
    assert all(f"skipped 1 of 4 pictures of {folder}: " in caplog.text for folder in "ab")
