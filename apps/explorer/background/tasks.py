"""Background tasks of one visitor or of all, with progress and cancellation.

The work itself does not know about tasks: the segmenter or feature network passed to it counts its pictures with
`advance`, where a canceled task also ends. One task runs at a time, since each one uses all cores.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from gandissect import Segmenter

_TURN = threading.Lock()
_WAIT = 0.1
"""Seconds between two checks of a waiting task for cancellation."""


@dataclass(slots=True, eq=False)
class Task:
    """A task that is waiting, running, done, failed or canceled.

    Args:
        key: Key that identifies the task.
        total: Approximate number of pictures to process.
        done: Number of pictures processed so far.
        begun: Whether the task has started.
        result: Value of the work, or its exception.
        stopped: Event that is set when the task is canceled.
    """

    key: Hashable
    total: int
    done: int = 0
    begun: bool = False
    result: Future[Any] = field(default_factory=Future)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def share(self) -> float:
        """Share of the task that is done, 0 to 1."""
        return min(1.0, self.done / max(1, self.total))

    @property
    def value(self) -> Any:
        """Value of the result; None if the task is not done, failed or was canceled."""
        over = self.result.done() and self.result.exception() is None
        return self.result.result() if over else None


_CURRENT: ContextVar[Task | None] = ContextVar("task", default=None)


def advance(count: int) -> None:
    """Report processed pictures to the current thread's task, if any.

    Raises:
        CancelledError: If the task was canceled.
    """
    task = _CURRENT.get()
    if task is None:
        return
    if task.stopped.is_set():
        raise CancelledError
    task.done += count


class Tasks:
    """The latest tasks of one visitor, or of all visitors, by key.

    Args:
        capacity: Maximum number of tasks to keep; older ones are canceled.
    """

    def __init__(self, capacity: int = 16) -> None:
        self._tasks: OrderedDict[Hashable, Task] = OrderedDict()
        self._capacity, self._guard = capacity, threading.Lock()

    def get(self, key: Hashable) -> Task | None:
        """Return the task of a key; None if it was never started, or was canceled."""
        task = self._tasks.get(key)
        return None if task is None or task.stopped.is_set() else task

    def begin(
        self, key: Hashable, total: int, work: Callable[[], Any], look_up: Callable[[], Any] = lambda: None
    ) -> Task:
        """Start the task of a key if necessary, and return it.

        Args:
            key: Key that identifies the task.
            total: Approximate number of pictures that the work will report.
            work: Function to call in a separate thread; must not use mutable shared state.
            look_up: Function that returns the value immediately if it is known, which skips the work; else None.
        """
        with self._guard:
            task = self.get(key)
            if task is None:
                value, task = look_up(), Task(key, total)
                if value is not None:
                    task.result.set_result(value)
                else:  # a daemon, so that Ctrl-C ends the server immediately
                    threading.Thread(target=_run, args=(task, work), daemon=True).start()
                self._tasks[key] = task
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._capacity:
                self._tasks.popitem(last=False)[1].stopped.set()
        return task

    def stop(self, key: Hashable) -> None:
        """Cancel a task, or remove it if it is done."""
        if task := self._tasks.pop(key, None):
            task.stopped.set()

    def stop_all(self) -> None:
        """Cancel all tasks."""
        for key in list(self._tasks):
            self.stop(key)


class CountedSegmenter:
    """A segmenter that reports its pictures to the current thread's task.

    Args:
        segmenter: Segmenter to wrap.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.name, self.fingerprint, self.concepts = segmenter.name, segmenter.fingerprint, segmenter.concepts
        self._segmenter = segmenter

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch *channel rows columns"]:
        """Return the labels."""
        advance(len(images))
        return self._segmenter(images)


def _run(task: Task, work: Callable[[], Any]) -> None:
    _CURRENT.set(task)  # of this thread only
    while not _TURN.acquire(timeout=_WAIT):
        if task.stopped.is_set():
            task.result.set_exception(CancelledError())
            return
    try:
        advance(0)
        task.begun = True
        task.result.set_result(work())
    except Exception as error:  # the page shows any error
        task.result.set_exception(error)
    finally:
        _TURN.release()
