"""A segmenter's encoder as the features over which pictures are compared."""

from __future__ import annotations

from torch import Tensor

from gandissect.fidelity import MIN_HELD_OUT, Yardstick
from gandissect.protocols import Segmenter
from segmenters import UNetSegmenter
from segmenters.datasets import ImageSource

from .data import NUM_HELD_OUT_SCENES, as_tensor, evenly_spaced

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Pictures that generated ones are compared with, at most; copies of training pictures beyond these go unseen."""


def yardstick(segmenter: Segmenter, train: ImageSource, held_out: ImageSource | None) -> Yardstick:
    """Return the measure over the coarsest features of a segmenter's encoder, averaged over the picture.

    Args:
        segmenter: One with an encoder.
        train: Pictures that the generator learns from.
        held_out: Pictures that it does not see.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
    """
    if not isinstance(segmenter, UNetSegmenter):
        raise ValueError(f"{segmenter.name!r} has no encoder to take features from; name a U-Net, e.g. 'unet-scenes'")

    if held_out is None:
        raise ValueError("nothing is held out to judge by; name at least one folder without @SPLIT, or scenes")
    _check_numbers(len(evenly_spaced(train, MAX_TRAIN)), len(evenly_spaced(held_out, MAX_HELD_OUT)))

    def features(images: Tensor) -> Tensor:
        return segmenter.encode(images)[-1].mean(dim=(2, 3))

    return Yardstick(segmenter.name, features, as_tensor(train, MAX_TRAIN), as_tensor(held_out, MAX_HELD_OUT))


def _check_numbers(learned: int, held_out: int) -> None:
    """Raise ValueError with the remedy if there are too few pictures, before anything is computed."""
    if held_out < MIN_HELD_OUT:
        raise ValueError(
            f"{held_out} pictures are held out to judge by, and {MIN_HELD_OUT} are needed; "
            "give a larger --hold-out, or more pictures"
        )
    if learned <= held_out:
        raise ValueError(
            f"more pictures to learn from are needed than are held out; got {learned} and {held_out}; give a folder of "
            f"more pictures or a smaller --hold-out, or scenes:N with N above {NUM_HELD_OUT_SCENES}"
        )
