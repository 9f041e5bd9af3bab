"""Output that exists, from the shell: refused before the work by every command, replaced whole on request."""

from __future__ import annotations

import importlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import generators
from gandissect import Ablation, Dissection, DissectSettings, Recipe, UnitSet, dissect_shard
from gandissect.latent import Direction
from segmenters.palette import PaletteSegmenter

ROOT = Path(__file__).parents[2]
GENERATOR = generators.PlantedGenerator(size=16, cells=8)

FILES = {
    "sample": "sample GENERATOR --num-samples 2",
    "edit": "edit RECIPE --generator GENERATOR",
    "interpolate": "interpolate GENERATOR --num-frames 3",
    "mix": "mix GENERATOR --rows 0 --columns 1",
    "compare": "compare PART/whole",
    "import": "import CHECKPOINT",
}
"""Commands that write a file."""

FOLDERS = {
    "dissect": "dissect GENERATOR --segmenter palette --num-samples 8",
    "shard": "dissect GENERATOR --segmenter palette --num-samples 8 --shard 1/1",
    "merge": "merge PART/1 PART/2",
    "report": "report PART/whole",
    "shares": "shares GENERATOR --segmenter palette --data PICTURES --num-samples 20",
    "effect": "effect GENERATOR --segmenter palette --concept red --layer layer1 --units 0 --num-samples 4",
    "directions": "directions GENERATOR --segmenter palette --method boundary --concept red --find-samples 40"
    " --num-samples 10 --pictures 1",
    "invert": "invert GENERATOR PICTURE --num-steps 0 --num-candidates 4 --num-starts 1",
    "repair": "repair GENERATOR --data PICTURES --segmenter UNET",
    "train generator": "train generator dcgan --data PICTURES --resolution 16 --images 16 --batch-size 8 --width 4",
    "train segmenter": "train segmenter --data scenes:4 --held-out scenes:5 --num-steps 1 --size 32 --batch-size 4 --input-size 32",
}
"""Commands that write a folder."""

RESULTS = {
    "dissect": ["dissection.safetensors", "report.html"],
    "shard": ["dissection.safetensors", "report.html"],
    "merge": ["dissection.safetensors", "units.csv"],
    "report": ["report.html", "dissection.json"],
    "shares": ["shares.safetensors", "shares.png"],
    "effect": ["effects.png", "curves.png", "red.safetensors"],
    "directions": ["directions.png"],
    "invert": ["inversion.safetensors", "inversion.png"],
    "repair": ["report.html", "report.pdf", "repair.json", "recipe.json", "repaired.safetensors", "repair.safetensors"],
    "train generator": ["generator.safetensors", "best.safetensors"],
    "train segmenter": ["segmenter.safetensors"],
}
"""Files of an earlier run, each of which is reason enough to refuse."""


def _dcgan() -> nn.Module:
    """Return a generator under the names of PyTorch's example."""
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate([(6, 8), (8, 8), (8, 4), (4, 4)]):
        layers += [nn.ConvTranspose2d(before, after, 4, 2 if index else 1, 1 if index else 0, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.ModuleDict({"main": nn.Sequential(*layers)})


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, tiny_unet: Path) -> dict[str, str]:
    """What the words in capitals stand for."""
    folder = tmp_path_factory.mktemp("inputs")
    generators.save(GENERATOR, folder / "planted.safetensors")
    units = UnitSet("layer1", (0,))
    saved = generators.load(folder / "planted.safetensors", "cpu")  # in half precision, so another network
    Recipe.of(saved, [Ablation(units)], num_samples=2).save(folder / "recipe.json")
    torch.save(_dcgan().state_dict(), folder / "checkpoint.pt")
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"pictures/{number}.png")
    segmenter, settings = PaletteSegmenter(GENERATOR.concepts), DissectSettings(8, top_images=1)
    for number in (1, 2):
        dissect_shard(GENERATOR, segmenter, folder / str(number), (number, 2), "layer1", settings, progress=False)
    return {
        "GENERATOR": str(folder / "planted.safetensors"),
        "RECIPE": str(folder / "recipe.json"),
        "CHECKPOINT": str(folder / "checkpoint.pt"),
        "PICTURES": str(folder / "pictures"),
        "PICTURE": str(folder / "pictures" / "0.png"),
        "PART": str(folder),
        "UNET": str(tiny_unet),
    }


@pytest.fixture(scope="module")
def whole(names: dict[str, str]) -> Path:
    """A dissection that is finished."""
    from gandissect import merge_shards, write_report

    folder = Path(names["PART"]) / "whole"
    if not folder.exists():
        dissection = merge_shards([folder.with_name("1"), folder.with_name("2")], progress=False)
        dissection.save(folder)
        write_report(folder, dissection)
    return folder


def _words(line: str, names: dict[str, str], out: Path) -> list[str]:
    words = line.split()
    for name in sorted(names, key=len, reverse=True):
        words = [word.replace(name, names[name]) if word.split("/")[0] == name else word for word in words]
    device = [] if words[0] in {"merge", "report", "compare", "import"} else ["--device", "cpu"]
    return [*words, "--out", str(out), *device]


def _end(name: str) -> str:
    return ".safetensors" if name == "import" else ".png"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def _no_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be loaded: what is refused must be refused before."""
    with monkeypatch.context() as patch:
        for module in ("sample", "edit", "interpolate", "mix", "shares", "effect", "directions", "invert", "repair"):
            command = importlib.import_module(f"apps.commands.{module}")
            patch.setattr(command, "load_generator", lambda *_: pytest.fail("a generator was loaded first"))
        patch.setattr("apps.commands.merge.merge_shards", lambda *_: pytest.fail("shards were merged first"))
        patch.setattr("apps.commands.import_.import_network", lambda *_: pytest.fail("a file was imported first"))
        for function in ("dissect", "dissect_shard"):
            patch.setattr(f"apps.commands.dissect.{function}", lambda *_, **__: pytest.fail("it was dissected first"))
        yield


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_exists_is_refused_before_the_work(
    gandissect, names: dict[str, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / f"x{_end(name)}"
    out.write_text("mine")
    words = _words(FILES[name], names, out)
    with _no_work(monkeypatch):
        status, output, error = gandissect(*words)
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert f"{out} already exists" in error
    assert "--overwrite" in error
    assert _contents(tmp_path) == {out.name: b"mine"}
    status, _, error = gandissect(*words, "--overwrite")
    assert status == 0, error
    assert out.read_bytes() != b"mine"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_no_file_to_write(
    gandissect, names: dict[str, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / f"x{_end(name)}"
    out.mkdir()
    (tmp_path / "file").write_text("mine")
    for place, message in ((out, "must be a file; got a folder"), (tmp_path / "file" / out.name, "file is a file")):
        for more in ((), ("--overwrite",)):
            with _no_work(monkeypatch):
                status, output, error = gandissect(*_words(FILES[name], names, place), *more)
            assert (status, output, error.count("\n")) == (2, "", 1)
            assert message in error
    assert _contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_is_no_folder_to_write(
    gandissect, names: dict[str, str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").write_text("mine")
    with _no_work(monkeypatch):
        status, output, error = gandissect(*_words(FOLDERS[name], names, tmp_path / "file"))
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert "file is a file; choose another folder" in error
    assert _contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in RESULTS.items() for file in files])
def test_earlier_results_are_refused_before_the_work(
    gandissect,
    names: dict[str, str],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    file: str,
) -> None:
    (tmp_path / file).write_text("mine")
    with _no_work(monkeypatch) if name != "dissect" and name != "shard" else monkeypatch.context():
        status, output, error = gandissect(*_words(FOLDERS[name], names, tmp_path))
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert file in error
    assert _contents(tmp_path) == {file: b"mine"}


def _direction(number: int) -> Direction:
    vector = torch.zeros(GENERATOR.z_dim).index_fill(0, torch.tensor(number), 1.0)
    return Direction.of(GENERATOR, f"old {number}", vector, space="z")


def test_directions_of_an_earlier_run_go_and_other_files_stay(
    gandissect, names: dict[str, str], tmp_path: Path
) -> None:
    """Four directions under names of their own, and a stranger's file."""
    for number in range(4):
        _direction(number).save(tmp_path / f"old-{number}.safetensors")
    (tmp_path / "notes.txt").write_text("mine")
    before = _contents(tmp_path)
    words = _words(FOLDERS["directions"], names, tmp_path)
    status, _, error = gandissect(*words)
    assert (status, "holds earlier results" in error) == (2, True)
    assert _contents(tmp_path) == before
    status, output, error = gandissect(*words, "--overwrite")
    assert status == 0, error
    assert set(_contents(tmp_path)) == {
        "notes.txt",
        "directions.png",
        "boundary-red.safetensors",
        "boundary-red.json",
        "boundary-red-effect.safetensors",
    }
    assert all(str(tmp_path) in line for line in output.splitlines() if ".safetensors" in line)


def test_effects_of_other_concepts_go_too(gandissect, names: dict[str, str], tmp_path: Path) -> None:
    blue = FOLDERS["effect"].replace("red", "blue")
    assert gandissect(*_words(blue, names, tmp_path))[0] == 0
    assert set(_contents(tmp_path)) == {"effects.png", "blue.safetensors", "blue-ablated.json"}
    words = _words(FOLDERS["effect"], names, tmp_path)
    assert gandissect(*words)[0] == 2
    assert gandissect(*words, "--overwrite")[0] == 0
    assert set(_contents(tmp_path)) == {"effects.png", "red.safetensors", "red-ablated.json"}


def test_a_merge_replaces_no_dissection_unasked(gandissect, names: dict[str, str], whole: Path, tmp_path: Path) -> None:
    words = ("dissect", names["GENERATOR"], "--segmenter", "palette", "--num-samples", 12, "--out", tmp_path)
    assert gandissect(*words)[0] == 0
    before = _contents(tmp_path)
    merge = _words(FOLDERS["merge"], names, tmp_path)
    assert gandissect(*merge)[0] == 2
    assert _contents(tmp_path) == before
    status, output, error = gandissect(*merge, "--overwrite")
    assert status == 0, error
    assert str(tmp_path / "report.html") in output
    assert set(_contents(tmp_path)) == set(before)
    assert Dissection.load(tmp_path).provenance.num_samples == 8
    assert gandissect("report", whole, "--out", tmp_path)[0] == 0, "the report of the same dissection"
    words = ("dissect", names["GENERATOR"], "--segmenter", "palette", "--num-samples", 4, "--out", tmp_path / "other")
    assert gandissect(*words)[0] == 0
    status, _, error = gandissect("report", tmp_path / "other", "--out", tmp_path)
    assert (status, "earlier results" in error) == (2, True)


def test_two_processes_do_not_share_a_folder(gandissect, names: dict[str, str], tmp_path: Path) -> None:
    hold = (
        "import sys\nfrom gandissect.storage import lock_folder\n"
        "with lock_folder(sys.argv[1]):\n print('locked', flush=True)\n sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "run")], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        for name in ("dissect", "shard", "merge", "effect", "train generator", "train segmenter"):
            status, output, error = gandissect(*_words(FOLDERS[name], names, tmp_path / "run"))
            assert (status, output, error.count("\n")) == (2, "", 1), error
            assert f"run is in use by process {process.pid}" in error
        process.kill()
    assert gandissect(*_words(FOLDERS["shard"], names, tmp_path / "run"))[0] == 0


@pytest.mark.parametrize("line", [*FILES.values(), *(line for name, line in FOLDERS.items() if name != "repair")])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    gandissect, names: dict[str, str], whole: Path, tmp_path: Path, line: str
) -> None:
    """Files of more than 10 bytes cannot be written, as on a full disk; memory for small ones is not counted."""
    out = tmp_path / "new" / ("x.safetensors" if line.startswith("import") else "x.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        status, output, error = gandissect(*_words(line, names, out))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last = error.splitlines()[-1]
    assert (status, output) == (2, ""), error
    assert last.startswith("gandissect: File too large: "), error
    assert "Traceback" not in error
    assert not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")), "half a result"
