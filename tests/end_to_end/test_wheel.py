"""The wheel holds the four packages with what they need, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    heads = {name.split("/")[0] for name in names}
    assert {head for head in heads if not head.endswith(".dist-info")} == {
        "gandissect",
        "generators",
        "segmenters",
        "apps",
    }
    for package in ("gandissect", "generators", "segmenters", "apps"):
        assert f"{package}/py.typed" in names
    tracked = subprocess.run(
        ["git", "ls-files", "gandissect", "generators", "segmenters", "apps"], capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    assert {name for name in tracked if not name.endswith(".gitignore")} <= names


def test_it_runs_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """The environment borrows the libraries of this one, but not the checkout."""
    venv.create(tmp_path / "env", with_pip=False)
    scheme = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "env" / "bin" / "python"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = "import gandissect, apps.cli; print(gandissect.__file__); apps.cli.main(['models'])"
    ran = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(site))
    assert "dcgan-scenes64" in ran.stdout
    assert "unet-scenes" in ran.stdout
