"""``gandissect train generator`` as a user meets it when something is wrong: one line, exit status 2, nothing lost."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import generators
from apps.cli import main
from apps.commands import train_generator as command
from gandissect.storage.files import load_tensors
from generators.hub import FORMAT, VERSION
from generators.training import GANTask
from generators.training.families import FAMILIES, build_networks

SMALL = ["--resolution", 8, "--width", 2, "--max-width", 4, "--z-dim", 4, "--batch-size", 4, "--images", 24]
QUICK = [*SMALL, "--start-resolution", "None", "--hold-out", 0.3, "--checkpoint-images", 4, "--device", "cpu"]


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str]):
    """Run the command in this process: (status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["train", "generator", *map(str, arguments)])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(16):
        pixels = np.random.default_rng(index).integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def stopped(train, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was interrupted in its fourth step, with a checkpoint of three."""
    step = GANTask.step

    def interrupted(task: GANTask, index: int) -> dict[str, float]:
        if index == 3:
            raise KeyboardInterrupt
        return step(task, index)

    with monkeypatch.context() as patch:
        patch.setattr(GANTask, "step", interrupted)
        status, _, error = train("progan", "--data", pictures, "--out", tmp_path / "run", *QUICK)
    said = "gandissect: stopped; rerun the command with --resume to continue"
    assert (status, error.splitlines()[-1]) == (130, said)
    assert _steps(tmp_path / "run") == 3
    return tmp_path / "run"


def _steps(run: Path) -> int:
    return torch.load(run / "checkpoint.pt", weights_only=True)["steps_done"]


def _refusal(answer: tuple[int, str, str]) -> str:
    """Return the message of a refused command: its last line, after a bar of progress at most."""
    status, output, error = answer
    assert (status, output) == (2, "")
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("gandissect: ")]
    assert len(lines) == 1
    assert error.splitlines()[-1] == lines[0]
    return lines[0]


def _contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if "tfevents" not in path.name}


@pytest.mark.parametrize("architecture", command.RECIPES)
def test_every_architecture_is_trained_by_its_name(train, pictures: Path, tmp_path: Path, architecture: str) -> None:
    recipe, data = command.RECIPES[architecture], tmp_path / "data"
    for name in ("one", "two"):  # classes, for those that need some
        shutil.copytree(pictures, data / name)
    own = ["--max-width", 4] if hasattr(recipe, "max_width") else []
    size = ["--resolution", 16, "--width", 2, "--z-dim", 4, "--batch-size", 4, "--images", 8, *own]
    size += ["--hold-images", 4, "--fade-images", 2] if getattr(recipe, "start_resolution", None) else []
    size += ["--gan-images", 4] if hasattr(recipe, "gan_images") else []
    if hasattr(recipe, "caption_images"):
        size, data = [*size, "--caption-images", 2, "--first-images", 2], "captions:scenes:20"
    inputs = ["--inputs", data] if FAMILIES[architecture].paired else []
    status, output, error = train(
        architecture, "--data", data, *inputs, "--out", tmp_path / "run", *size, "--hold-out", 0.3, "--json"
    )
    assert status == 0, error
    answer = json.loads(output)
    assert answer["images"] == 8
    settings = replace(recipe, resolution=16, width=2, z_dim=4, images=1_000_000)
    trained = build_networks(settings, ("one", "two"))["generator"].generator
    assert type(generators.load(answer["generator"], device="cpu")) is type(trained)


@pytest.mark.parametrize("architecture", ["gan", "egan"])
def test_points_choose_small_networks_unless_told_otherwise(train, tmp_path: Path, architecture: str) -> None:
    options = ["--data", "ring8", "--out", tmp_path, "--images", 300, "--max-width", 256, "--device", "cpu"]
    status, out, error = train(architecture, *options)
    assert status == 0, error
    generator = generators.load(out.strip(), device="cpu")
    assert generator.image_size == (1, 1)
    assert (generator.settings["width"], generator.settings["max_width"], generator.z_dim) == (128, 256, 2)
    assert json.loads((tmp_path / "settings.json").read_text())["augmentation"] == []


def test_points_are_not_sampled_as_images(train, gandissect, tmp_path: Path) -> None:
    status, out, error = train("gan", "--data", "ring8", "--out", tmp_path, "--images", 128, "--device", "cpu")
    assert status == 0, error
    status, _, error = gandissect("sample", out.strip(), "--out", tmp_path / "grid.png")
    assert status == 2
    assert "makes points in the plane, not images" in error


def test_points_need_an_architecture_of_one_pixel(train, tmp_path: Path) -> None:
    status, _, error = train("dcgan", "--data", "ring8", "--out", tmp_path)
    assert status == 2
    assert "the architecture must be gan or egan for points (ring8); got dcgan" in error


def test_a_folder_may_be_named_like_an_architecture(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, error = train("gan", "--data", "ring8", "--out", "dcgan", "--images", 128, "--device", "cpu")
    assert status == 0, error
    status, _, error = train("egan", "--data", "ring8", "--out", "gan", "--label-smoothing", 2)
    assert status == 2 and error.endswith("see gandissect train generator egan --help\n")


def test_points_keep_options_that_equal_the_recipes_for_pictures(train, tmp_path: Path) -> None:
    options = ["--data=ring8", "--out", tmp_path, "--images", 128, "--width", 256, "--max-width", 1024, "--z-dim", 64]
    status, _, error = train("gan", *options, "--device", "cpu")
    assert status == 0, error
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert [settings[name] for name in ("resolution", "width", "max_width", "z_dim")] == [1, 256, 1024, 64]
    status, _, error = train("gan", "--data", "grid25", "--out", tmp_path / "large", "--resolution", 32)
    assert (status, "with resolution (--resolution) 1; got grid25 with 32" in error) == (2, True), error


def test_a_run_is_taken_up_where_it_stopped(train, pictures: Path, stopped: Path) -> None:
    status, output, _ = train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume")
    assert (status, output.strip()) == (0, str(stopped / "generator.safetensors"))
    assert _steps(stopped) == 6
    generator = generators.load(stopped / "generator.safetensors", device="cpu")
    assert (generator.architecture, generator.image_size, generator.z_dim) == ("progan", (8, 8), 4)
    facts = load_tensors(stopped / "generator.safetensors", FORMAT, VERSION)[1]["facts"]
    assert facts["images_seen"] == 24
    assert facts["settings"]["r1_gamma"] == command.RECIPES["progan"].r1_gamma, "what is not given is the recipe's"


def test_a_finished_run_is_extended(train, pictures: Path, stopped: Path) -> None:
    longer = [*QUICK, "--images", 40, "--resume"]
    assert train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume")[0] == 0
    assert train("progan", "--data", pictures, "--out", stopped, *longer)[0] == 0
    assert _steps(stopped) == 10
    error = _refusal(train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume"))
    assert "images: 40 there, 24 given" in error


def test_a_run_without_its_checkpoint_is_not_trained_over(
    train, pictures: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume")[0] == 0
    monkeypatch.setattr(command, "open_training_data", lambda *_: pytest.fail("the pictures were opened first"))
    assert "already holds a run" in _refusal(train("progan", "--data", pictures, "--out", stopped, *QUICK))
    (stopped / "checkpoint.pt").unlink()
    before = _contents(stopped)
    for resume in ([], ["--resume"]):
        error = _refusal(train("progan", "--data", pictures, "--out", stopped, *QUICK, *resume))
        assert "but no checkpoint.pt to continue from; choose another folder (--out)" in error
    assert _contents(stopped) == before


def test_a_folder_without_pictures_is_refused(train, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("no picture")
    error = _refusal(train("progan", "--data", tmp_path / "empty", "--out", tmp_path / "run", *QUICK))
    assert "empty must contain pictures" in error
    assert not (tmp_path / "run").exists()


def test_fewer_pictures_than_a_batch_are_refused(train, pictures: Path, tmp_path: Path) -> None:
    error = _refusal(train("stylegan", "--data", pictures, "--out", tmp_path / "run", *QUICK, "--batch-size", 16))
    assert "pictures, fewer than a batch of 16; use more pictures or a smaller batch_size" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("progan", "--resolution", "48"), "got 48"),
        (("stylegan", "--resolution", "4"), "got 4"),
        (("dcgan", "--resolution", "512"), "got 512"),
        (("progan", "--width", "200"), "width 200, max_width 128"),
        (("dcgan", "--width", "0"), "width (--width) must be an integer in [1, 8192]; got 0"),
        (("stylegan", "--mapping-depth", "0"), "mapping_depth"),
        (("progan", "--images", "0"), "images (--images) must be an integer of at least 1; got 0"),
        (
            ("dcgan", "--learning-rate", "1e6"),
            "learning_rate (--learning-rate) must be a number in (0, 1]; got 1000000.0",
        ),
        (("dcgan", "--learning-rate", "nan"), "learning_rate (--learning-rate) must be a number in (0, 1]; got nan"),
        (("progan", "--start-resolution", "128"), "got 128"),
        (("progan", "--batch-size", "0"), "at least 1"),
        (("stylegan2", "--start-resolution", "8"), "stylegan2 does not grow"),
        (("stylegan3",), "stylegan2"),
    ],
    ids=" ".join,
)
def test_settings_that_cannot_be_are_refused_before_pictures_are_decoded(
    train, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], hint: str
) -> None:
    monkeypatch.setattr(command, "open_training_data", lambda *_, **__: pytest.fail("the pictures were decoded first"))
    error = _refusal(train(arguments[0], "--data", pictures, "--out", tmp_path / "run", *arguments[1:]))
    assert hint in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("architecture", "more", "hint"),
    [
        ("stylegan", [], "architecture: 'progan' there, 'stylegan' given"),
        ("progan", ["--width", 3], "width: 2 there, 3 given"),
        ("progan", ["--seed", 5], "seed: 0 there, 5 given"),
    ],
)
def test_a_folder_with_another_run_is_left_as_it_is(
    train, pictures: Path, stopped: Path, architecture: str, more: list, hint: str
) -> None:
    before = _contents(stopped)
    error = _refusal(train(architecture, "--data", pictures, "--out", stopped, *QUICK, *more, "--resume"))
    assert "holds a run with other settings" in error
    assert hint in error
    assert _contents(stopped) == before


@pytest.mark.parametrize(("architecture", "more"), [("stylegan", []), ("progan", ["--width", 3])])
def test_a_checkpoint_of_another_architecture_or_width_is_refused_and_kept(
    train, pictures: Path, stopped: Path, tmp_path: Path, architecture: str, more: list
) -> None:
    """As if it had been copied from one run's folder into that of another."""
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(stopped / "checkpoint.pt", other)
    error = _refusal(train(architecture, "--data", pictures, "--out", other, *QUICK, *more, "--resume"))
    assert "checkpoint.pt does not fit this training" in error
    assert (other / "checkpoint.pt").read_bytes() == (stopped / "checkpoint.pt").read_bytes()


@contextlib.contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system refuse to write more, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="limits of file sizes are those of Unix")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(train, pictures: Path, stopped: Path) -> None:
    before = _contents(stopped)
    with _no_file_larger_than(len(before["checkpoint.pt"]) // 2):
        error = _refusal(train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume"))
    assert error == f"gandissect: File too large: {stopped / 'checkpoint.pt'}"
    assert _contents(stopped) == before, "no half-written file is left either"
    assert _steps(stopped) == 3


def test_on_a_full_disk_the_last_checkpoint_is_kept_and_can_be_continued(
    train, pictures: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _contents(stopped)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        error = _refusal(train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume"))
    assert error == "gandissect: No space left on device"
    assert _contents(stopped) == before, "no half-written file is left either"
    assert train("progan", "--data", pictures, "--out", stopped, *QUICK, "--resume")[0] == 0


def test_a_run_inside_its_data_folder_learns_from_no_picture_of_its_own(train, pictures: Path, tmp_path: Path) -> None:
    data = shutil.copytree(pictures, tmp_path / "data")
    inside = ["progan", "--data", data, "--out", data / "run", *QUICK, "--snapshot-images", 12]
    assert train(*inside)[0] == 0
    assert len(list((data / "run").glob("samples-*.png"))) == 2
    status, _, error = train(*inside, "--resume")
    assert status == 0, error
    assert train("progan", "--data", data, "--out", tmp_path / "other", *QUICK)[0] == 0
    counts = [json.loads((run / "settings.json").read_text())["pictures"] for run in (data / "run", tmp_path / "other")]
    assert counts[0] == counts[1]
    for out in (data, data / "." / "run" / ".."):
        error = _refusal(train("progan", "--data", data, "--out", out, *QUICK))
        assert "results must be in a folder without pictures" in error
    assert not (data / "settings.json").exists()


def test_broken_pictures_are_named_before_a_training_or_left_out(train, pictures: Path, tmp_path: Path) -> None:
    data = shutil.copytree(pictures, tmp_path / "data")
    for name in ("broken 1.png", "broken 2.jpg"):
        (data / name).write_bytes(b"\xff\xd8\xff")
    arguments = ["progan", "--data", data, "--out", tmp_path / "run", *QUICK]
    error = _refusal(train(*arguments))
    assert "broken 1.png" in error and "broken 2.jpg" in error and "--skip-broken" in error
    assert not (tmp_path / "run").exists()
    status, _, error = train(*arguments, "--skip-broken")
    assert status == 0, error
    plain = tmp_path / "plain"
    assert train("progan", "--data", pictures, "--out", plain, *QUICK)[0] == 0
    tensors = [load_tensors(run / "generator.safetensors", FORMAT, VERSION)[0] for run in (tmp_path / "run", plain)]
    assert all(torch.equal(tensors[1][name], value) for name, value in tensors[0].items())
