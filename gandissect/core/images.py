"""Convert between images in [-1, 1], as networks produce and see them, and pixels in 0 to 255, as in files."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor


def to_uint8(images: Float[Tensor, "*batch H W"]) -> UInt8[Tensor, "*batch H W"]:
    """Convert images to pixels, ``round(127.5 (x + 1))``, on the same device.

    Args:
        images: Float ``[..., H, W]``, nominally in [-1, 1]; values outside that range are clamped.

    Returns:
        uint8 ``[..., H, W]``, 0 to 255.
    """
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(pixels: UInt8[Tensor, "*batch H W"]) -> Float32[Tensor, "*batch H W"]:
    """Convert pixels to images, ``x / 127.5 - 1``, on the same device.

    Args:
        pixels: uint8 ``[..., H, W]``, 0 to 255.

    Returns:
        float32 ``[..., H, W]``, in [-1, 1].
    """
    return pixels.float() / 127.5 - 1
