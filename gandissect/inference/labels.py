"""The true labels of the pictures that a translator is on."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from ..core.protocols import Generator, LabeledInputs, Segmenter, as_translation
from ..core.types import UNLABELED

LabelSource = Literal["output", "input"]
"""Source of label maps: the segmented images, or the true labels of the pictures that a translator is on."""


class InputLabels:
    """The true label maps of a translator's inputs, as those of a segmenter: concepts correspond by name.

    Args:
        generator: Translator on pictures with labels.
        segmenter: Segmenter that has all concepts of the inputs; it labels nothing.

    Raises:
        ValueError: If the generator is no translator on pictures, or these have no labels or other concepts.
    """

    def __init__(self, generator: Generator, segmenter: Segmenter) -> None:
        translation = as_translation(generator)
        if translation is None:
            raise ValueError(
                f"labels of inputs need a translator on pictures; {generator.name} makes images from latent vectors"
            )
        pictures = translation.pictures
        names = pictures.concepts if isinstance(pictures, LabeledInputs) else ()
        if not isinstance(pictures, LabeledInputs) or not names:
            raise ValueError(
                f"the pictures of {generator.name} have no labels; put it on pictures with labels, such as scenes, or "
                "segment its images (labels='output')"
            )
        known = {concept.name: concept.index for concept in segmenter.concepts}
        if missing := [name for name in names if name not in known]:
            raise ValueError(
                f"the segmenter must have all concepts of the inputs; {segmenter.name} lacks {', '.join(missing)}"
            )
        self._pictures = pictures
        indices = [*(known[name] for name in names), UNLABELED]  # -1 is the last one
        self._indices = torch.tensor(indices, dtype=torch.int64, device="cpu")

    def maps(self, samples: range) -> Int64[Tensor, "batch H W"]:
        """Return the label maps of consecutive samples, int64 ``[batch, H, W]`` on CPU; -1 where there is no label.

        Raises:
            ValueError: If a label is not one of the pictures' concepts.
        """
        labels = self._pictures.labels(samples).cpu()
        count = len(self._indices) - 1
        if not bool(((labels >= UNLABELED) & (labels < count)).all()):
            raise ValueError(f"labels of the inputs must be -1 to {count - 1}; samples {samples} have others")
        return self._indices[labels]
