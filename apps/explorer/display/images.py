"""Pictures, labels, activity and changes as pixels; independent of Streamlit."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from gandissect import UNLABELED, Concept
from gandissect.core import to_uint8

Pixels = NDArray[np.uint8]
"""Pixels to show, ``[H, W, 3]``."""

MIN_PIXELS = 256
"""Minimum length of a picture's longer side, in pixels; smaller pictures are enlarged by an integer factor."""

FULL_SCALE = 0.25
"""Change that is drawn in the brightest color, as a share of the range from black to white."""

_HOT = torch.tensor([[0, 0, 0], [110, 30, 90], [240, 110, 20], [255, 250, 200]], dtype=torch.float32, device="cpu")
_LIFT = torch.tensor([28.0, 32.0, 44.0], dtype=torch.float32, device="cpu")
_GLOW = torch.tensor([255.0, 110.0, 0.0], dtype=torch.float32, device="cpu")


def encode_png(pixels: Pixels) -> bytes:
    """Return pixels as a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()


def encode_jpeg(pixels: Pixels) -> bytes:
    """Return pixels as a JPEG, a quarter of the size of the PNG, for thumbnails."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=90)
    return file.getvalue()


def draw_picture(image: Float[Tensor, "3 H W"]) -> Pixels:
    """Draw an image ``[3, H, W]`` in [-1, 1]."""
    return _enlarge(_to_rgb(image), "bicubic")


def draw_native(image: Float[Tensor, "3 H W"]) -> Pixels:
    """Draw an image ``[3, H, W]`` in [-1, 1] at its own size."""
    return to_uint8(image).permute(1, 2, 0).numpy()


def draw_concepts(image: Float[Tensor, "3 H W"], labels: Int64[Tensor, "H W"], concepts: Sequence[Concept]) -> Pixels:
    """Draw an image in gray under the colors of its labels, int64 ``[H, W]``."""
    return _enlarge(_color_labels(image, labels, concepts), "nearest")


def draw_native_concepts(
    image: Float[Tensor, "3 H W"], labels: Int64[Tensor, "H W"], concepts: Sequence[Concept]
) -> Pixels:
    """Draw the same as `draw_concepts`, at the image's own size."""
    return _to_pixels(_color_labels(image, labels, concepts))


def draw_heat(image: Float[Tensor, "3 H W"], activity: Float[Tensor, "H W"]) -> Pixels:
    """Draw an image in dim gray, with a glow where the activity ``[H, W]`` in [0, 1] is high."""
    gray = 0.6 * _to_rgb(image).mean(0, keepdim=True)
    return _enlarge(torch.lerp(gray, _GLOW[:, None, None], 0.9 * activity[None]), "bicubic")


def draw_change(change: Float[Tensor, "H W"], region: Bool[Tensor, "H W"] | None = None) -> Pixels:
    """Draw a map of changes: black for none, the brightest color at `FULL_SCALE` and above.

    Args:
        change: Change of each pixel, ``[H, W]``, from 0 to 1.
        region: Region to brighten slightly, bool ``[H, W]``.
    """
    position = (change / FULL_SCALE).clamp(0, 1) * (len(_HOT) - 1)
    low = position.long().clamp(max=len(_HOT) - 2)
    hot = torch.lerp(_HOT[low], _HOT[low + 1], (position - low)[..., None])
    if region is not None:
        hot = hot + _LIFT * region[..., None]
    return _enlarge(hot.permute(2, 0, 1), "bicubic")


def _color_labels(image: Tensor, labels: Tensor, concepts: Sequence[Concept]) -> Tensor:
    gray = _to_rgb(image).mean(0, keepdim=True).expand(3, -1, -1)
    colors = torch.tensor([*(concept.color for concept in concepts), (0, 0, 0)], dtype=torch.float32, device="cpu")
    painted = colors[labels].permute(2, 0, 1)
    return torch.where(labels == UNLABELED, gray, 0.3 * gray + 0.7 * painted)


def _to_rgb(image: Tensor) -> Tensor:
    """Return an image scaled to 0 to 255, not rounded."""
    return (image.clamp(-1, 1) + 1) * 127.5


def _enlarge(rgb: Tensor, mode: str) -> Pixels:
    factor = max(1, -(-MIN_PIXELS // max(rgb.shape[1:])))
    return _to_pixels(interpolate(rgb[None], scale_factor=factor, mode=mode)[0])


def _to_pixels(rgb: Tensor) -> Pixels:
    return rgb.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
