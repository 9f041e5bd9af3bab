"""A training run that can be stopped at any moment: one loop for every network that is trained here.

A run is a folder: ``settings.json``, ``checkpoint.pt`` (atomic), ``metrics.jsonl``, TensorBoard events
where TensorBoard is installed, and the pictures of each snapshot. Step ``i`` of a task depends on the
state and on ``i`` only, so a run that was interrupted and resumed ends like one that was not.
"""

from __future__ import annotations

import io
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from .files import atomic_path, read_bytes, read_json, write_json, write_text

logger = logging.getLogger(__name__)

LOG_EVERY = 50
"""Steps whose figures are averaged into one line of ``metrics.jsonl``."""


class Trainable(Protocol):
    """Networks with their optimizers, as the training loop sees them."""

    images_per_step: int

    def step(self, index: int) -> dict[str, float]:
        """Train on one batch and return figures; all randomness derives from ``index``."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Write pictures and weights into the run's folder, evaluate, and return figures."""


def ema_decay(half_life_images: float, batch_size: int) -> float:
    """Return the decay of one step after which an average has forgotten half in ``half_life_images`` images."""
    return float(0.5 ** (batch_size / half_life_images))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an average of weights towards a model: ``average = decay * average + (1 - decay) * model``.

    Floating-point buffers move likewise (batch-norm statistics belong to the weights they were measured
    with); other buffers are copied.
    """
    averaged = average.state_dict(keep_vars=True)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            averaged[name].data.lerp_(value, 1 - decay)
        else:
            averaged[name].data.copy_(value)


def train(
    task: Trainable,
    folder: Path | str,
    settings: Mapping[str, Any],
    *,
    num_steps: int,
    snapshot_every: int,
    checkpoint_every: int,
    resume: bool = True,
    writes: bool = True,
) -> Path:
    """Train a task to ``num_steps`` steps in all, from the folder's checkpoint if it has one.

    Args:
        task: What is trained.
        folder: The run's folder; made if missing.
        settings: JSON values that define the run; a folder with other settings is refused.
        num_steps: Steps in all, 1 or more; those already done count.
        snapshot_every: Steps between snapshots; one is always made at the end.
        checkpoint_every: Steps between checkpoints; one is always written at the end and on Ctrl-C.
        resume: Continue from the folder's checkpoint; otherwise a folder that has one is refused.
        writes: Whether this process writes the folder; of several that share a training only one does.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder belongs to a run with other settings, or its checkpoint is damaged or not to be
            continued.
        FloatingPointError: If a figure of a step is not finite.
    """
    if min(num_steps, snapshot_every, checkpoint_every) < 1:
        raise ValueError("num_steps, snapshot_every and checkpoint_every are 1 or more")
    run = _Run(task, Path(folder), settings, writes)
    run.begin(resume)
    total = num_steps * task.images_per_step
    bar = tqdm(
        total=total, initial=run.images, unit="image", unit_scale=True, smoothing=0.05, disable=None if writes else True
    )
    with bar, _defer_interrupt() as interrupted:
        while run.steps_done < num_steps:
            run.advance()
            bar.update(task.images_per_step)
            last = run.steps_done == num_steps
            if writes and (last or run.steps_done % snapshot_every == 0):
                run.snapshot()
            if writes and (last or interrupted.is_set() or run.steps_done % checkpoint_every == 0):
                run.save()
            if interrupted.is_set():
                raise KeyboardInterrupt
    return run.folder


class _Run:
    """The folder of a run and how far it has come."""

    def __init__(self, task: Trainable, folder: Path, settings: Mapping[str, Any], writes: bool) -> None:
        self.task, self.folder, self.settings, self._writes = task, folder, dict(settings), writes
        self.steps_done, self.seconds = 0, 0.0
        self._sums: dict[str, float] = {}
        self._summed = 0
        self._writer: Any = None

    @property
    def images(self) -> int:
        return self.steps_done * self.task.images_per_step

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def begin(self, resume: bool) -> None:
        known = self.folder / "settings.json"
        if known.exists() and (saved := read_json(known)) != self.settings:
            raise ValueError(
                f"{self.folder} holds a run with other settings ({_difference(saved, self.settings)}); "
                "give another folder, or the settings of that run to resume it"
            )
        if self._checkpoint.exists() and not resume:
            raise ValueError(f"{self.folder} holds a run already; resume it (--resume), or give another folder")
        if self._checkpoint.exists():
            state = _load_checkpoint(self._checkpoint)
            try:
                self.task.load_state_dict(state["task"])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"{self._checkpoint} does not fit this training: {error}") from error
            if not known.exists():
                raise ValueError(f"{self._checkpoint} stands without settings.json, so nobody knows of which run it is")
            self.steps_done, self.seconds = state["steps_done"], state["seconds"]
            self._sums, self._summed = state["sums"], state["summed"]
            logger.info("resumed %s at step %d", self.folder, self.steps_done)
        if not self._writes:
            return
        write_json(known, self.settings)
        self._drop_metrics_after(self.steps_done)
        self._writer = _tensorboard(self.folder)  # it writes into the folder, so not before that is known to be ours

    def advance(self) -> None:
        begun = time.perf_counter()
        figures = self.task.step(self.steps_done)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{name} is {value} at step {self.steps_done}; the last checkpoint is kept")
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._summed += 1
        self.steps_done += 1
        self.seconds += time.perf_counter() - begun
        if self.steps_done % LOG_EVERY == 0:
            self._log({name: total / self._summed for name, total in self._sums.items()})
            self._sums, self._summed = {}, 0

    def snapshot(self) -> None:
        self._log(self.task.snapshot(self.folder, self.images))

    def save(self) -> None:
        state = {"task": self.task.state_dict(), "steps_done": self.steps_done, "seconds": self.seconds}
        written = io.BytesIO()  # writing to a full disk itself, torch dies of an assertion about its own file format
        torch.save(state | {"sums": self._sums, "summed": self._summed}, written)
        with atomic_path(self._checkpoint) as temporary:
            temporary.write_bytes(written.getbuffer())

    def _log(self, figures: Mapping[str, float]) -> None:
        if not (figures and self._writes):
            return
        line = {"step": self.steps_done, "images": self.images, "seconds": round(self.seconds, 3), **figures}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, self.images)
            self._writer.flush()  # it writes by a thread of its own, which may not come to it before the end

    def _drop_metrics_after(self, step: int) -> None:
        if not self._metrics.exists():
            return
        lines = self._metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        write_text(self._metrics, "".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> float:
    """Return the step of a line of metrics, infinite if the line is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
    return step if isinstance(step, int) else math.inf


def _load_checkpoint(path: Path) -> dict[str, Any]:
    read_bytes(path)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way; the kinds are not documented
        raise ValueError(f"{path} is damaged; remove it to begin anew: {error}") from error
    if not isinstance(state, dict) or any(not isinstance(state.get(name), kind) for name, kind in _STATE.items()):
        raise ValueError(f"{path} is not a checkpoint of a training run")
    return state


_STATE = {"task": dict, "steps_done": int, "seconds": float, "sums": dict, "summed": int}
"""What a checkpoint holds."""


def _difference(saved: object, settings: Mapping[str, Any]) -> str:
    if not isinstance(saved, dict):
        return "unreadable"
    names = sorted(name for name in {*saved, *settings} if saved.get(name) != settings.get(name))
    return ", ".join(f"{name}: {saved.get(name)!r} there, {settings.get(name)!r} given" for name in names)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


@contextmanager
def _defer_interrupt() -> Iterator[threading.Event]:
    """Turn Ctrl-C into a flag, so that a step is never torn; a second Ctrl-C ends the program at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        logger.warning("stopping after this step; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
