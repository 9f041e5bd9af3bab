"""Files that exist, locks, links, modes and full disks: one rule for everything that writes."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

import generators
from gandissect import Ablation, Recipe, UnitSet
from gandissect.latent import Direction
from gandissect.report import save_gif, save_png, write_grid, write_pairs
from gandissect.storage import (
    atomic_path,
    check_folder,
    check_new_file,
    load_tensors,
    lock_folder,
    output_folder,
    save_tensors,
    write_json,
    write_text,
)
from gandissect.storage.locks import LOCK
from generators.architectures.dcgan import DCGAN

IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
HEADER = {"format": "test", "version": 1}


def _generator(seed: int) -> DCGAN:
    torch.manual_seed(seed)
    return DCGAN(size=16, width=4, z_dim=6).eval().requires_grad_(False)


def _direction(seed: int) -> Direction:
    vector = torch.zeros(6).index_fill(0, torch.tensor(seed), 1.0)
    return Direction.of(_generator(0), f"direction {seed}", vector, space="z")


WRITERS: dict[str, Callable[[Path, int, bool], object]] = {
    "text": lambda path, content, overwrite: write_text(path, f"{content}", overwrite=overwrite),
    "json": lambda path, content, overwrite: write_json(path, content, overwrite=overwrite),
    "tensors": lambda path, content, overwrite: save_tensors(
        path, {"a": torch.tensor(content)}, HEADER, overwrite=overwrite
    ),
    "generator": lambda path, content, overwrite: generators.save(_generator(content), path, overwrite=overwrite),
    "grid": lambda path, content, overwrite: write_grid(IMAGES / (content + 1), path, overwrite=overwrite),
    "grid of a text": lambda path, content, overwrite: write_grid(
        IMAGES / (content + 1), str(path), overwrite=overwrite
    ),
    "pairs": lambda path, content, overwrite: write_pairs(IMAGES, IMAGES / (content + 1), path, overwrite=overwrite),
    "png": lambda path, content, overwrite: save_png(
        Image.new("RGB", (2, 2), (content, 0, 0)), path, overwrite=overwrite
    ),
    "gif": lambda path, content, overwrite: save_gif(IMAGES / (content + 1), path, 20, overwrite=overwrite),
    "recipe": lambda path, content, overwrite: Recipe.of(_generator(0), [Ablation(UnitSet("layer1", (content,)))]).save(
        path, overwrite=overwrite
    ),
    "direction": lambda path, content, overwrite: _direction(content).save(
        path.with_suffix(".safetensors"), overwrite=overwrite
    ),
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Write content 0 or 1 in the way that the test is about; return the bytes of all files."""

    def write(content: int, *, overwrite: bool = False) -> dict[str, bytes]:
        WRITERS[request.param](tmp_path / "result", content, overwrite)
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    return write


def test_other_content_is_refused_the_same_accepted_and_all_replaced_on_request(
    write: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    first = write(0)
    assert write(0) == first
    with pytest.raises(FileExistsError, match=r"result\S* already exists; .*overwrite=True"):
        write(1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    second = write(1, overwrite=True)
    assert set(second) == set(first)
    assert all(second[name] != first[name] for name in first)


def test_modes_and_links_stay_and_new_files_follow_the_umask(
    write: Callable[..., dict[str, bytes]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = os.umask(0o027)
    try:
        names = set(write(0))
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o640}
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        for name in names:
            (tmp_path / name).chmod(0o660)
            shutil.move(tmp_path / name, elsewhere / f"target-{name}")
            (tmp_path / name).symlink_to(elsewhere / f"target-{name}")
        contents = write(1, overwrite=True)
    finally:
        os.umask(before)
    for name in names:
        assert (tmp_path / name).is_symlink()
        target = elsewhere / f"target-{name}"
        assert target.read_bytes() == contents[name]
        assert stat.S_IMODE(target.stat().st_mode) == 0o660
    assert len(list(elsewhere.iterdir())) == len(names), "no temporary file is left"


def test_a_link_to_nothing_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new" / "target")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "target").read_text() == "x"


def test_folders_and_devices_are_no_files_to_write(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name, what in (("folder", "got a folder"), ("pipe", "a pipe"), ("link", "a device")):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=what):
                check_new_file(tmp_path / name, overwrite=overwrite)
            with pytest.raises(ValueError, match=what):
                write_text(tmp_path / name, "x", overwrite=overwrite)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_file_is_checked_before_the_work(tmp_path: Path) -> None:
    check_new_file(tmp_path / "new" / "x.png")
    assert not (tmp_path / "new").exists()
    (tmp_path / "x.png").write_text("x")
    with pytest.raises(FileExistsError, match=r"x\.png already exists"):
        check_new_file(tmp_path / "x.png")
    check_new_file(tmp_path / "x.png", overwrite=True)
    with pytest.raises(ValueError, match=r"x\.png is a file"):
        check_new_file(tmp_path / "x.png" / "y.png")
    with pytest.raises(ValueError, match=r"x\.png is a file"):
        check_folder(tmp_path / "x.png")


# --- full disks


@contextmanager
def _no_file_longer_than(length: int) -> Iterator[None]:
    """Let the system refuse longer files in this process, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_takes_no_more_leaves_what_was_there_and_is_one_error(
    write: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    first = write(0)
    with (
        _no_file_longer_than(min(map(len, first.values())) // 2),
        pytest.raises(OSError, match="result") as caught,
    ):
        write(1, overwrite=True)
    assert caught.value.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_large_tensors_on_a_full_disk_name_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with _no_file_longer_than(100_000), pytest.raises(OSError, match=r"x\.safetensors") as caught:
        save_tensors(path, {"a": torch.zeros(10**5)}, HEADER)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert list(tmp_path.iterdir()) == []


# --- folders


def _fill(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def _find_sets(folder: Path) -> list[Path]:
    return list(folder.glob("set-*"))


def test_a_new_folder_is_filled_at_the_end_and_a_failure_leaves_none(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with output_folder(folder, ["a"]) as staged:
        write_text(staged / "a", "1")
        assert not (folder / "a").exists()
    assert _read(folder) == {"a": "1"}
    with pytest.raises(RuntimeError), output_folder(tmp_path / "other" / "folder", ["a"]) as staged:
        write_text(staged / "a", "1")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["new"]  # noqa: PTH208


def test_earlier_results_are_refused_before_the_work_or_replaced_whole(tmp_path: Path) -> None:
    """Three sets of an earlier run are not left beside the one set of the next; a stranger's file is."""
    earlier = {"figure": "old", "set-1": "old", "set-2": "old", "set-3": "old", "notes": "mine"}
    _fill(tmp_path, earlier)
    with (
        pytest.raises(FileExistsError, match=r"earlier results \(figure, set-1 and 2 more\).*overwrite=True"),
        output_folder(tmp_path, ["figure", "extra"], find_others=_find_sets),
    ):
        pytest.fail("the work has begun")
    assert _read(tmp_path) == earlier
    with output_folder(tmp_path, ["figure", "extra"], overwrite=True, find_others=_find_sets) as staged:
        _fill(staged, {"figure": "new", "set-1": "new"})
        assert {name: text for name, text in _read_files(tmp_path).items() if name in earlier} == earlier
    assert _read(tmp_path) == {"figure": "new", "set-1": "new", "notes": "mine"}


def _read_files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_failure_while_replacing_leaves_the_earlier_results(tmp_path: Path) -> None:
    _fill(tmp_path, {"figure": "old", "set-1": "old"})
    with (
        pytest.raises(RuntimeError),
        output_folder(tmp_path, ["figure"], overwrite=True, find_others=_find_sets) as staged,
    ):
        write_text(staged / "figure", "new")
        raise RuntimeError
    assert _read(tmp_path) == {"figure": "old", "set-1": "old"}


def test_a_file_that_is_no_earlier_result_is_never_replaced(tmp_path: Path) -> None:
    _fill(tmp_path, {"dissection": "of another command"})
    with (
        pytest.raises(FileExistsError, match="dissection already exists"),
        output_folder(tmp_path, ["figure"], overwrite=True) as staged,
    ):
        _fill(staged, {"figure": "new", "dissection": "new"})
    assert _read(tmp_path) == {"dissection": "of another command"}


def test_links_and_modes_in_a_folder_stay(tmp_path: Path) -> None:
    folder, target = tmp_path / "folder", tmp_path / "target"
    _fill(folder, {"b": "old"})
    (folder / "b").chmod(0o660)
    target.write_text("old")
    target.chmod(0o660)
    (folder / "a").symlink_to(target)
    with output_folder(folder, ["a", "b"], overwrite=True) as staged:
        _fill(staged, {"a": "new", "b": "new"})
    assert (folder / "a").is_symlink()
    assert _read(folder) == {"a": "new", "b": "new"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (target, folder / "b")} == {0o660}


def test_results_that_are_folders_and_folders_that_are_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "figure").mkdir()
    with (
        pytest.raises(ValueError, match="figure must be a file; got a folder"),
        output_folder(tmp_path, ["figure"], overwrite=True),
    ):
        pytest.fail("the work has begun")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="file is a file"), output_folder(tmp_path / "file", ["figure"]):
        pytest.fail("the work has begun")
    assert sorted(os.listdir(tmp_path)) == ["figure", "file"]  # noqa: PTH208


def test_an_error_names_the_file_and_not_where_it_was_prepared(tmp_path: Path) -> None:
    with (
        _no_file_longer_than(1_000),
        pytest.raises(OSError, match="large") as caught,
        output_folder(tmp_path / "runs", ["large"]) as staged,
    ):
        save_tensors(staged / "large", {"a": torch.zeros(10**4)}, HEADER)
    assert caught.value.filename == str(tmp_path / "runs" / "large")
    assert list(tmp_path.iterdir()) == []


# --- locks

HOLD = """
import sys
from gandissect.storage import lock_folder
with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process lock a folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_by_name_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with _another_process(folder) as process:
        with (
            pytest.raises(BlockingIOError, match=rf"run is in use by process {process.pid} .*choose another folder"),
            output_folder(folder, ["a"]),
        ):
            pytest.fail("the work has begun")
        process.kill()
        process.wait()
        with output_folder(folder, ["a"]) as staged:
            write_text(staged / "a", "1")
    assert _read(folder) == {"a": "1"}


def test_a_thread_locks_twice_and_another_thread_not_at_all(tmp_path: Path) -> None:
    refused = []

    def try_to_lock() -> None:
        try:
            with lock_folder(tmp_path / "run"):
                pass
        except BlockingIOError as error:
            refused.append(error)

    with lock_folder(tmp_path / "run"):
        with lock_folder(tmp_path / "run" / ".." / "run"):
            pass
        assert (tmp_path / "run" / LOCK).exists()
        thread = threading.Thread(target=try_to_lock)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert list(tmp_path.iterdir()) == [], "a folder that was made for the lock only is removed again"
    try_to_lock()
    assert len(refused) == 1


def test_a_file_system_without_locks_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("gandissect.storage.locks._lock", refuse)
    with lock_folder(tmp_path / "run"):
        write_text(tmp_path / "run" / "a", "1")
    assert "does not support locks" in caplog.text
    assert _read(tmp_path / "run") == {"a": "1"}


def test_of_many_writers_in_one_folder_one_result_stays_whole(tmp_path: Path) -> None:
    """Each writes its own number into two files; the others are refused, and the two files agree."""
    together, won, refused = threading.Barrier(8), [], []

    def write(folder: Path, number: int) -> None:
        together.wait()
        try:
            with output_folder(folder, ["a", "b"]) as staged:
                _fill(staged, {"a": str(number), "b": str(number)})
            won.append(number)
        except (BlockingIOError, FileExistsError) as error:
            refused.append(error)

    for turn in range(20):
        folder = tmp_path / str(turn)
        threads = [threading.Thread(target=write, args=(folder, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(refused)) == (turn + 1, 7 * (turn + 1))
        assert _read(folder) == {"a": str(won[-1]), "b": str(won[-1])}


def test_the_tensors_of_a_replaced_file_are_the_new_ones(tmp_path: Path) -> None:
    for value in (1, 2):
        save_tensors(tmp_path / "x.safetensors", {"a": torch.tensor(value)}, HEADER, overwrite=True)
    assert load_tensors(tmp_path / "x.safetensors", "test", 1)[0]["a"] == 2
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.safetensors", overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert load_tensors(tmp_path / "x.safetensors", "test", 1)[0]["a"] == 2
