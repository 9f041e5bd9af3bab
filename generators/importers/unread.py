"""Known networks that cannot be imported, each with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .layouts import Tensors

MAX_CHANNELS = 8
"""Maximum number of channels of an image, including a mask or attributes besides its colors."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A kind of network that cannot be imported.

    Args:
        reason: Name of the kind, and why it cannot be imported.
        is_it: Function that returns whether tensors belong to such a network.
    """

    reason: str
    is_it: Callable[[Tensors], bool]


def find_reason(tensors: Tensors) -> str | None:
    """Return why a network of a known kind cannot be imported; None if it is of no such kind."""
    return next((kind.reason for kind in KINDS if kind.is_it(tensors)), None)


def takes_image(tensors: Tensors) -> bool:
    """Return whether a network maps images to images: few input and output channels, more in between.

    A discriminator is widest at its end, and a generator of latent vectors begins with more channels than an image has.
    """
    shapes = [tuple(tensor.shape) for name, tensor in tensors.items() if tensor.ndim == 4 and "weight" in name]
    if len(shapes) < 3:
        return False
    (first_out, first_in, *kernel), last = shapes[0], shapes[-1][:2]
    widest = max(max(shape[:2]) for shape in shapes)
    return first_in <= min(MAX_CHANNELS, first_out - 1) and min(kernel) > 1 and min(last) <= 4 and max(last) < widest


def _has(*patterns: str) -> Callable[[Tensors], bool]:
    """Return a check that each pattern occurs in the names, at their start or after a dot."""
    return lambda tensors: all(any(re.search(rf"(^|\.){pattern}", name) for name in tensors) for pattern in patterns)


def _ends_in_patches(tensors: Tensors) -> bool:
    """Return whether a network's names and shapes are those of a PatchGAN of pytorch-CycleGAN-and-pix2pix."""
    shapes = [tuple(tensor.shape) for tensor in tensors.values() if tensor.ndim == 4]
    is_chain = all(re.match(r"model\.\d+\.\w+$", name) for name in tensors)
    return is_chain and len(shapes) >= 3 and shapes[-1][0] == 1 and all(shape[2:] == (4, 4) for shape in shapes)


_is_xl = _has(r"mapping\.embed\.weight$", r"synthesis\.L\d+_\d+_\d+\.")

_is_deep = _has(r"blocks\.0\.0\.bn4\.gain\.", r"blocks\.0\.0\.(conv4|conv2d4)\.")
_is_pretrained_deep = _has(r"gen_z\.", r"layers\.\d+\.bn_0\.scale\.")

KINDS = (
    Unread(
        "a StyleGAN-XL, which is not supported: its mapping takes class embeddings of an ImageNet classifier, and its "
        "last layers are separate networks, trained on top of smaller ones",
        lambda tensors: _is_xl(tensors) and "mapping.embed.bias" not in tensors,  # in NVlabs' StyleGAN3
    ),
    Unread(
        "a BigGAN-deep, which is not supported: its blocks have four convolutions, and its norms take the whole z",
        lambda tensors: any(is_it(tensors) for is_it in (_is_deep, _is_pretrained_deep)),
    ),
    Unread(
        "a class-conditional FastGAN of projected_gan, which is not supported: its norms take the class",
        _has(r"feat_8\.bn1\.gain\.", r"embed\."),
    ),
    Unread(
        "an early version of the lightweight GAN, which is not supported: it doubles grids by repeating pixels instead "
        "of pixel shuffling",
        _has(r"initial_conv\.0\.weight$", r"layers\.0\.0\.[12]\.weight$"),
    ),
    Unread(
        "a StyleGAN2 of lucidrains that is not supported: it has attention, or computes its first grid from the style",
        _has(r"(attns\.\d+|to_initial_block)\.", r"blocks\.0\.to_style1\."),
    ),
    Unread(
        "a PatchGAN, which judges patches of pictures; pass the generator, such as latest_net_G.pth",
        _ends_in_patches,
    ),
    Unread(
        "a network that takes an image, such as a CUT translator, an autoencoder or a U-Net, in a layout that is not "
        "supported; load it in Python and pass it to generators.wrap with inputs=pictures",
        takes_image,
    ),
)
