"""Stack digits as color channels: pictures of a thousand known modes, to count how many of them a generator covers.

Source: Metz et al. 2017, arXiv 1611.02163, Sec. 3.3.1 (stacked MNIST).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from gandissect.core.protocols import as_classed
from gandissect.core.ranges import POSITIVE, check_number
from gandissect.core.sampling import make_rng

from .combining import check_indices
from .source import ImageSource, LabeledPictures, describe_source


class StackedDigits:
    """Pictures whose red, green and blue channels are three digits, drawn independently.

    Args:
        digits: Gray pictures with classes, such as `IdxPictures`; of each the first channel is used.
        num_pictures: Number of pictures.
        seed: Seed of the draw; picture ``i`` depends only on the seed, ``num_pictures`` and the digits.

    Attributes:
        classes: Names of the modes: of the red, the green and the blue digit's class, joined by spaces.
        class_indices: Mode of each picture, int64 ``[picture]``; with ``c`` classes of digits
            ``c * c * red + c * green + blue``.

    Raises:
        ValueError: If the digits have no classes, or the number is below 1.
    """

    concepts = ()
    may_flip = False

    def __init__(self, digits: ImageSource, num_pictures: int = 50_000, seed: int = 0) -> None:
        check_number("num_pictures", num_pictures, POSITIVE)
        if (classed := as_classed(digits)) is None:
            raise ValueError(f"the digits must have classes; {digits.name} has none")
        self._digits, self.size = digits, digits.size
        self.name = f"{digits.name} (stacked)"
        rng = make_rng(seed, "stacked digits")
        self._chosen = torch.randint(len(digits), (num_pictures, 3), generator=rng, device="cpu")
        names = classed.classes
        self.classes = tuple(f"{red} {green} {blue}" for red in names for green in names for blue in names)
        places = torch.tensor([len(names) ** 2, len(names), 1], dtype=torch.int64, device="cpu")
        self.class_indices: Int64[Tensor, " picture"] = (classed.class_indices[self._chosen] * places).sum(1)

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self._chosen)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        """Return pictures without labels.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            rng: Random number generator of the digits' training view, if they have one.

        Raises:
            IndexError: If an index is out of range, or there are no indices.
        """
        check_indices(indices, len(self))
        chosen = self._chosen[list(indices)]
        channels = [self._digits.batch(column.tolist(), rng).images[:, :1] for column in chosen.T]
        return LabeledPictures(torch.cat(channels, dim=1), None)
