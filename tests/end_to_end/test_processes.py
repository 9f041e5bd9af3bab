"""Training on two processes that torchrun starts, connected by gloo, is the training of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import training_processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote, and their complaint as ``stderr``: they are started once, since each imports torch."""
    path = tmp_path_factory.mktemp("processes")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, training_processes.__file__, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 1, "the last training is refused"
    (path / "stderr").write_text(done.stderr)
    return path


@pytest.mark.parametrize("architecture", training_processes.ARCHITECTURES)
def test_the_losses_of_two_processes_are_those_of_one(architecture: str, folder: Path) -> None:
    """Growth, R1, augmentation, noise and mixing of styles take part; only the order of sums may differ.

    At a learning rate of 0.005 that difference would grow tenfold every few steps: Adam's steps do not shrink with the
    gradient.
    """
    alone = training_processes.train_steps(architecture)
    first, second = (json.loads((folder / f"{architecture}-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second, "every process reports the figures of the whole batch"
    assert len(first) == 20
    for step, (one, two) in enumerate(zip(alone, first, strict=True)):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-5), f"step {step}"


def test_one_of_the_processes_writes_the_run_and_it_can_be_taken_up_again(folder: Path) -> None:
    """Interrupted, it ends as the one that was not."""
    for name in ("whole", "resumed"):
        run = folder / name
        assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [10, 20]
        assert not list(run.glob("*.tmp*"))
    whole, resumed = (folder / name / "generator.safetensors" for name in ("whole", "resumed"))
    assert whole.read_bytes() == resumed.read_bytes()


def test_batch_norm_over_several_processes_on_cpu_is_refused(folder: Path) -> None:
    assert "batch norm over several processes needs CUDA" in (folder / "stderr").read_text()
