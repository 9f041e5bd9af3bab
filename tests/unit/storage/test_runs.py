from __future__ import annotations

import io
import itertools
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from gandissect.storage.runs import ema_decay, train, update_ema


class Counter:
    """A task whose state is the list of steps it has done."""

    images_per_step = 10

    def __init__(self, fail_at: int | None = None) -> None:
        self.done: list[int] = []
        self.snapshots: list[int] = []
        self.fail_at = fail_at

    def step(self, index: int) -> dict[str, float]:
        if index == self.fail_at:
            raise KeyboardInterrupt
        self.done.append(index)
        return {"index": float(index)}

    def state_dict(self) -> dict[str, Any]:
        return {"done": list(self.done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.done = state["done"]

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        self.snapshots.append(images_seen)
        return {"seen": float(images_seen)}

    def export(self, folder: Path, images_seen: int) -> None:
        (folder / "network.safetensors").write_text(str(images_seen))


def _lines(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("fail_at", [1, 49, 50, 51, 99, 119])
def test_every_step_is_done_once_whenever_the_run_was_interrupted(tmp_path: Path, fail_at: int) -> None:
    steps = {"num_steps": 120, "snapshot_every": 40, "checkpoint_every": 7}
    whole = Counter()
    train(whole, tmp_path / "whole", {"a": 1}, **steps)
    with pytest.raises(KeyboardInterrupt):
        train(Counter(fail_at), tmp_path / "parts", {"a": 1}, **steps)
    resumed = Counter()
    train(resumed, tmp_path / "parts", {"a": 1}, **steps)
    assert resumed.done == whole.done == list(range(120))
    assert _lines(tmp_path / "parts") == _lines(tmp_path / "whole")
    assert {"step": 50, "images": 500, "index": 24.5} in _lines(tmp_path / "whole")
    assert whole.snapshots == [400, 800, 1200]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    for _ in range(2):
        task = Counter()
        train(task, tmp_path, {}, num_steps=3, snapshot_every=3, checkpoint_every=3)
        assert task.done == [0, 1, 2]
    longer = Counter()
    train(longer, tmp_path, {}, num_steps=5, snapshot_every=3, checkpoint_every=3)
    assert longer.done == [0, 1, 2, 3, 4]


def test_a_figure_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    class Diverges(Counter):
        def step(self, index: int) -> dict[str, float]:
            return {"loss": float("nan") if index == 4 else 1.0}

    with pytest.raises(FloatingPointError, match="loss must be finite; got nan at step 4"):
        train(Diverges(), tmp_path, {}, num_steps=9, snapshot_every=9, checkpoint_every=2)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["steps_done"] == 4


def test_an_average_has_forgotten_half_after_its_half_life() -> None:
    average, model = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    with torch.no_grad():
        model.weight.fill_(3)
        model.running_mean.fill_(8)
        model.num_batches_tracked.fill_(7)
    for _ in range(25):
        update_ema(average, model, ema_decay(100, batch_size=4))
    assert torch.allclose(average.weight, torch.full((2,), 2.0))
    assert torch.allclose(average.running_mean, torch.full((2,), 4.0))
    assert average.num_batches_tracked == 7


STEPS = {"num_steps": 60, "snapshot_every": 60, "checkpoint_every": 20}


def test_a_folder_of_another_run_is_left_as_it_is(tmp_path: Path) -> None:
    train(Counter(), tmp_path, {"a": 1}, **STEPS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="a: 1 there, 2 given"):
        train(Counter(), tmp_path, {"a": 2}, **STEPS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "damage",
    [b'{"step": 61, "ima', b"garbage}\n", b'{"a": 1}\n', b'{"step": "x"}\n', b"[1]\n", b"\xff\xfe}\n", b"\0" * 99],
)
def test_damaged_lines_of_metrics_are_dropped_and_the_others_kept(tmp_path: Path, damage: bytes) -> None:
    train(Counter(), tmp_path, {}, **STEPS)
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(whole + damage)
    train(Counter(), tmp_path, {}, **STEPS)
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole


STATE = {"task": {"done": []}, "steps_done": 3, "seconds": 0.0, "sums": {}, "summed": 0}


@pytest.mark.parametrize(
    "state", [[], STATE | {"steps_done": "3"}, STATE | {"task": None}, STATE | {"task": {}}, STATE | {"sums": 0}]
)
def test_a_checkpoint_of_something_else_is_named(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt"):
        train(Counter(), tmp_path, {}, **STEPS)


def test_a_damaged_checkpoint_is_named_whatever_the_damage(tmp_path: Path) -> None:
    train(Counter(), tmp_path, {}, **STEPS)
    path = tmp_path / "checkpoint.pt"
    whole, draw, refused = path.read_bytes(), random.Random(1), 0
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            train(Counter(), tmp_path, {}, **STEPS | {"num_steps": 1})
        except ValueError as error:  # and nothing else
            assert "checkpoint.pt" in str(error)
            refused += 1
    assert refused > 50, "the other damages are to what is not read"


class Signaled(Counter):
    """Is sent a signal in its thirteenth step."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def step(self, index: int) -> dict[str, float]:
        if index == 12:
            signal.raise_signal(self.number)
        return super().step(index)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint_and_the_weights_of_it(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[int] = []
    task = Signaled(number)
    before = signal.signal(number, lambda number, _: received.append(number))
    try:
        handler = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt):
            train(task, tmp_path, {}, **STEPS)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert received == [number], "who handled it before hears of it at the end"
    assert task.done == list(range(13)), "the step is finished and no other begun"
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["steps_done"] == 13
    assert (tmp_path / "network.safetensors").read_text() == "130"
    assert task.snapshots == []
    resumed = Counter()
    train(resumed, tmp_path, {}, **STEPS)
    assert resumed.done == list(range(60))


def test_a_run_that_is_stopped_at_a_snapshot_keeps_it(tmp_path: Path) -> None:
    task = Signaled(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(task, tmp_path, {}, num_steps=60, snapshot_every=13, checkpoint_every=60)
    assert task.snapshots == [130]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["steps_done"] == 13
    assert not (tmp_path / "network.safetensors").exists(), "the snapshot has written it"


def test_a_second_ctrl_c_ends_the_run_at_once(tmp_path: Path) -> None:
    class Impatient(Counter):
        def step(self, index: int) -> dict[str, float]:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            pytest.fail("the second one was not heard")

    with pytest.raises(KeyboardInterrupt):
        train(Impatient(), tmp_path, {}, **STEPS)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_last_step_is_always_followed_by_a_snapshot(tmp_path: Path) -> None:
    task = Counter()
    train(task, tmp_path, {}, num_steps=5, snapshot_every=3, checkpoint_every=9)
    assert task.snapshots == [30, 50]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["steps_done"] == 5


def test_seconds_add_up_over_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(
        "gandissect.storage.runs.time.perf_counter", lambda: float(next(clock))
    )  # so a step takes a second
    steps = {"num_steps": 100, "snapshot_every": 100, "checkpoint_every": 10}
    with pytest.raises(KeyboardInterrupt):
        train(Counter(fail_at=70), tmp_path, {}, **steps)
    train(Counter(), tmp_path, {}, **steps)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["seconds"]) for line in lines] == [(50, 50), (100, 100), (100, 100)]


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "owned",)

    torch.save(STATE | {"task": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
        train(Counter(), tmp_path, {}, **STEPS)
    assert not (tmp_path / "owned").exists()


def test_networks_without_a_checkpoint_are_not_trained_over(tmp_path: Path) -> None:
    train(Counter(), tmp_path, {}, **STEPS)
    (tmp_path / "checkpoint.pt").unlink()
    (tmp_path / "generator.safetensors").write_bytes(b"months of work")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for resume in (True, False):
        with pytest.raises(
            ValueError, match=r"holds generator\.safetensors but no checkpoint\.pt .* choose another folder"
        ):
            train(Counter(), tmp_path, {}, resume=resume, **STEPS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_settings_within_settings_are_compared_one_by_one(tmp_path: Path) -> None:
    train(Counter(), tmp_path, {"settings": {"a": 1, "b": [2], "c": {"d": 3}}, "e": 4}, **STEPS)
    with pytest.raises(ValueError) as refusal:
        train(Counter(), tmp_path, {"settings": {"a": 1, "b": [5], "c": {"d": 6}}, "e": 4}, **STEPS)
    assert "(settings.b: [2] there, [5] given, settings.c.d: 3 there, 6 given)" in str(refusal.value)


@pytest.mark.parametrize("name", ["num_steps", "snapshot_every", "checkpoint_every"])
def test_a_number_of_steps_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least 1; got 0$"):
        train(Counter(), tmp_path, {}, **{**STEPS, name: 0})
    assert not list(tmp_path.iterdir())


def test_tensorboard_shows_each_step_once_after_a_kill(tmp_path: Path) -> None:
    """TensorBoard's own reader finds in a killed and resumed run what it finds in one that was not killed."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs 'train'")
    steps = {"num_steps": 200, "snapshot_every": 70, "checkpoint_every": 60}

    def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = reading.EventAccumulator(str(folder), {"scalars": 0}).Reload()
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    train(Counter(), tmp_path / "whole", {}, **steps)
    for fail_at in (55, 119, 169):  # killed before a checkpoint, a step before one, and far from one
        with pytest.raises(KeyboardInterrupt):
            train(Counter(fail_at), tmp_path / "parts", {}, **steps)
    train(Counter(), tmp_path / "parts", {}, **steps)
    assert curves(tmp_path / "parts") == curves(tmp_path / "whole")
    assert [step for step, _ in curves(tmp_path / "whole")["index"]] == [500, 1000, 1500, 2000]


def test_tensorboard_shows_the_grid_of_each_snapshot_and_no_other_picture(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs 'train'")

    class Draws(Counter):
        def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
            picture = Image.new("RGB", (4, 3), (images_seen % 256, 7, 9))
            picture.save(folder / f"samples-{images_seen:08d}.png")
            picture.save(folder / f"other-1{images_seen:08d}.png")
            return super().snapshot(folder, images_seen)

    train(Draws(), tmp_path, {}, num_steps=9, snapshot_every=3, checkpoint_every=9)
    events = reading.EventAccumulator(str(tmp_path), {"images": 0}).Reload()
    assert events.Tags()["images"] == ["samples"]
    shown = events.Images("samples")
    assert [image.step for image in shown] == [30, 60, 90]
    for image in shown:
        picture = Image.open(io.BytesIO(image.encoded_image_string))
        assert picture.size == (4, 3)
        assert picture.getpixel((1, 1)) == (image.step, 7, 9)


def test_figures_go_to_tensorboard_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'train' is not installed")
    train(Counter(), tmp_path, {}, **STEPS)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"index" in events.read_bytes()
