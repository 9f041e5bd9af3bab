"""Long work in the background, of one visitor or for all, which says how far it is and can be called off.

The work itself knows nothing of tasks: what it is given, a segmenter or a feature network, counts its pictures by
`advance`, which is also where a task that was called off ends. One task runs at a time, since each takes all cores.
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
"""Seconds after which a waiting task looks whether it was called off."""


@dataclass(slots=True, eq=False)
class Task:
    """Work under way, done, failed or called off.

    Args:
        key: What it is about.
        total: How many pictures it looks at, about.
        done: How many it has looked at.
        result: The value of the work, or what went wrong.
        begun: Whether it has had its turn.
        stopped: Set when it is called off.
    """

    key: Hashable
    total: int
    done: int = 0
    begun: bool = False
    result: Future[Any] = field(default_factory=Future)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(1.0, self.done / max(1, self.total))

    @property
    def value(self) -> Any:
        """The result's value; None while the task is under way, or if it failed or was called off."""
        over = self.result.done() and self.result.exception() is None
        return self.result.result() if over else None


_CURRENT: ContextVar[Task | None] = ContextVar("task", default=None)


def advance(count: int) -> None:
    """Count pictures on the task that this thread works at, if any.

    Raises:
        CancelledError: If it was called off.
    """
    task = _CURRENT.get()
    if task is None:
        return
    if task.stopped.is_set():
        raise CancelledError
    task.done += count


class Tasks:
    """The latest tasks of a visitor, or of all of them, by what they are about.

    Args:
        capacity: How many are kept; older ones are called off.
    """

    def __init__(self, capacity: int = 16) -> None:
        self._tasks: OrderedDict[Hashable, Task] = OrderedDict()
        self._capacity, self._guard = capacity, threading.Lock()

    def get(self, key: Hashable) -> Task | None:
        """Return a task; None if it was never begun, or called off."""
        task = self._tasks.get(key)
        return None if task is None or task.stopped.is_set() else task

    def begin(
        self, key: Hashable, total: int, work: Callable[[], Any], look_up: Callable[[], Any] = lambda: None
    ) -> Task:
        """Return the task of a key, begun if there is none.

        Args:
            key: What it is about.
            total: How many pictures it will count, about.
            work: What to do; it is called in a thread of its own, on nothing that others change.
            look_up: Returns the work's value at once if it is known, and the work is not done; else None.
        """
        with self._guard:
            task = self.get(key)
            if task is None:
                value, task = look_up(), Task(key, total)
                if value is not None:
                    task.result.set_result(value)
                else:  # a daemon: Ctrl-C ends the server at once
                    threading.Thread(target=_run, args=(task, work), daemon=True).start()
                self._tasks[key] = task
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._capacity:
                self._tasks.popitem(last=False)[1].stopped.set()
        return task

    def stop(self, key: Hashable) -> None:
        """Call a task off, or forget it if it is over."""
        if task := self._tasks.pop(key, None):
            task.stopped.set()

    def stop_all(self) -> None:
        """Call all tasks off."""
        for key in list(self._tasks):
            self.stop(key)


class CountedSegmenter:
    """A segmenter that counts its pictures on the task that this thread works at.

    Args:
        segmenter: The segmenter.
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
    except Exception as error:  # whatever it is, the page shows it
        task.result.set_exception(error)
    finally:
        _TURN.release()
