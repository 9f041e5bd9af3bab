"""Class-conditional batch norms: one class is chosen at import, and only its scale and offset are kept.

StudioGAN computes ``norm(x) (1 + A c) + B c``, where c is the class as a one-hot vector; files of 2021 contain A and B
transposed, as embeddings. In mimicry, one embedding contains the scale and offset of each class, without the 1.

Source: de Vries et al. 2017, arXiv 1707.00683; names: github.com/POSTECH-CVLab/PyTorch-StudioGAN and
github.com/kwotsin/mimicry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..layouts import Tensors
from ..plans import TensorSource, copy_tensor, fill_tensor
from .class_conditions import check_class, make_class_vector
from .dcgan import variance_source
from .spectral_norm import weight_of, weight_shape

MATRIX, EMBEDDING, BOTH = "gain", "embed0", "embed"
"""Names of the scale in StudioGAN, in its files of 2021, and in mimicry."""


@dataclass(frozen=True, slots=True)
class Norms:
    """Batch norms of a file, with or without classes.

    Args:
        tensors: Tensors of the file.
        eps: Constant that the project adds to variances.
        choice: Class index, or a list of one weight per class; None if no class was chosen.
    """

    tensors: Tensors
    eps: float
    choice: Any = None

    def check(self) -> None:
        """Check that a valid class is chosen if, and only if, the norms have classes.

        Raises:
            ValueError: If the class is missing, invalid or superfluous.
        """
        names = [name.rpartition(".")[0] for name in self.tensors if name.endswith((".weight", ".weight_orig"))]
        kinds = [(name, name.rpartition(".")[2]) for name in names]
        conditional = [(name, kind) for name, kind in kinds if kind in {MATRIX, EMBEDDING, BOTH}]
        counts = [weight_shape(self.tensors, name, 2)[kind == MATRIX] for name, kind in conditional[:1]]
        check_class(self.choice, *(counts or [0]))

    def sources(self, source: str, target: str) -> dict[str, TensorSource]:
        """Return the sources of a norm."""
        statistics = self.statistics(source)
        return {
            **self.affine(source, target),
            f"{target}.running_mean": copy_tensor(f"{statistics}.running_mean"),
            f"{target}.running_var": variance_source(f"{statistics}.running_var", self.eps),
            f"{target}.num_batches_tracked": fill_tensor(lambda: torch.tensor(0, dtype=torch.int64, device="cpu")),
        }

    def statistics(self, source: str) -> str:
        """Return the prefix of the names of a norm's mean and variance."""
        return f"{source}.bn" if f"{source}.bn.running_mean" in self.tensors else source

    def affine(self, source: str, target: str) -> dict[str, TensorSource]:
        """Return the sources of a norm's scale and offset."""
        leaves = (f"{target}.weight", f"{target}.bias")
        if self._has(f"{source}.{MATRIX}"):
            parts = [self._class_source(f"{source}.{MATRIX}", lambda x: x + 1), self._class_source(f"{source}.bias")]
        elif self._has(f"{source}.{EMBEDDING}"):
            parts = [
                self._class_source(f"{source}.embed0", lambda x: x + 1, True),
                self._class_source(f"{source}.embed1", is_transposed=True),
            ]
        elif self._has(f"{source}.{BOTH}"):
            parts = [
                self._class_source(f"{source}.{BOTH}", _first, True),
                self._class_source(f"{source}.{BOTH}", _second, True),
            ]
        else:
            parts = [copy_tensor(f"{source}.weight"), copy_tensor(f"{source}.bias")]
        return dict(zip(leaves, parts, strict=True))

    def _has(self, name: str) -> bool:
        return f"{name}.weight" in self.tensors or f"{name}.weight_orig" in self.tensors

    def _class_source(
        self, name: str, make: Callable[[Tensor], Tensor] = lambda x: x, is_transposed: bool = False
    ) -> TensorSource:
        """Return the source of a scale or an offset of the class.

        Args:
            name: Name of a matrix ``[units, classes]``.
            make: Function from the class's column to the scale or offset.
            is_transposed: Whether the matrix is ``[classes, units]``.
        """
        weight = weight_of(self.tensors, name)

        def make_for_class(*x: Tensor) -> Tensor:
            matrix = weight.make(*x).transpose(0, 1) if is_transposed else weight.make(*x)
            return make(matrix @ make_class_vector(self.choice, matrix.shape[1]))

        return TensorSource(weight.names, make_for_class)


def _first(both: Tensor) -> Tensor:
    return both[: len(both) // 2]


def _second(both: Tensor) -> Tensor:
    return both[len(both) // 2 :]
