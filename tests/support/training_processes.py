"""Trainings of tiny GANs in as many processes as there are: run by torchrun, imported for those of one process."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch

from generators.training import RECIPES, GANTask, train_generator
from generators.training.settings import GANSettings

ARCHITECTURES = ("progan", "stylegan", "stylegan2")
NUM_STEPS = 20


class Noise:
    """A source of 40 pictures, each drawn by its index."""

    name, size = "noise", 16

    def __len__(self) -> int:
        return 40

    def batch(self, indices: list[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        pictures = [torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(i)) for i in indices]
        return SimpleNamespace(images=torch.stack(pictures).to(torch.uint8))


def tiny_settings(architecture: str) -> GANSettings:
    """Return settings of a training of 20 steps that grows, if the architecture does."""
    return replace(
        RECIPES[architecture],
        resolution=16,
        width=4,
        max_width=8,
        z_dim=6,
        batch_size=8,
        images=8 * NUM_STEPS,
        bf16=False,
        r1_every=4,
        hold_images=40,
        fade_images=40,
        learning_rate=1e-3,
    )


def train_steps(architecture: str) -> list[dict[str, float]]:
    """Return the figures of every step of a training."""
    task = GANTask(tiny_settings(architecture), Noise(), device="cpu")
    return [task.step(index) for index in range(NUM_STEPS)]


def train_in(folder: Path) -> None:
    """Train a generator in a folder, or finish the training there."""
    schedule = {"snapshot_images": 80, "checkpoint_images": 40}
    train_generator(tiny_settings("progan"), Noise(), folder, held_out=Noise(), device="cpu", **schedule)
    torch.distributed.barrier()


def interrupt_training(folder: Path) -> None:
    """Train in a folder until Ctrl-C comes in step 15."""
    take_step = GANTask.step

    def step(task: GANTask, index: int) -> dict[str, float]:
        if index == 15:
            raise KeyboardInterrupt
        return take_step(task, index)

    with patch.object(GANTask, "step", step), suppress(KeyboardInterrupt):
        train_in(folder)


def main(folder: Path) -> None:
    """Write every process's figures of every architecture; train in folders; try what several processes cannot do."""
    torch.set_num_threads(1)
    for architecture in ARCHITECTURES:
        figures = train_steps(architecture)
        (folder / f"{architecture}-{torch.distributed.get_rank()}.json").write_text(json.dumps(figures))
    train_in(folder / "whole")
    interrupt_training(folder / "resumed")
    torch.distributed.barrier()
    train_in(folder / "resumed")
    train_in(folder / "resumed")  # nothing is left to do
    GANTask(tiny_settings("dcgan"), Noise(), device="cpu")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
