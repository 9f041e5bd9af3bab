"""Training of generators: losses, augmentation, and the task that the shared training loop runs."""

from __future__ import annotations

from .gan import GANTask, Pictures, train_generator
from .recipes import RECIPES, GANSettings

__all__ = ["RECIPES", "GANSettings", "GANTask", "Pictures", "train_generator"]
