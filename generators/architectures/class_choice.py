"""What generators have in common whose rows end with a class, one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self, TypeAlias

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gandissect.core.lookup import unknown_name_message
from gandissect.core.sampling import make_rng

Classes: TypeAlias = "str | int | Sequence[str | int] | Int64[Tensor, ' batch']"
"""Classes to draw from, by name or index; or, as a tensor, the index of each row's class."""


class ClassChoice:
    """Base class, beside one of `LayeredGenerator`, of generators whose rows end with a class.

    Attributes:
        name: Name for reports, which states the classes that are drawn, unless it is all of them.
        settings: Keyword arguments that reproduce the generator; ``drawn`` is one of them, unless it is all classes.
        classes: Names of the classes, which are ordered.
    """

    name: str
    settings: dict[str, Any]
    classes: tuple[str, ...]

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the classes that `sample_z` draws from."""
        return tuple(self.settings.get("drawn", self.classes))

    def of_classes(self, *classes: str | int) -> Self:
        """Return a generator with the same weights, whose `sample_z` draws from some classes only.

        Its name and its fingerprint state the classes: a dissection of one class is not one of another.

        Args:
            classes: Names or indices of the classes, among all that the generator has.

        Raises:
            KeyError: If a class is unknown.
            TypeError: If a class is neither a name nor an index, such as a list of names.
            ValueError: If there are no classes.

        Examples:
            >>> from generators.architectures.cgan import ConditionalDCGAN
            >>> G = ConditionalDCGAN(size=16, width=4, noise_dim=6, classes=["cat", "dog"])
            >>> dogs = G.of_classes("dog")
            >>> dogs.name, dogs.classes_of(dogs.sample_z(3))
            ('cgan of dog', ('dog', 'dog', 'dog'))
        """
        chosen = copy(self)  # shares the weights
        chosen.draw_from(classes)
        return chosen

    def classes_of(self, z: Float32[Tensor, "batch z"]) -> tuple[str, ...]:
        """Return the name of each row's class.

        Args:
            z: Rows, ``[batch, z_dim]``.
        """
        return tuple(self.classes[index] for index in z[:, -len(self.classes) :].argmax(1).tolist())

    def draw_classes(
        self, num_samples: int, seed: int, start: int, classes: Classes | None = None
    ) -> Int64[Tensor, " batch"]:
        """Return the index of each row's class, on the CPU.

        Args:
            num_samples: Number of rows, at least 0.
            seed: Seed of the rows.
            start: Index of the first row; the class of row ``i`` depends only on ``(seed, start + i)``.
            classes: A class or several, by name or index, each as likely as the others; or, as an int64 tensor
                ``[num_samples]``, the index of each row's class. By default `drawn`.

        Raises:
            KeyError: If a class is unknown.
            ValueError: If there are no classes, or the tensor has another shape or type, or an index is out of range.
        """
        if isinstance(classes, Tensor):
            return self._check_indices(classes, num_samples)
        choices = self._find_classes(self.drawn if classes is None else classes)
        rngs = [make_rng(seed, "class", start + row) for row in range(num_samples)]
        drawn = [choices[int(torch.randint(len(choices), (), generator=rng, device="cpu"))] for rng in rngs]
        return torch.tensor(drawn, dtype=torch.int64, device="cpu")

    def draw_from(self, classes: Sequence[str | int]) -> None:
        """Draw from some classes only from now on; see `of_classes`, which returns a copy that does."""
        indices = self._find_classes(classes)
        names = [self.classes[index] for index in indices]
        base = "".join(self.name.rsplit(_describe(self.drawn), 1)) if "drawn" in self.settings else self.name
        rest = {name: value for name, value in self.settings.items() if name != "drawn"}
        self.settings = rest if len(names) == len(self.classes) else {**rest, "drawn": names}
        self.name = base if len(names) == len(self.classes) else base + _describe(names)

    def _find_classes(self, classes: str | int | Sequence[str | int]) -> tuple[int, ...]:
        """Return the indices of classes, sorted and without duplicates.

        Args:
            classes: A class or several, by name or index.

        Raises:
            KeyError: If a class is unknown; the message suggests the nearest one and lists all of them.
            TypeError: If a class is a list or a tuple.
            ValueError: If there are no classes.
        """
        several = [classes] if isinstance(classes, str | int) else list(classes)
        if not several:
            raise ValueError(f"classes must name at least one of {', '.join(self.classes)}; got none")
        return tuple(sorted({self._find_class(choice) for choice in several}))

    def _find_class(self, choice: str | int) -> int:
        if isinstance(choice, str) and choice in self.classes:
            return self.classes.index(choice)
        if isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < len(self.classes):
            return choice
        if isinstance(choice, Sequence) and not isinstance(choice, str):
            raise TypeError(
                f"each class must be a name or an index; got {choice!r}: unpack it, as in of_classes(*names)"
            )
        raise KeyError(unknown_name_message(f"class of {self.name}", choice, self.classes))  # type: ignore[arg-type]

    def _check_indices(self, classes: Tensor, num_samples: int) -> Int64[Tensor, " batch"]:
        whole = not classes.is_floating_point() and classes.dtype != torch.bool
        if not whole or tuple(classes.shape) != (num_samples,):
            raise ValueError(
                f"classes must be an int64 tensor [{num_samples}], one index per row; got {classes.dtype} "
                f"{list(classes.shape)}"
            )
        if num_samples and not 0 <= int(classes.min()) <= int(classes.max()) < len(self.classes):
            raise ValueError(
                f"classes must be indices from 0 to {len(self.classes) - 1}; got {int(classes.min())} to "
                f"{int(classes.max())}"
            )
        return classes.cpu().long()


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes as a tuple.

    Raises:
        ValueError: If they are not distinct strings, at least one.
    """
    names = tuple(classes)
    if isinstance(classes, str) or not names or any(not isinstance(name, str) or not name for name in names):
        raise ValueError(f"classes must be names of classes, such as ['cat', 'dog']; got {classes!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"classes must have distinct names; got {', '.join(names)}")
    return names


def _describe(names: Sequence[str]) -> str:
    return f" of {', '.join(names)}"
