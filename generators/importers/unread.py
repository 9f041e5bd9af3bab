"""Networks that are known by their names and shapes and cannot be imported, each with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .layouts import Tensors

MAX_CHANNELS = 8
"""Channels of a picture at most, with what comes beside its colors: a mask, attributes."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A kind of network that is not imported.

    Args:
        reason: What it is and why it is not imported.
        is_it: Whether tensors are such a network's.
    """

    reason: str
    is_it: Callable[[Tensors], bool]


def find_reason(tensors: Tensors) -> str | None:
    """Return why a network of a known kind is not imported; None if it is of no such kind."""
    return next((kind.reason for kind in KINDS if kind.is_it(tensors)), None)


def takes_image(tensors: Tensors) -> bool:
    """Say whether a network makes pictures of pictures: few channels go in and come out, more are between.

    A discriminator ends where it is widest, and a generator of latent vectors begins with more channels than a picture.
    """
    shapes = [tuple(tensor.shape) for name, tensor in tensors.items() if tensor.ndim == 4 and "weight" in name]
    if len(shapes) < 3:
        return False
    (first_out, first_in, *kernel), last = shapes[0], shapes[-1][:2]
    widest = max(max(shape[:2]) for shape in shapes)
    return first_in <= min(MAX_CHANNELS, first_out - 1) and min(kernel) > 1 and min(last) <= 4 and max(last) < widest


def _has(*patterns: str) -> Callable[[Tensors], bool]:
    """Return whether each pattern begins a name of the tensors, or comes after a dot in one."""
    return lambda tensors: all(any(re.search(rf"(^|\.){pattern}", name) for name in tensors) for pattern in patterns)


_is_xl = _has(r"mapping\.embed\.weight$", r"synthesis\.L\d+_\d+_\d+\.")

KINDS = (
    Unread(
        "a StyleGAN-XL: its mapping is given embeddings of classes of an ImageNet classifier, and its last layers are "
        "networks of their own, trained on top of smaller ones; that is not read",
        lambda tensors: _is_xl(tensors) and "mapping.embed.bias" not in tensors,  # which NVlabs' StyleGAN3 has
    ),
    Unread(
        "a BigGAN of BigGAN-PyTorch: its norms are given parts of z with the class, which is not read yet",
        _has(r"linear\.(u0|weight)$", r"blocks\.0\.0\.bn1\.gain\.", r"output_layer\.\d\."),
    ),
    Unread(
        "a BigGAN of pytorch-pretrained-BigGAN: its norms are given parts of z with the class, which is not read yet",
        _has(r"gen_z\.", r"layers\.\d+\.bn_0\.scale\."),
    ),
    Unread(
        "a FastGAN of projected_gan that makes images of classes, whose norms are given the class; that is not read",
        _has(r"feat_8\.bn1\.gain\.", r"embed\."),
    ),
    Unread(
        "a lightweight GAN of an early version, whose grids are doubled by repeating pixels; only grids that "
        "are doubled by pixel shuffling are read",
        _has(r"initial_conv\.0\.weight$", r"layers\.0\.0\.[12]\.weight$"),
    ),
    Unread(
        "a StyleGAN2 of lucidrains with attention, or with a first grid made of the style; neither is read",
        _has(r"(attns\.\d+|to_initial_block)\.", r"blocks\.0\.to_style1\."),
    ),
    Unread(
        "a network that takes an image, such as a translator of pix2pix, CycleGAN or CUT, an autoencoder or a U-Net; "
        "only generators that make images of latent vectors are imported",
        takes_image,
    ),
)
