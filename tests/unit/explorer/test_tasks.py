"""Background tasks: counted, one at a time, cancelable, and always with a result or an error."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
import torch

from apps.explorer.background.tasks import CountedSegmenter, Tasks, advance
from gandissect.core.protocols import check_protocols
from generators import PlantedGenerator
from segmenters.palette import PaletteSegmenter


def test_work_is_done_once_for_a_key_and_counted() -> None:
    tasks, calls = Tasks(), []

    def work() -> str:
        calls.append(1)
        advance(3)
        advance(4)
        return "done"

    task = tasks.begin("a", 10, work)
    assert task.result.result(10) == "done" == task.value
    assert tasks.begin("a", 10, work) is task is tasks.get("a") and len(calls) == 1
    assert task.done == 7 and task.share == 0.7


def test_a_canceled_task_ends_at_its_next_count_and_can_restart() -> None:
    tasks, begun, go = Tasks(), threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        go.wait(10)
        advance(1)
        return 5

    task = tasks.begin("a", 1, work)
    begun.wait(10)
    tasks.stop("a")
    go.set()
    with pytest.raises(CancelledError):
        task.result.result(10)
    assert task.done == 0 and task.value is None and tasks.get("a") is None
    assert tasks.begin("a", 1, work).result.result(10) == 5


def test_one_task_runs_at_a_time_and_a_waiting_one_can_be_canceled() -> None:
    tasks, begun, go = Tasks(), threading.Event(), threading.Event()
    first = tasks.begin("a", 1, lambda: (begun.set(), go.wait(10)))
    begun.wait(10)
    second, third = tasks.begin("b", 1, lambda: 2), tasks.begin("c", 1, lambda: 3)
    tasks.stop("b")
    with pytest.raises(CancelledError):
        second.result.result(10)
    assert not third.result.done(), "the first one is still running"
    go.set()
    assert third.result.result(10) == 3 and first.result.done()


def test_an_error_is_the_result() -> None:
    def work() -> None:
        raise ValueError("too few pictures")

    tasks = Tasks()
    task = tasks.begin("a", 1, work)
    with pytest.raises(ValueError, match="too few pictures"):
        task.result.result(10)
    assert task.value is None
    assert tasks.begin("b", 1, lambda: 1).result.result(10) == 1, "the next task runs"


def test_the_oldest_task_is_canceled_beyond_capacity() -> None:
    tasks, go = Tasks(capacity=2), threading.Event()
    first = tasks.begin("a", 1, lambda: (go.wait(10), advance(1)))
    tasks.begin("b", 1, lambda: 1)
    tasks.begin("c", 1, lambda: 1)
    go.set()
    with pytest.raises(CancelledError):
        first.result.result(10)
    assert tasks.get("a") is None and tasks.get("c") is not None


def test_a_counted_segmenter_returns_the_same_labels_and_counts_only_on_its_threads_task() -> None:
    planted = PlantedGenerator()
    plain = PaletteSegmenter(planted.concepts)
    counted, images = CountedSegmenter(plain), planted(planted.sample_z(5))
    check_protocols(planted, counted)
    assert torch.equal(counted(images), plain(images)), "nothing is counted outside tasks"
    task = Tasks().begin("a", 5, lambda: counted(images))
    assert torch.equal(task.result.result(10), plain(images)) and task.done == 5


def test_tasks_of_a_visitor_who_leaves_delay_nobody() -> None:
    tasks, begun, go = Tasks(), threading.Event(), threading.Event()
    first = tasks.begin("a", 1, lambda: (begun.set(), go.wait(10), advance(1)))
    begun.wait(10)
    second, other = tasks.begin("b", 1, lambda: 2), Tasks().begin("a", 1, lambda: 3)
    tasks.stop_all()
    go.set()
    assert other.result.result(10) == 3
    for task in (first, second):
        with pytest.raises(CancelledError):
            task.result.result(10)
