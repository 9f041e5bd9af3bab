"""Long work in the background: counted, one at a time, called off when asked, and never without an answer."""

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


def test_a_task_called_off_ends_where_it_counts_next_and_can_begin_again() -> None:
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


def test_one_works_at_a_time_and_a_waiting_one_can_be_called_off() -> None:
    tasks, begun, go = Tasks(), threading.Event(), threading.Event()
    first = tasks.begin("a", 1, lambda: (begun.set(), go.wait(10)))
    begun.wait(10)
    second, third = tasks.begin("b", 1, lambda: 2), tasks.begin("c", 1, lambda: 3)
    tasks.stop("b")
    with pytest.raises(CancelledError):
        second.result.result(10)
    assert not third.result.done(), "the first one still works"
    go.set()
    assert third.result.result(10) == 3 and first.result.done()


def test_what_goes_wrong_is_the_result() -> None:
    def work() -> None:
        raise ValueError("too few pictures")

    tasks = Tasks()
    task = tasks.begin("a", 1, work)
    with pytest.raises(ValueError, match="too few pictures"):
        task.result.result(10)
    assert task.value is None
    assert tasks.begin("b", 1, lambda: 1).result.result(10) == 1, "the turn passes on"


def test_more_tasks_than_are_kept_call_off_the_oldest() -> None:
    tasks, go = Tasks(capacity=2), threading.Event()
    first = tasks.begin("a", 1, lambda: (go.wait(10), advance(1)))
    tasks.begin("b", 1, lambda: 1)
    tasks.begin("c", 1, lambda: 1)
    go.set()
    with pytest.raises(CancelledError):
        first.result.result(10)
    assert tasks.get("a") is None and tasks.get("c") is not None


def test_a_counted_segmenter_is_the_segmenter_and_counts_on_the_task_of_its_thread_only() -> None:
    planted = PlantedGenerator()
    plain = PaletteSegmenter(planted.concepts)
    counted, images = CountedSegmenter(plain), planted(planted.sample_z(5))
    check_protocols(planted, counted)
    assert torch.equal(counted(images), plain(images)), "outside of tasks nothing is counted"
    task = Tasks().begin("a", 5, lambda: counted(images))
    assert torch.equal(task.result.result(10), plain(images)) and task.done == 5


def test_a_visitor_who_leaves_holds_up_nobody() -> None:
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
