"""Grids of images and label maps to look at, in a notebook or as a file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..core.images import to_uint8
from ..core.types import Concept, check_concepts, check_type
from .sheets import BAND, COLUMNS, FONT_SIZE, GAP, INK

MIN_SIDE = 96
"""Width of an image in pixels, up to which images are enlarged by a whole factor."""

UNLABELED_COLOR = (0, 0, 0)
"""Color of pixels without a label."""

ACCEPTED = "images [batch, 3, H, W] or [3, H, W], floats in [-1, 1] or uint8, or int64 labels [batch, H, W] or [H, W]"


def show(
    images: Shaped[Tensor, "*shape"],
    *,
    columns: int = COLUMNS,
    captions: Sequence[object] = (),
    concepts: Sequence[Concept] = (),
) -> Image.Image:
    """Return images or label maps as a grid, which a notebook displays and ``save`` writes.

    Args:
        images: Images ``[batch, 3, H, W]`` or ``[3, H, W]``, floats in [-1, 1] or uint8; or label maps, int64
            ``[batch, H, W]`` or ``[H, W]``. Rows of images ``[row, column, 3, H, W]`` keep their rows.
        columns: Maximum number of images in a row, at least 1.
        captions: Text below each image: one for each, or none.
        concepts: Concepts of the label maps, such as ``segmenter.concepts``; their colors are used.

    Returns:
        A PIL image. Images less than 96 pixels wide are enlarged by a whole factor.

    Raises:
        TypeError: If ``images`` is not a tensor.
        ValueError: If the tensor is neither images nor label maps, label maps come without concepts, or the captions do
            not fit the images.

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> x = G(G.sample_z(4, seed=1))
        >>> gandissect.show(x, columns=2).size
        (262, 262)
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> gandissect.show(S(x), concepts=S.concepts, captions=["a", "b", "c", "d"]).size
        (522, 150)
    """
    check_type("images", images, Tensor, f"pass {ACCEPTED}")
    if images.ndim == 5:
        columns, images = images.shape[1], images.flatten(0, 1)
    pixels = _to_pixels(images.detach().cpu(), concepts)
    if columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}")
    if captions and len(captions) != len(pixels):
        raise ValueError(f"captions must be one for each of the {len(pixels)} images; got {len(captions)}")
    scale = -(-MIN_SIDE // pixels.shape[3])
    width, height = scale * pixels.shape[3], scale * pixels.shape[2]
    columns, band = min(columns, len(pixels)), BAND if captions else 0
    rows = -(-len(pixels) // columns)
    canvas = Image.new("RGB", (GAP + columns * (width + GAP), GAP + rows * (height + GAP + band)), "white")
    for index, picture in enumerate(pixels.movedim(1, -1)):
        x, y = GAP + index % columns * (width + GAP), GAP + index // columns * (height + GAP + band)
        tile = Image.fromarray(picture.contiguous().numpy())
        canvas.paste(tile.resize((width, height), Image.Resampling.NEAREST), (x, y))
        if captions:
            canvas.paste(_write_caption(str(captions[index]), width), (x, y + height))
    return canvas


def _to_pixels(images: Tensor, concepts: Sequence[Concept]) -> UInt8[Tensor, "batch 3 H W"]:
    """Return images or label maps as pixels.

    Raises:
        ValueError: If they are neither.
    """
    if not images.is_floating_point() and images.dtype != torch.uint8:
        labels = images[None] if images.ndim == 2 else images
        if labels.ndim != 3 or labels.dtype != torch.int64 or not labels.numel():
            raise ValueError(f"show takes {ACCEPTED}; got {images.dtype} {list(images.shape)}")
        return _color_labels(labels, concepts)
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[1] != 3 or not batch.numel():
        raise ValueError(f"show takes {ACCEPTED}; got {images.dtype} {list(images.shape)}")
    return batch if batch.dtype == torch.uint8 else to_uint8(batch)


def _color_labels(labels: Tensor, concepts: Sequence[Concept]) -> UInt8[Tensor, "batch 3 H W"]:
    """Return label maps in the colors of their concepts.

    Raises:
        ValueError: If there are no concepts, or a label is not one of them.
    """
    if not concepts:
        raise ValueError("label maps need concepts, such as concepts=segmenter.concepts")
    check_concepts(concepts)
    if int(labels.min()) < -1 or int(labels.max()) >= len(concepts):
        raise ValueError(f"labels must be -1 to {len(concepts) - 1}; got {int(labels.min())} to {int(labels.max())}")
    colors = [*(concept.color for concept in concepts), UNLABELED_COLOR]  # the last, of index -1
    return torch.tensor(colors, dtype=torch.uint8, device="cpu")[labels].movedim(-1, 1)


def _write_caption(text: str, width: int) -> Image.Image:
    """Return a caption on white, cut off at the width of its image."""
    band = Image.new("RGB", (width, BAND), "white")
    line = " ".join(text.split())
    ImageDraw.Draw(band).text((0, BAND // 2), line, fill=INK, font=ImageFont.load_default(FONT_SIZE), anchor="lm")
    return band
