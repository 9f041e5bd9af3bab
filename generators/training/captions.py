"""The captions of each step, and the loss by which encoders of captions and pictures learn to match.

Of two pictures, the caption of one may be true of the other as well, as "a view" is of all: such pairs are no
counterexamples.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from gandissect.core.protocols import CaptionedSource
from gandissect.core.sampling import make_rng

from .losses import Scalar

SHARPNESS = 10.0
"""Factor on cosines before the softmax.

Source: Xu et al. 2018, arXiv 1711.10485, Sec. 4 (gamma_3).
"""


def load_captions(source: CaptionedSource, order: list[int], seed: int, number: int) -> tuple[str, ...]:
    """Return a caption for each picture of a batch, which depends on the seed and the number of the batch only.

    Args:
        source: Pictures with captions.
        order: Indices of the batch's pictures.
        seed: Seed of the training.
        number: Number of the batch.
    """
    return source.captions(order, _draw_numbers(source, order, seed, number))


def load_fits(source: CaptionedSource, order: list[int], seed: int, number: int) -> Bool[Tensor, "picture caption"]:
    """Return whether each of the captions that `load_captions` returns is true of each picture of the batch."""
    return source.fits(order, _draw_numbers(source, order, seed, number))


def find_wrong(fits: Bool[Tensor, "picture caption"]) -> Int64[Tensor, " picture"]:
    """Return the index of a wrong caption for each picture: that of the next picture, in a circle, that does not fit.

    Where all captions fit, it is that of the next picture.
    """
    count = len(fits)
    picture = torch.arange(count, device=fits.device)
    following = (picture[:, None] + 1 + picture[None, :]) % count
    is_wrong = ~fits.gather(1, following)
    first = (is_wrong * torch.arange(count, 0, -1, device=fits.device)).argmax(1)
    return following.gather(1, first[:, None]).squeeze(1)


def _draw_numbers(source: CaptionedSource, order: list[int], seed: int, number: int) -> list[int]:
    rng = make_rng(seed, "caption", number)
    return torch.randint(source.num_captions, (len(order),), generator=rng, device="cpu").tolist()


def pick_captions(source: CaptionedSource, count: int, seed: int) -> list[str]:
    """Return distinct captions of a source, at most ``count``, for a trained generator to draw from.

    Args:
        source: Pictures with captions.
        count: Number of captions.
        seed: Seed of the training.
    """
    rng = make_rng(seed, "captions", 0)
    pictures = torch.randint(len(source), (count,), generator=rng, device="cpu").tolist()
    numbers = torch.randint(source.num_captions, (count,), generator=rng, device="cpu").tolist()
    return list(dict.fromkeys(source.captions(pictures, numbers)))


def match_logits(
    pictures: Float[Tensor, "picture embedding"], texts: Float[Tensor, "caption embedding"]
) -> Float[Tensor, "picture caption"]:
    """Return the cosine of each picture's and each caption's embedding, times `SHARPNESS`."""
    return SHARPNESS * functional.normalize(pictures, dim=1) @ functional.normalize(texts, dim=1).T


def matching_loss(logits: Float[Tensor, "item item"], fits: Bool[Tensor, "item item"]) -> Scalar:
    """Return the cross-entropies of finding each picture's caption in the batch, and each caption's picture, in nats.

    Their mean; pairs that fit, other than a picture and its own caption, are left out.

    Args:
        logits: Logits of pictures and captions; those that belong together are on the diagonal.
        fits: Whether a caption is true of a picture, like ``logits``.

    Source: Zhang et al. 2022, arXiv 2010.00747, Eq. 2 and 3; Radford et al. 2021, arXiv 2103.00020, Fig. 3.
    """
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    kept = logits.masked_fill(fits & ~own, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(kept, target) + functional.cross_entropy(kept.T, target)) / 2
