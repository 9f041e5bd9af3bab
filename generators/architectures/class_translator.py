"""Base class of translators that are also given a class, such as the domain that a picture is translated to.

A row is a picture followed by the class, one-hot: ``[3 * H * W + number of classes]``. Put on pictures, row ``i`` of
`ClassTranslator.sample_z` is picture ``i`` with a class that is drawn, or chosen with `ClassChoice.of_classes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from .class_choice import ClassChoice, Classes, check_classes
from .translator import Translator


class ClassTranslator(ClassChoice, Translator):
    """A chain of stages from pictures and classes to pictures.

    Args:
        size: Height and width of the pictures that it is made for; others of a fitting size are translated too.
        step: Number that divides the height and width of pictures.
        least: Smallest height and width of pictures.
        classes: Names of the classes, which are ordered.
        drawn: Names of the classes that `sample_z` draws from; None draws from all.
        settings: Keyword arguments that reproduce the architecture apart from ``size`` and ``drawn``, JSON values.

    Raises:
        KeyError: If a drawn class is unknown.
        ValueError: If the size does not fit, or the names are not distinct strings.
    """

    def __init__(
        self,
        size: int,
        step: int,
        least: int,
        classes: Sequence[str],
        drawn: Sequence[str] | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.classes = check_classes(classes)
        super().__init__(size, step, least, 3, None, settings)
        del self.settings["input_channels"]  # the pictures of all domains are in color
        if drawn is not None:
            self.draw_from(drawn)

    def sample_z(
        self, num_samples: int, seed: int = 0, start: int = 0, classes: Classes | None = None
    ) -> Float32[Tensor, "batch z"]:
        """Return the rows of consecutive pictures, with classes that are drawn.

        Args:
            num_samples: Number of rows, at least 0.
            seed: Seed of the classes.
            start: Index of the first picture; row ``i`` depends only on ``(seed, start + i)`` and the classes.
            classes: A class or several, by name or index, each as likely as the others; or, as an int64 tensor
                ``[num_samples]``, the index of each row's class. By default `drawn`.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.

        Raises:
            KeyError: If a class is unknown.
            ValueError: If the translator is not on pictures, there are fewer, or there are no classes.
        """
        pictures = super().sample_z(num_samples, seed, start)
        return self.join_row(pictures, self.draw_classes(num_samples, seed, start, classes))

    def draw_rows(self, num_rows: int, rng: torch.Generator) -> Float[Tensor, "batch z"]:
        """Draw rows of independent pixels, uniform in [-1, 1], and a class drawn uniformly.

        Args:
            num_rows: Number of rows.
            rng: Source of randomness, on the CPU.
        """
        pixels = super().draw_rows(num_rows, rng)
        return self.join_row(pixels, torch.randint(len(self.classes), (num_rows,), generator=rng, device="cpu"))

    def context(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch class"]:
        """Return the classes of rows ``[batch, z_dim]``, one-hot."""
        return z[:, -len(self.classes) :]
