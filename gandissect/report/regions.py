"""Pictures of the regions where a unit is on: outlined in yellow, with everything else darkened.

The border of a region R is dilate(R) minus R, with a 3 x 3 square. The region therefore keeps all its pixels, and a
region of a single pixel remains visible.
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
"""Factor of the brightness outside a region."""

MAX_PROPORTION = 16
"""Maximum ratio of width to height of an image; wider images are squeezed, which limits memory."""

BORDER, GAP = 2, 4
"""Width of an outline, and of the gap between two images, in pixels of a strip with 128 rows."""


def border(mask: Bool[Tensor, "*batch h w"], width: int = 1) -> Bool[Tensor, "*batch h w"]:
    """Return the pixels around a region, within ``width`` rows and columns of it.

    Args:
        mask: Region, bool ``[..., h, w]``.
        width: Width of the border in pixels, at least 1.
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
    """Return images with their regions outlined and everything else darkened.

    Args:
        images: Images, uint8 ``[batch, 3, h, w]``.
        masks: Regions, bool ``[batch, h, w]``.
        width: Width of the outline, in pixels.
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
        thumbnails: Pictures of the samples.
        top: Each unit's top samples and regions.
        unit: Channel index of the unit.
        count: Maximum number of images, at least 1.
        height: Height of the strip, in pixels; images keep their proportions.
    """
    samples = top.samples[unit, :count].tolist()
    images = torch.stack([thumbnails[sample] for sample in samples])
    masks = torch.stack([top.mask(unit, rank) for rank in range(len(samples))])
    marked = highlight(*_resize(images, masks, height), max(1, round(BORDER * height / 128)))
    opaque = torch.full_like(marked[:, :1], 255)
    gap = max(1, round(GAP * height / 128))
    return torch.cat(list(pad(torch.cat([marked, opaque], 1), (0, gap))), dim=2)[..., :-gap]


def _resize(images: Tensor, masks: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Return images and regions resized to a height."""
    width = round(height * images.shape[3] / images.shape[2])
    size = (height, min(max(1, width), MAX_PROPORTION * height))
    if size == tuple(images.shape[2:]):
        return images, masks
    fine = interpolate(images, size, mode="bicubic", antialias=True)
    regions = interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)
    return fine, regions[:, 0] >= 0.5


def data_uri(image: UInt8[Tensor, "4 h w"]) -> str:
    """Return an image, uint8 ``[4, h, w]``, as a ``data:`` address: WebP, or JPEG on white if Pillow lacks WebP."""
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
