"""Pictures with captions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from gandissect.core.ranges import POSITIVE, check_number

from ..scenes.captions import VOCABULARY
from .scenes import Scenes
from .source import CaptionedPictures, describe_source


class Captioned:
    """Rendered scenes with captions, of which the training view draws one for each picture.

    Args:
        scenes: Scenes.
        num_captions: Number of captions of each scene, at least 1.

    Raises:
        ValueError: If the number is below 1.

    Examples:
        >>> from segmenters.datasets import Captioned, Scenes
        >>> batch = Captioned(Scenes(64, 10)).batch([4])
        >>> batch.captions[0].text
        'a lake in noon light with a poplar, a round tree and a cloud'
    """

    def __init__(self, scenes: Scenes, num_captions: int = 10) -> None:
        check_number("num_captions", num_captions, POSITIVE)
        self.scenes, self.num_captions, self.vocabulary = scenes, num_captions, VOCABULARY
        self.name, self.size, self.concepts = f"{scenes.name} (captioned)", scenes.size, scenes.concepts

    def __repr__(self) -> str:
        return describe_source(self)

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> CaptionedPictures:
        """Return pictures with captions.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            rng: Random number generator that draws a caption for each picture, and mirrors pictures; captions do not
                mention sides. None returns the first caption of each picture.

        Raises:
            ValueError: If an index is out of range, or there are no indices.
        """
        numbers = [0] * len(indices)
        if rng is not None:
            numbers = torch.randint(self.num_captions, (len(indices),), generator=rng, device=rng.device).tolist()
        pictures = self.scenes.batch(indices, rng)
        captions = tuple(self.scenes.caption(*pair) for pair in zip(indices, numbers, strict=True))
        return CaptionedPictures(pictures.images, pictures.labels, captions)

    def captions(self, indices: Sequence[int], numbers: Sequence[int]) -> tuple[str, ...]:
        """Return the text of a caption of each of some pictures.

        Args:
            indices: Indices of the pictures, from 0 to ``len(self) - 1``.
            numbers: Number of each picture's caption, at least 0.

        Raises:
            ValueError: If an index or a number is out of range.
        """
        return tuple(self.scenes.caption(*pair).text for pair in zip(indices, numbers, strict=True))

    def fits(self, indices: Sequence[int], numbers: Sequence[int]) -> Bool[Tensor, "picture caption"]:
        """Return whether each caption that `captions` returns is true of each of the pictures, bool.

        Raises:
            ValueError: If an index or a number is out of range.
        """
        truths = [tuple(self.scenes.caption(*pair).truth.items()) for pair in zip(indices, numbers, strict=True)]
        records = [self.scenes.attributes(index).record() for index in indices]
        fits = [[all(record[name] == value for name, value in truth) for truth in truths] for record in records]
        return torch.tensor(fits, dtype=torch.bool, device="cpu")
