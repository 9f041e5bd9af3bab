"""A repair that was stopped is resumed after its last finished step, and ends as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_generators import make_generator
from torch import Tensor

import gandissect.artifacts.find as find
from gandissect import FoundRepair, UnitSet, Yardstick, find_repair
from gandissect.artifacts.steps import RepairSteps
from gandissect.core.sampling import make_rng
from gandissect.storage import files, lock_folder
from gandissect.storage.saved import is_same_result
from generators import LayeredGenerator, PlantedGenerator
from segmenters import PaletteSegmenter

GENERATOR = make_generator("dcgan")
LAYERS = ("layer1", "layer2")
NUM_STEPS = 2 * len(LAYERS) + 2
"""Each layer is ranked and compared; then come the curve and the measurement."""

PALETTE = PaletteSegmenter(PlantedGenerator.concepts)
TRAIN, HELD_OUT = torch.randint(0, 256, (84, 3, 16, 16), dtype=torch.uint8, generator=make_rng(0, "pictures")).split(
    [60, 24]
)


class _Colors:
    """An encoder that gives the mean and the maximum of each color of an image."""

    name = "colors"

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        return [torch.cat([images.mean(dim=(2, 3)), images.amax(dim=(2, 3))], dim=1)[:, :, None, None]]


def _find(folder: Path | None, **options: Any) -> FoundRepair[LayeredGenerator]:
    defaults = {
        "generator": GENERATOR,
        "real": TRAIN,
        "held_out": HELD_OUT,
        "segmenter": PALETTE,
        "features": _Colors(),
        "layers": LAYERS,
        "num_samples": 120,
        "num_images": 12,
        "num_sets": 2,
        "folder": folder,
        "progress": False,
    }
    return find_repair(**defaults | options)


def _is_same_repair(one: FoundRepair[LayeredGenerator], other: FoundRepair[LayeredGenerator]) -> bool:
    same = [is_same_result(getattr(one, name), getattr(other, name)) for name in ("ranking", "curve", "repair")]
    return all(same) and one.generator.fingerprint == other.generator.fingerprint


@pytest.fixture(scope="module")
def whole() -> FoundRepair[LayeredGenerator]:
    """The repair of a run that nobody stops and that keeps nothing."""
    return _find(None)


class _Stopper:
    """Stops a run by Ctrl-C when it has finished some steps, and counts them."""

    def __init__(self) -> None:
        self.save, self.finished, self.limit = RepairSteps.save, 0, 0

    def run(self, limit: int, folder: Path, **options: Any) -> FoundRepair[LayeredGenerator]:
        self.finished, self.limit = 0, limit
        return _find(folder, **options)

    def save_and_stop(self, steps: RepairSteps, *arguments: Any, **options: Any) -> Path:
        path = self.save(steps, *arguments, **options)
        self.finished += 1
        if self.finished == self.limit:
            raise KeyboardInterrupt
        return path


@pytest.fixture
def stopper(monkeypatch: pytest.MonkeyPatch) -> _Stopper:
    stopper = _Stopper()
    monkeypatch.setattr(RepairSteps, "save", lambda *arguments, **options: stopper.save_and_stop(*arguments, **options))
    return stopper


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file with the first two steps of a repair."""
    folder, stopper = tmp_path_factory.mktemp("stopped"), _Stopper()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RepairSteps, "save", lambda *arguments, **options: stopper.save_and_stop(*arguments, **options))
        stopper.run(2, folder)
    assert [path.name for path in folder.iterdir()] == [RepairSteps.FILE_NAME]
    return (folder / RepairSteps.FILE_NAME).read_bytes()


@pytest.fixture
def stopped(two_steps: bytes, tmp_path: Path) -> Path:
    """A folder with the first two steps of a repair."""
    (tmp_path / RepairSteps.FILE_NAME).write_bytes(two_steps)
    return tmp_path


def test_a_run_that_is_stopped_after_every_step_ends_as_one_that_is_not(
    whole: FoundRepair[LayeredGenerator],
    stopper: _Stopper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(NUM_STEPS):
        with pytest.raises(KeyboardInterrupt):
            stopper.run(1, tmp_path)
    for name in ("iter_rankings", "choose_num_units", "measure_repair"):
        monkeypatch.setattr(find, name, None)
    assert _is_same_repair(stopper.run(1, tmp_path), whole), "nothing is left to compute"
    assert stopper.finished == 0
    assert [path.name for path in tmp_path.iterdir()] == [RepairSteps.FILE_NAME]


@pytest.mark.parametrize("num_finished", [1, 3, 5])
def test_a_run_is_resumed_after_its_last_finished_step(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, tmp_path: Path, num_finished: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopper.run(num_finished, tmp_path)
    assert _is_same_repair(stopper.run(0, tmp_path), whole)
    assert stopper.finished == NUM_STEPS - num_finished


def test_a_run_that_is_stopped_within_a_step_or_while_it_writes_resumes_before_that_step(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def write_half(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    before = (stopped / RepairSteps.FILE_NAME).read_bytes()
    for place, name, fault in ((find, "choose_num_units", stop), (files, "save_file", write_half)):
        with monkeypatch.context() as faulty, pytest.raises(KeyboardInterrupt):
            faulty.setattr(place, name, fault)
            _find(stopped)
        assert [path.name for path in stopped.iterdir()] == [RepairSteps.FILE_NAME]
        assert (stopped / RepairSteps.FILE_NAME).read_bytes() == before
    assert _is_same_repair(stopper.run(0, stopped), whole)
    assert stopper.finished == NUM_STEPS - 2


def test_given_units_are_resumed_too(stopper: _Stopper, tmp_path: Path) -> None:
    options: dict[str, Any] = {"units": UnitSet("layer1", (2, 0)), "layers": None, "force_to": "mean"}
    with pytest.raises(KeyboardInterrupt):
        stopper.run(1, tmp_path, **options)
    found = stopper.run(0, tmp_path, **options)
    assert stopper.finished == 1 and found.ranking is None
    assert _is_same_repair(found, _find(None, **options))


class _Unread:
    """A source of which only the first picture may be read, which says how many features there are."""

    name, size = "unread pictures", 16

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        assert list(indices) == [0], "a request that is refused reads no pictures"
        return SimpleNamespace(images=self.images[:1])


@pytest.mark.parametrize(
    ("options", "differences"),
    [
        ({"generator": make_generator("progan"), "layers": ("layer1",)}, "generator, layers"),
        ({"segmenter": None}, "segmenter"),
        ({"layers": LAYERS[::-1]}, "layers"),
        ({"layers": None, "units": UnitSet("layer1", (0,))}, "layers, units"),
        ({"layers": "layer1"}, "layers"),
        ({"force_to": "mean", "method": "realism"}, "force_to, method"),
        ({"num_samples": 121, "num_images": 13, "num_sets": 3}, "num_samples, num_images, num_sets"),
        ({"seed": 1}, "seed"),
    ],
)
def test_the_steps_of_another_repair_are_refused_before_pictures_are_read(
    stopped: Path, options: dict[str, Any], differences: str
) -> None:
    message = (
        f"repair_steps.safetensors contains the steps of another repair, which differs in {differences}; choose another"
    )
    with pytest.raises(ValueError, match=message):
        _find(stopped, real=_Unread(TRAIN), held_out=_Unread(HELD_OUT), **options)


def test_the_steps_of_another_version_or_other_pictures_are_refused(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in ({"real": TRAIN[1:]}, {"held_out": HELD_OUT[1:]}, {"real": TRAIN.flip(0)}):
        with pytest.raises(ValueError, match=r"which differs in pictures; .* with overwrite=True \(--overwrite"):
            _find(stopped, **options)
    monkeypatch.setattr(find, "installed_versions", lambda: {"gandissect": "0.0.1"})
    with pytest.raises(ValueError, match="which differs in versions"):
        _find(stopped)


def test_pictures_may_come_as_a_yardstick_when_a_run_is_resumed(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, stopped: Path
) -> None:
    yardstick = Yardstick.of(_Colors(), TRAIN, HELD_OUT)
    assert _is_same_repair(stopper.run(0, stopped, real=yardstick, held_out=None, features=None), whole)
    assert stopper.finished == NUM_STEPS - 2


@pytest.mark.parametrize("length", [0, 20, 3_000])
def test_a_damaged_file_is_refused_with_the_remedy_and_replaced_on_request(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, stopped: Path, length: int
) -> None:
    path = stopped / RepairSteps.FILE_NAME
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ValueError, match=r"repair_steps.safetensors is not a complete .*; choose another folder, or replace"
    ):
        _find(stopped)
    assert _is_same_repair(stopper.run(0, stopped, overwrite=True), whole)
    assert stopper.finished == NUM_STEPS


def test_the_steps_of_another_repair_are_replaced_on_request(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, stopped: Path
) -> None:
    for options in ({"seed": 1}, {"real": TRAIN[1:]}):
        with pytest.raises(KeyboardInterrupt):
            stopper.run(1, stopped, overwrite=True, **options)
        assert len(RepairSteps.load(stopped).rankings) == 1
    assert _is_same_repair(stopper.run(0, stopped, overwrite=True), whole)
    assert stopper.finished == NUM_STEPS


def test_overwriting_resumes_the_same_repair(
    whole: FoundRepair[LayeredGenerator], stopper: _Stopper, stopped: Path
) -> None:
    assert _is_same_repair(stopper.run(0, stopped, overwrite=True), whole)
    assert stopper.finished == NUM_STEPS - 2


def test_a_folder_that_another_run_writes_to_is_refused(stopped: Path) -> None:
    with (
        ThreadPoolExecutor() as others,
        lock_folder(stopped),
        pytest.raises(BlockingIOError, match="is in use by process"),
    ):
        others.submit(_find, stopped).result()
