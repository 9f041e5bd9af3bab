"""Features over which pictures are compared: a segmenter's encoder, or the Inception network of FID and KID."""

from __future__ import annotations

from gandissect.core.protocols import Segmenter
from gandissect.fidelity.inception import Inception
from gandissect.fidelity.yardstick import MIN_HELD_OUT, Yardstick
from segmenters import encoder_features
from segmenters.datasets import ImageSource
from segmenters.datasets.open import NUM_HELD_OUT_SCENES, load_pictures, pick_evenly

MAX_TRAIN, MAX_HELD_OUT = 10_000, 1_000
"""Pictures that generated ones are compared with, at most; copies of training pictures beyond these go unseen."""


def yardstick(network: Segmenter | Inception, train: ImageSource, held_out: ImageSource | None) -> Yardstick:
    """Return the measure over the features of a network.

    Of a segmenter these are the coarsest features of its encoder, averaged over the picture, and 64 random dimensions
    of them are kept. Those of Inception are left as they are.

    Args:
        network: A segmenter with an encoder, or Inception.
        train: Pictures that the generator learns from.
        held_out: Pictures that it does not see.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
    """
    features = network if isinstance(network, Inception) else encoder_features(network)
    if held_out is None:
        raise ValueError("nothing is held out to judge by; name at least one folder without @SPLIT, or scenes")
    _check_numbers(len(pick_evenly(train, MAX_TRAIN)), len(pick_evenly(held_out, MAX_HELD_OUT)))
    real = load_pictures(train, MAX_TRAIN), load_pictures(held_out, MAX_HELD_OUT)

    if isinstance(network, Inception):
        return Yardstick(network.name, features, *real, num_dims=None)
    return Yardstick(network.name, features, *real)


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
