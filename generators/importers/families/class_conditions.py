"""Class-conditional mapping networks: one class is chosen at import, and its contribution becomes a bias.

``fc0(z, y) = W_z z + (W_y y + b)``, where ``y`` is the embedded class, normalized.

Source: Karras et al. 2020, arXiv 2006.06676, Appendix C; names: github.com/NVlabs/stylegan2-ada-pytorch.
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
"""Bound on the weights of classes, which are 0 or 1 in training; the comparison also rejects NaN."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes of a file's mapping network, if it has any.

    Args:
        tensors: Tensors of the file.
        first: Name of the first mapping layer.
        choice: Class index, or a list of one weight per class; None if no class was chosen.
    """

    tensors: Tensors
    first: str
    choice: Any = None

    @property
    def has_classes(self) -> bool:
        """Whether the network is class-conditional."""
        return any(name.startswith(f"{EMBED}.") for name in self.tensors)

    def settings(self) -> dict[str, int]:
        """Return the length of ``z`` without the class embedding."""
        if not self.has_classes:
            return {}
        before, embedded = (
            shape_of(self.tensors, f"{self.first}.weight", 2)[1],
            shape_of(self.tensors, EMBED + ".weight", 2),
        )
        return {"z_dim": before - embedded[0]}

    def check(self) -> None:
        """Check that a valid class is chosen if, and only if, the network has classes.

        Raises:
            ValueError: If the class is missing, invalid or superfluous.
        """
        check_class(self.choice, shape_of(self.tensors, f"{EMBED}.weight", 2)[1] if self.has_classes else 0)

    def fold_class(self, rate: float) -> dict[str, TensorSource]:
        """Return the sources of the first mapping layer, with the class folded into the bias.

        Args:
            rate: Factor on the weights of mapping layers in the file.
        """
        if not self.has_classes:
            return {}
        weight, bias = f"{self.first}.weight", f"{self.first}.bias"
        embed = (f"{EMBED}.weight", f"{EMBED}.bias")

        def matrix(whole: Tensor, embedding: Tensor) -> Tensor:
            length = whole.shape[1] - embedding.shape[0]
            return whole[:, :length] * (math.sqrt(length / whole.shape[1]) * rate / RATE)

        def fold_bias(whole: Tensor, bias: Tensor, embedding: Tensor, embedding_bias: Tensor) -> Tensor:
            y = (
                embedding @ make_class_vector(self.choice, embedding.shape[1]) / math.sqrt(embedding.shape[1])
                + embedding_bias
            )
            y = y * (y.square().mean() + 1e-8).rsqrt()
            share = whole[:, whole.shape[1] - len(y) :] @ y / math.sqrt(whole.shape[1])
            return (bias + share) * (SQRT2 * rate / RATE)

        first = "mapping.network.1.0"
        return {
            f"{first}.weight": TensorSource((weight, embed[0]), matrix),
            f"{first}.bias": TensorSource((weight, bias, *embed), fold_bias),
        }


def check_class(choice: Any, count: int) -> None:
    """Check that a choice is a class index or one weight per class, or None if there are no classes.

    Raises:
        ValueError: If the choice is neither.
    """
    if not count and choice is not None:
        raise ValueError(f"{OPTION} must be omitted, since the network has no classes; got {choice!r}")
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
            f"the network has {count} classes: set the option {OPTION} to a class in [0, {count - 1}], or to a list of "
            f"{count} finite weights, such as a 1 among zeros; got {choice!r}"
        )


def make_class_vector(choice: Any, count: int) -> Float32[Tensor, " class"]:
    """Return a class as a vector of length ``count``; the first class if none was chosen."""
    if isinstance(choice, list):
        return torch.tensor(choice, dtype=torch.float32, device="cpu")
    vector = torch.zeros(count, dtype=torch.float32, device="cpu")
    vector[choice or 0] = 1
    return vector
