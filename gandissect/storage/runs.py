"""Training runs that can be stopped at any time: one loop for all networks.

A run is a folder with ``settings.json``, ``checkpoint.pt`` (written atomically), ``metrics.jsonl``, TensorBoard events
if TensorBoard is installed, and the pictures of each snapshot. Step ``i`` of a task depends only on the state and on
``i``, so a run that is interrupted and resumed ends with the same result as an uninterrupted one. On Ctrl-C or SIGTERM,
the loop finishes the current step, saves a checkpoint and exports the current weights.
"""

from __future__ import annotations

import io
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from ..core.ranges import POSITIVE, check_number
from .files import atomic_path, check_folder, read_bytes, read_json, write_json, write_text
from .locks import lock_folder

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

LOG_EVERY = 50
"""Number of steps whose metrics are averaged into one line of ``metrics.jsonl``."""


class Trainable(Protocol):
    """A training task: networks with their optimizers, as seen by the training loop."""

    images_per_step: int

    def step(self, index: int) -> dict[str, float]:
        """Train on one batch and return metrics; all randomness derives from ``index``."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""

    def snapshot(self, folder: Path, images_seen: int) -> dict[str, float]:
        """Write pictures and weights to the run's folder, evaluate, and return metrics.

        Pictures named ``NAME-IMAGES_SEEN.png`` are shown in TensorBoard, where it is installed.
        """

    def export(self, folder: Path, images_seen: int) -> None:
        """Write only the weights to the run's folder, so that a stopped run can be used."""


Adopt = Callable[[dict[str, Any], int], Mapping[str, Any]]
"""Function from a saved run's settings and number of completed steps to settings that may be compared (see `train`)."""


def ema_decay(half_life_images: float, batch_size: int) -> float:
    """Return the decay per step of a moving average with a half-life of ``half_life_images`` images."""
    return float(0.5 ** (batch_size / half_life_images))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Update a moving average of weights: ``average = decay * average + (1 - decay) * model``.

    Floating-point buffers are averaged as well, since batch-norm statistics belong to the weights that they were
    measured with; other buffers are copied.
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
    adopt: Adopt | None = None,
) -> Path:
    """Train a task for a total of ``num_steps`` steps, starting from the folder's checkpoint if it has one.

    Args:
        task: Task to train.
        folder: Folder of the run; created if missing.
        settings: JSON values that define the run; a folder with other settings is refused.
        num_steps: Total number of steps, at least 1, including those already completed.
        snapshot_every: Steps between snapshots; the last step always makes one.
        checkpoint_every: Steps between checkpoints; one is also written after each snapshot and on Ctrl-C or SIGTERM.
        resume: Continue from the folder's checkpoint; if not set, a folder that has one is refused.
        writes: Whether this process writes to the folder; when several processes share a training run, only one does.
        adopt: Function that is called if the settings of the folder's run differ, with those settings and the number of
            completed steps. It returns them with the permitted differences replaced by the new values, or raises
            ValueError with the reason for refusing.

    Returns:
        The folder.

    Raises:
        BlockingIOError: If another process has locked the folder.
        ValueError: If the folder belongs to a run with other settings, its checkpoint is damaged or must not be
            continued, or it holds networks without a checkpoint.
        FloatingPointError: If a metric of a step is not finite.
        KeyboardInterrupt: If Ctrl-C was pressed. After SIGTERM, the process ends as it would have without the delay.
    """
    check_number("num_steps", num_steps, POSITIVE)
    check_number("snapshot_every", snapshot_every, POSITIVE)
    check_number("checkpoint_every", checkpoint_every, POSITIVE)
    check_run(folder, resume)
    with lock_folder(folder) if writes else nullcontext():
        run = _Run(task, Path(folder), settings, writes)
        run.begin(adopt)
        asked = _run_steps(run, num_steps, snapshot_every, checkpoint_every)
    if asked:
        signal.raise_signal(asked[0])  # for the original handler
        raise KeyboardInterrupt
    return run.folder


def check_run(folder: Path | str, resume: bool) -> None:
    """Check that a training run can start or continue in a folder, as `train` does before the first step.

    Args:
        folder: Folder of the run.
        resume: Whether to continue a run in the folder.

    Raises:
        ValueError: If the folder is not writable, holds a run and ``resume`` is not set, or holds networks without a
            checkpoint.
    """
    check_folder(folder)
    if (Path(folder) / CHECKPOINT).exists():
        if not resume:
            raise ValueError(f"{folder} already holds a run; resume it (--resume), or choose another folder (--out)")
    elif networks := sorted(path.name for path in Path(folder).glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds {', '.join(networks[:3])} but no {CHECKPOINT} to continue from; choose another folder "
            "(--out), or move those files elsewhere to train from the beginning"
        )


def _run_steps(run: _Run, num_steps: int, snapshot_every: int, checkpoint_every: int) -> list[int]:
    """Train for a total of ``num_steps`` steps or until a signal, and return the signals."""
    task, writes = run.task, run.writes
    total = num_steps * task.images_per_step
    bar = tqdm(
        total=total, initial=run.images, unit="image", unit_scale=True, smoothing=0.05, disable=None if writes else True
    )
    due = True
    with bar, _defer_signals() as asked:
        while run.steps_done < num_steps and not asked:
            run.advance()
            bar.update(task.images_per_step)
            due = run.steps_done == num_steps or run.steps_done % snapshot_every == 0
            if writes and due:
                run.snapshot()
            if writes and (due or run.steps_done % checkpoint_every == 0):
                run.save()
        if writes and not due:
            run.save()
            task.export(run.folder, run.images)
    return asked


class _Run:
    """The folder and progress of a run."""

    def __init__(self, task: Trainable, folder: Path, settings: Mapping[str, Any], writes: bool) -> None:
        self.task, self.folder, self.settings, self.writes = task, folder, dict(settings), writes
        self.steps_done, self.seconds = 0, 0.0
        self._sums: dict[str, float] = {}
        self._summed = 0
        self._writer: Any = None

    @property
    def images(self) -> int:
        return self.steps_done * self.task.images_per_step

    @property
    def _known(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def _metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def begin(self, adopt: Adopt | None) -> None:
        state = _load_checkpoint(self._checkpoint) if self._checkpoint.exists() else None
        self._check_settings(adopt, 0 if state is None else state["steps_done"])
        if state is not None:
            self._continue_from(state)
        if not self.writes:
            return
        write_json(self._known, self.settings, overwrite=True)
        self._drop_metrics_after(self.steps_done)
        # TensorBoard writes to the folder, so it is opened only after the settings were checked
        self._writer = _open_tensorboard(self.folder, self.images + 1)

    def _check_settings(self, adopt: Adopt | None, steps_done: int) -> None:
        if not self._known.exists() or (saved := read_json(self._known)) == self.settings:
            return
        if adopt is not None and isinstance(saved, dict):
            try:
                saved = adopt(saved, steps_done)
            except ValueError as error:
                raise ValueError(f"{self.folder}: {error}") from error
        if saved != self.settings:
            raise ValueError(
                f"{self.folder} holds a run with other settings ({_describe_difference(saved, self.settings)}); "
                "choose another folder, or use the settings of that run to resume it"
            )

    def _continue_from(self, state: Mapping[str, Any]) -> None:
        try:
            self.task.load_state_dict(state["task"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self._checkpoint} does not fit this training: {error}") from error
        if not self._known.exists():
            raise ValueError(
                f"{self.folder} has a {self._checkpoint.name} but no {self._known.name}, so the settings are unknown; "
                "restore that file, or choose another folder"
            )
        self.steps_done, self.seconds = state["steps_done"], state["seconds"]
        self._sums, self._summed = state["sums"], state["summed"]
        logger.info("resumed %s at step %d", self.folder, self.steps_done)

    def advance(self) -> None:
        start = time.perf_counter()
        figures = self.task.step(self.steps_done)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} must be finite; got {value} at step {self.steps_done}; the last checkpoint is kept"
                )
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._summed += 1
        self.steps_done += 1
        self.seconds += time.perf_counter() - start
        if self.steps_done % LOG_EVERY == 0:
            self._log({name: total / self._summed for name, total in self._sums.items()})
            self._sums, self._summed = {}, 0

    def snapshot(self) -> None:
        self._log(self.task.snapshot(self.folder, self.images))
        if self._writer is not None:
            for path in sorted(self.folder.glob(f"*-*{self.images}.png")):
                name, _, images = path.stem.rpartition("-")
                if int(images) == self.images:
                    self._show_picture(name, path)

    def _show_picture(self, name: str, path: Path) -> None:
        """Write a snapshot's picture to TensorBoard."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer.add_image(name, pixels, self.images, dataformats="HWC")
        self._writer.flush()

    def save(self) -> None:
        state = {"task": self.task.state_dict(), "steps_done": self.steps_done, "seconds": self.seconds}
        buffer = io.BytesIO()  # torch.save to a full disk fails with an assertion about its own file format
        torch.save(state | {"sums": self._sums, "summed": self._summed}, buffer)
        with atomic_path(self._checkpoint, overwrite=True) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def _log(self, figures: Mapping[str, float]) -> None:
        if not (figures and self.writes):
            return
        line = {"step": self.steps_done, "images": self.images, "seconds": round(self.seconds, 3), **figures}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, self.images)
            self._writer.flush()  # its writer thread may not get to it before the process ends

    def _drop_metrics_after(self, step: int) -> None:
        if not self._metrics.exists():
            return
        lines = self._metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        write_text(self._metrics, "".join(f"{line}\n" for line in kept), overwrite=True)


def _step_of(line: str) -> float:
    """Return the step of a line of metrics; infinity if the line is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
    return step if isinstance(step, int) else math.inf


def _load_checkpoint(path: Path) -> dict[str, Any]:
    read_bytes(path)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise any exception
        raise ValueError(f"{path} is damaged; remove it to train from the beginning: {error}") from error
    if not isinstance(state, dict) or any(not isinstance(state.get(name), kind) for name, kind in _STATE.items()):
        raise ValueError(f"{path} is not a checkpoint of a training run")
    return state


_STATE = {"task": dict, "steps_done": int, "seconds": float, "sums": dict, "summed": int}
"""Entries of a checkpoint and their types."""


def _describe_difference(saved: object, settings: object, name: str = "") -> str:
    """Return every setting that differs, including those of nested settings."""
    if isinstance(saved, dict) and isinstance(settings, dict):
        names = sorted(key for key in {*saved, *settings} if saved.get(key) != settings.get(key))
        begin = f"{name}." if name else ""
        return ", ".join(_describe_difference(saved.get(key), settings.get(key), begin + key) for key in names)
    return f"{name}: {saved!r} there, {settings!r} given" if name else "unreadable"


def _open_tensorboard(folder: Path, first_new: int) -> Any:
    """Return a writer if TensorBoard is installed; events of an earlier one from step ``first_new`` on are purged."""
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_new)


@contextmanager
def _defer_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, so that no step is interrupted; a second signal ends the program."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        logger.warning("stopping after this step; press Ctrl-C again to stop immediately")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
