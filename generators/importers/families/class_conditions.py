"""Mapping networks that are given a class: one class is chosen at import, and what it adds becomes an offset.

``fc0(z, y) = W_z z + (W_y y + b)``, where ``y`` is the embedded class, normalized.

Source: Karras et al. 2020, arXiv 2006.06676, Appendix C; the names: github.com/NVlabs/stylegan2-ada-pytorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from ...architectures.blocks import SQRT2
from ..layouts import Tensors
from ..plans import TensorSource, shape_of
from .style_parts import RATE

EMBED = "mapping.embed"
OPTION = "c"
LARGEST = 1e6
"""Of the numbers for classes, which are 0 or 1 in training; NaN is above it, too."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes that a file's mapping network knows, perhaps none.

    Args:
        tensors: The file's.
        first: Name of the first mapping layer.
        choice: The class, 0 or more, or the numbers in its place; None if none was chosen.
    """

    tensors: Tensors
    first: str
    choice: Any = None

    @property
    def has_classes(self) -> bool:
        """Whether there are classes."""
        return any(name.startswith(f"{EMBED}.") for name in self.tensors)

    def settings(self) -> dict[str, int]:
        """Return the length of ``z`` without the class."""
        if not self.has_classes:
            return {}
        before, embedded = (
            shape_of(self.tensors, f"{self.first}.weight", 2)[1],
            shape_of(self.tensors, EMBED + ".weight", 2),
        )
        return {"z_dim": before - embedded[0]}

    def check(self) -> None:
        """Check that a class is chosen if there are any.

        Raises:
            ValueError: If not, or where there are none, or if there is no such class.
        """
        check_class(self.choice, shape_of(self.tensors, f"{EMBED}.weight", 2)[1] if self.has_classes else 0)

    def fold_class(self, rate: float) -> dict[str, TensorSource]:
        """Return the sources of the first mapping layer.

        Args:
            rate: Factor on the weights of mapping layers there.
        """
        if not self.has_classes:
            return {}
        weight, bias = f"{self.first}.weight", f"{self.first}.bias"
        embed = (f"{EMBED}.weight", f"{EMBED}.bias")

        def matrix(whole: Tensor, embedding: Tensor) -> Tensor:
            length = whole.shape[1] - embedding.shape[0]
            return whole[:, :length] * (math.sqrt(length / whole.shape[1]) * rate / RATE)

        def offset(whole: Tensor, own: Tensor, embedding: Tensor, more: Tensor) -> Tensor:
            y = embedding @ make_class_vector(self.choice, embedding.shape[1]) / math.sqrt(embedding.shape[1]) + more
            y = y * (y.square().mean() + 1e-8).rsqrt()
            share = whole[:, whole.shape[1] - len(y) :] @ y / math.sqrt(whole.shape[1])
            return (own + share) * (SQRT2 * rate / RATE)

        first = "mapping.network.1.0"
        return {
            f"{first}.weight": TensorSource((weight, embed[0]), matrix),
            f"{first}.bias": TensorSource((weight, bias, *embed), offset),
        }


def check_class(choice: Any, count: int) -> None:
    """Check that a class is one of so many, or a number for each of them; of none, that none is chosen.

    Raises:
        ValueError: If it is neither.
    """
    if not count and choice is not None:
        raise ValueError(f"the network knows no classes; got {OPTION} = {choice!r}")
    if not count:
        return
    if isinstance(choice, list):
        fits = len(choice) == count and all(
            isinstance(number, int | float) and abs(number) <= LARGEST for number in choice
        )
    else:
        fits = isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < count
    if not fits:
        raise ValueError(
            f"the network makes images of {count} classes: choose one with the option {OPTION}, 0 to {count - 1}, "
            f"or a list of {count} finite numbers, such as a 1 among zeros; got {choice!r}"
        )


def make_class_vector(choice: Any, count: int) -> Float32[Tensor, " class"]:
    """Return one of so many classes as a vector; the first class if none was chosen."""
    if isinstance(choice, list):
        return torch.tensor(choice, dtype=torch.float32, device="cpu")
    vector = torch.zeros(count, dtype=torch.float32, device="cpu")
    vector[choice or 0] = 1
    return vector
