"""Pictures of the regions where a unit is on: outlined in yellow, with the rest darkened.

The border of a region R is what a 3 x 3 square dilates it by: dilate(R) minus R. So the region itself keeps its
own pixels, and a region of a single pixel is still seen.
"""

from __future__ import annotations

import base64
import io

import torch
from jaxtyping import Bool, UInt8
from PIL import Image, features
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..dissection.counting.top_images import Thumbnails, TopImages

YELLOW = (255, 222, 0)
DIMMING = 0.5
"""What is left of the brightness outside a region."""

MAX_PROPORTION = 16
"""Width over height of an image, at most; wider ones are squeezed, lest a thin one take all memory."""

BORDER, GAP = 2, 4
"""Width of an outline, and of the gap between two images, in pixels of a strip of 128 rows."""


def border(mask: Bool[Tensor, "*batch h w"], width: int = 1) -> Bool[Tensor, "*batch h w"]:
    """Return the pixels around a region, within ``width`` rows and columns of it.

    Args:
        mask: bool ``[..., h, w]``, the region.
        width: Pixels, 1 or more.
    """
    grown = mask
    for dim, margins in ((-1, (width, width)), (-2, (0, 0, width, width))):
        padded, size = pad(grown, margins), mask.shape[dim]
        grown = padded.narrow(dim, 0, size).clone()
        for shift in range(1, 2 * width + 1):
            grown |= padded.narrow(dim, shift, size)
    return grown & ~mask


def highlight(
    images: UInt8[Tensor, "batch 3 h w"], masks: Bool[Tensor, "batch h w"], width: int = 1
) -> UInt8[Tensor, "batch 3 h w"]:
    """Return images with their regions outlined and all else darkened.

    Args:
        images: uint8 ``[batch, 3, h, w]``.
        masks: bool ``[batch, h, w]``, the regions.
        width: Of the outline, in pixels.
    """
    dark = (images.float() * DIMMING).round().to(torch.uint8)
    result = torch.where(masks[:, None], images, dark)
    yellow = torch.tensor(YELLOW, dtype=torch.uint8, device="cpu")[None, :, None, None]
    return torch.where(border(masks, width)[:, None], yellow, result)


def unit_strip(
    thumbnails: Thumbnails, top: TopImages, unit: int, count: int, height: int
) -> UInt8[Tensor, "4 height width"]:
    """Return a unit's top images side by side, uint8 ``[4, height, width]``, transparent between them.

    Args:
        thumbnails: Of the samples.
        top: Which samples, and the regions.
        unit: Channel index.
        count: How many images at most, 1 or more.
        height: Of the strip, in pixels; each image keeps its proportions.
    """
    samples = top.samples[unit, :count].tolist()
    images = torch.stack([thumbnails[sample] for sample in samples])
    masks = torch.stack([top.mask(unit, rank) for rank in range(len(samples))])
    marked = highlight(*_resize(images, masks, height), max(1, round(BORDER * height / 128)))
    opaque = torch.full_like(marked[:, :1], 255)
    gap = max(1, round(GAP * height / 128))
    return torch.cat(list(pad(torch.cat([marked, opaque], 1), (0, gap))), dim=2)[..., :-gap]


def _resize(images: Tensor, masks: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Return images and regions with so many rows."""
    width = round(height * images.shape[3] / images.shape[2])
    size = (height, min(max(1, width), MAX_PROPORTION * height))
    if size == tuple(images.shape[2:]):
        return images, masks
    fine = interpolate(images, size, mode="bicubic", antialias=True)
    regions = interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)
    return fine, regions[:, 0] >= 0.5


def data_uri(image: UInt8[Tensor, "4 h w"]) -> str:
    """Return an image, uint8 ``[4, h, w]``, as a ``data:`` address: WebP, or JPEG on white if Pillow lacks that."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    buffer = io.BytesIO()
    if features.check("webp"):
        picture.save(buffer, "WEBP", quality=75, method=1)
        kind = "webp"
    else:
        paper = Image.new("RGBA", picture.size, "white")
        Image.alpha_composite(paper, picture).convert("RGB").save(buffer, "JPEG", quality=75)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
