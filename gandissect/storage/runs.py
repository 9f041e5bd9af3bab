"""A training run that can be stopped at any moment: one loop for every network that is trained here.

A run is a folder: ``settings.json``, ``checkpoint.pt`` (atomic), ``metrics.jsonl``, TensorBoard events
where TensorBoard is installed, and the pictures of each snapshot. Step ``i`` of a task depends on the
state and on ``i`` only, so a run that was interrupted and resumed ends like one that was not.
Ctrl-C and SIGTERM wait for the end of a step, a checkpoint, and the weights as they are.
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

import torch
from torch import nn
from tqdm import tqdm

from ..core.ranges import POSITIVE, check_number
from .files import atomic_path, check_folder, read_bytes, read_json, write_json, write_text
from .locks import lock_folder

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

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

    def export(self, folder: Path, images_seen: int) -> None:
        """Write the weights alone into the run's folder, so that a run that is stopped can be used."""


Adopt = Callable[[dict[str, Any], int], Mapping[str, Any]]
"""From the settings of a folder's run and its steps done to those settings with what may differ replaced."""


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
    adopt: Adopt | None = None,
) -> Path:
    """Train a task to ``num_steps`` steps in all, from the folder's checkpoint if it has one.

    Args:
        task: What is trained.
        folder: The run's folder; made if missing.
        settings: JSON values that define the run; a folder with other settings is refused.
        num_steps: Steps in all, 1 or more; those already done count.
        snapshot_every: Steps between snapshots; one is always made at the end.
        checkpoint_every: Steps between checkpoints; one is always written after a snapshot, and on Ctrl-C or SIGTERM.
        resume: Continue from the folder's checkpoint; otherwise a folder that has one is refused.
        writes: Whether this process writes the folder; of several that share a training only one does.
        adopt: Called with the settings of the folder's run, where they differ, and with the number of its steps done;
            returns those settings with what may differ replaced, or raises ValueError with the reason why not.

    Returns:
        The folder.

    Raises:
        BlockingIOError: If another process writes to the folder.
        ValueError: If the folder belongs to a run with other settings, its checkpoint is damaged or must not be
            continued, or it holds networks without a checkpoint.
        FloatingPointError: If a figure of a step is not finite.
        KeyboardInterrupt: If Ctrl-C was pressed; after SIGTERM, the process ends as it would have without the delay.
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
        signal.raise_signal(asked[0])  # to whoever handles it
        raise KeyboardInterrupt
    return run.folder


def check_run(folder: Path | str, resume: bool) -> None:
    """Check that a training can begin in a folder, or continue there, as `train` does before the first step.

    Args:
        folder: The run's folder.
        resume: Whether a run that the folder holds is continued.

    Raises:
        ValueError: If it cannot be written to, or holds a run that is not continued, or networks without a checkpoint.
    """
    check_folder(folder)
    if (Path(folder) / CHECKPOINT).exists():
        if not resume:
            raise ValueError(f"{folder} holds a run already; resume it (--resume), or give another folder (--out)")
    elif networks := sorted(path.name for path in Path(folder).glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds {', '.join(networks[:3])} but no {CHECKPOINT} to continue from; give another folder "
            "(--out), or move those files away to train from the beginning"
        )


def _run_steps(run: _Run, num_steps: int, snapshot_every: int, checkpoint_every: int) -> list[int]:
    """Train to ``num_steps`` steps in all, or until a signal; return the signals."""
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
    """The folder of a run and how far it has come."""

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
        # it writes into the folder, so not before that is known to be ours
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
                "give another folder, or the settings of that run to resume it"
            )

    def _continue_from(self, state: Mapping[str, Any]) -> None:
        try:
            self.task.load_state_dict(state["task"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self._checkpoint} does not fit this training: {error}") from error
        if not self._known.exists():
            raise ValueError(
                f"{self._checkpoint} has no {self._known.name} beside it, so its settings are unknown; restore that "
                "file, or give another folder"
            )
        self.steps_done, self.seconds = state["steps_done"], state["seconds"]
        self._sums, self._summed = state["sums"], state["summed"]
        logger.info("resumed %s at step %d", self.folder, self.steps_done)

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
        with atomic_path(self._checkpoint, overwrite=True) as temporary:
            temporary.write_bytes(written.getbuffer())

    def _log(self, figures: Mapping[str, float]) -> None:
        if not (figures and self.writes):
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
        write_text(self._metrics, "".join(f"{line}\n" for line in kept), overwrite=True)


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
        raise ValueError(f"{path} is damaged; remove it to train from the beginning: {error}") from error
    if not isinstance(state, dict) or any(not isinstance(state.get(name), kind) for name, kind in _STATE.items()):
        raise ValueError(f"{path} is not a checkpoint of a training run")
    return state


_STATE = {"task": dict, "steps_done": int, "seconds": float, "sums": dict, "summed": int}
"""What a checkpoint holds."""


def _describe_difference(saved: object, settings: object, name: str = "") -> str:
    """Return every setting that differs; of settings within settings, those that do."""
    if isinstance(saved, dict) and isinstance(settings, dict):
        names = sorted(key for key in {*saved, *settings} if saved.get(key) != settings.get(key))
        begin = f"{name}." if name else ""
        return ", ".join(_describe_difference(saved.get(key), settings.get(key), begin + key) for key in names)
    return f"{name}: {saved!r} there, {settings!r} given" if name else "unreadable"


def _open_tensorboard(folder: Path, first_new: int) -> Any:
    """Return a writer where TensorBoard is installed; what an earlier one wrote from ``first_new`` on is undone."""
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_new)


@contextmanager
def _defer_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, so that no step is torn; a second signal ends the program at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        logger.warning("stopping after this step; press Ctrl-C again to stop at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
