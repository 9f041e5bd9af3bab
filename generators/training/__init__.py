"""Training of generators: losses, augmentation, and the task that the shared training loop runs."""

from __future__ import annotations

from .gan import GANSettings, GANTask, Pictures, train_generator

__all__ = ["GANSettings", "GANTask", "Pictures", "train_generator"]
