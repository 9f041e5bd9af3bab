"""Training on two processes that torchrun starts, connected by gloo, is the training of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

torch.set_num_threads(1)
from generators.training import RECIPES, GANTask, train_generator


class Noise:
    name, size = "noise", 16

    def __len__(self):
        return 40

    def batch(self, indices, rng=None):
        pictures = [torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(i)) for i in indices]
        return SimpleNamespace(images=torch.stack(pictures).to(torch.uint8))


architecture, folder = sys.argv[1], Path(sys.argv[2])
settings = replace(
    RECIPES[architecture], resolution=16, width=4, max_width=8, z_dim=6, batch_size=8, images=8 * 20, bf16=False,
    r1_every=4, hold_images=40, fade_images=40, learning_rate=1e-3,
)
if len(sys.argv) > 3:
    train_generator(settings, Noise(), folder, held_out=Noise(), snapshot_images=80, checkpoint_images=40, device="cpu")
else:
    task = GANTask(settings, Noise(), device="cpu")
    figures = [task.step(index) for index in range(20)]
    (folder / f"{task.processes.count}-{task.processes.rank}.json").write_text(json.dumps(figures))
"""


def _run(tmp_path: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.parametrize("architecture", ["progan", "stylegan", "stylegan2"])
def test_the_losses_of_two_processes_are_those_of_one(architecture: str, tmp_path: Path) -> None:
    """Growth, R1, augmentation, noise and mixing of styles take part; only the order of sums may differ.

    At a learning rate of 0.005 that difference would grow tenfold every few steps: Adam's steps do not shrink with the
    gradient.
    """
    for processes in (1, 2):
        done = _run(tmp_path, processes, architecture, str(tmp_path))
        assert done.returncode == 0, done.stderr
    alone, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert first == second, "every process reports the figures of the whole batch"
    assert len(alone) == 20
    for step, (one, two) in enumerate(zip(alone, first, strict=True)):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-5), f"step {step}"


def test_one_of_the_processes_writes_the_run_and_it_can_be_taken_up_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in range(2):
        done = _run(tmp_path, 2, "progan", str(run), "train")
        assert done.returncode == 0, done.stderr
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == [10, 20]
    assert (run / "generator.safetensors").exists()
    assert not list(run.glob("*.tmp*"))


def test_shares_that_are_not_equal_and_batch_norm_on_cpu_are_refused(tmp_path: Path) -> None:
    done = _run(tmp_path, 2, "dcgan", str(tmp_path))
    assert done.returncode != 0
    assert "batch norm over several processes needs CUDA" in done.stderr
