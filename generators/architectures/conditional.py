"""Base class of generators whose images belong to classes.

A row of `ConditionalGenerator.sample_z` is noise followed by the class, one-hot: ``[noise_dim + number of classes]``.
Whatever takes latent vectors thus works for these generators unchanged, and a row makes one image of one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from gandissect.core.sampling import sample_z

from .base import LayeredGenerator
from .class_choice import ClassChoice, Classes, check_classes


class ConditionalGenerator(ClassChoice, LayeredGenerator):
    """A generator whose rows are noise and a class.

    Args:
        noise_dim: Length of the noise, at least 1.
        classes: Names of the classes, which are ordered.
        drawn: Names of the classes that `sample_z` draws from; None draws from all.
        settings: Keyword arguments that reproduce the architecture apart from these, JSON values.

    Raises:
        KeyError: If a drawn class is unknown.
        ValueError: If a number is out of range, or the names are not distinct strings.
    """

    def __init__(
        self, noise_dim: int, classes: Sequence[str], drawn: Sequence[str] | None, settings: Mapping[str, Any]
    ) -> None:
        if noise_dim < 1:
            raise ValueError(f"noise_dim must be at least 1; got {noise_dim}")
        names = check_classes(classes)
        super().__init__(noise_dim + len(names), {**settings, "noise_dim": noise_dim, "classes": list(names)})
        self.classes = names
        if drawn is not None:
            self.draw_from(drawn)

    @property
    def noise_dim(self) -> int:
        """Length of the noise in a row of `sample_z`; the rest of a row is its class."""
        return self.z_dim - len(self.classes)

    def sample_z(
        self, num_samples: int, seed: int = 0, start: int = 0, classes: Classes | None = None
    ) -> Float32[Tensor, "batch z"]:
        """Draw rows of standard normal noise and a class.

        The noise does not depend on the classes: rows of the same seed and index differ in their class only.

        Args:
            num_samples: Number of rows, at least 0.
            seed: Seed of the rows.
            start: Index of the first row; row ``i`` depends only on ``(seed, start + i)`` and the classes.
            classes: A class or several, by name or index, each as likely as the others; or, as an int64 tensor
                ``[num_samples]``, the index of each row's class. By default `drawn`.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.

        Raises:
            KeyError: If a class is unknown.
            ValueError: If a number is out of range, or there are no classes.
        """
        noise = sample_z(num_samples, self.noise_dim, seed, start)
        return self.join_row(noise, self.draw_classes(num_samples, seed, start, classes))

    def change_class(self, z: Float32[Tensor, "batch z"], choice: str | int) -> Float32[Tensor, "batch z"]:
        """Return rows with the same noise and one class, float32 ``[batch, z_dim]``.

        Args:
            z: Rows, ``[batch, z_dim]``.
            choice: Name or index of the class.

        Raises:
            KeyError: If the class is unknown.
        """
        classes = torch.full((len(z),), self._find_class(choice), dtype=torch.int64, device=z.device)
        return self.join_row(z[:, : self.noise_dim], classes)
