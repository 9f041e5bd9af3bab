"""Sheets of images with headings, and animations, as files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import IO

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..core.images import to_uint8
from ..storage.files import atomic_path

GAP, BAND, NOTE, FONT_SIZE = 2, 18, 56, 12
INK = (40, 40, 40)

COLUMNS = 8
"""Default number of images per row."""

MAX_FPS = 50
"""Maximum frames per second of a GIF; many programs slow down frames shorter than two hundredths of a second."""


def write_grid(
    images: Float[Tensor, "batch 3 H W"],
    file: Path | str | IO[bytes],
    columns: int = COLUMNS,
    *,
    overwrite: bool = False,
) -> None:
    """Write images as a PNG, row by row.

    Args:
        images: Images, ``[batch, 3, H, W]`` in [-1, 1].
        file: Path of the PNG, written whole or not at all, or an open binary file.
        columns: Number of images per row, at least 1.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    from torchvision.utils import save_image

    with atomic_path(file, overwrite=overwrite) if isinstance(file, Path | str) else nullcontext(file) as target:
        save_image(images, target, nrow=columns, normalize=True, value_range=(-1, 1), format="png")


def write_pairs(
    unchanged: Float[Tensor, "batch 3 H W"],
    edited: Float[Tensor, "batch 3 H W"],
    file: Path | str | IO[bytes],
    columns: int = COLUMNS,
    *,
    overwrite: bool = False,
) -> None:
    """Write images as a PNG, each row of unchanged images above the row of the same images edited.

    Args:
        unchanged: Unchanged images, ``[batch, 3, H, W]`` in [-1, 1].
        edited: Edited images, ``[batch, 3, H, W]`` in [-1, 1].
        file: Path of the PNG, written whole or not at all, or an open binary file.
        columns: Maximum number of images per row, at least 1.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    columns = min(columns, len(unchanged))

    def fill(row: Tensor) -> Tensor:
        return torch.cat([row, row.new_ones(columns - len(row), *row.shape[1:])])

    rows = zip(torch.split(unchanged, columns), torch.split(edited, columns), strict=True)
    write_grid(torch.cat([fill(row) for pair in rows for row in pair]), file, columns, overwrite=overwrite)


def draw_table(
    top: Float[Tensor, "column 3 H W"],
    side: Float[Tensor, "row 3 H W"],
    blocks: Mapping[str, Float[Tensor, "row column 3 H W"]],
) -> Image.Image:
    """Draw tables of images, one below the other, with an image above each column and beside each row.

    Args:
        top: Images above the columns, ``[column, 3, H, W]`` in [-1, 1].
        side: Images beside the rows, ``[row, 3, H, W]`` in [-1, 1].
        blocks: Images of each table by heading, ``[row, column, 3, H, W]`` in [-1, 1].
    """
    height, width = top.shape[2] + GAP, top.shape[3] + GAP
    around = 3 * GAP  # a wider gap sets the images of rows and columns apart
    rows = len(side) * len(blocks)
    words = max((_measure_text(heading) for heading in blocks), default=0)
    across = GAP + width + around + max(width * len(top), words)
    size = (across, height + rows * height + len(blocks) * BAND + around)
    canvas = Image.new("RGB", size, "white")
    _paste(canvas, top, GAP + width + around, GAP, width)
    y = GAP + height
    for heading, block in blocks.items():
        _write(canvas, heading, GAP + width + around, y)
        y += BAND
        for row_image, mixed in zip(side, block, strict=True):
            _paste(canvas, row_image[None], GAP, y, width)
            _paste(canvas, mixed, GAP + width + around, y, width)
            y += height
    return canvas


def draw_columns(
    headings: Sequence[str], rows: Float[Tensor, "row column 3 H W"], notes: Sequence[str] = ()
) -> Image.Image:
    """Draw rows of images with a heading above each column.

    Args:
        headings: Heading of each column.
        rows: Images, ``[row, column, 3, H, W]`` in [-1, 1].
        notes: Text to the right of each row; none by default.
    """
    height, width = rows.shape[3] + GAP, rows.shape[4] + GAP
    end = GAP + width * len(headings)
    canvas = Image.new("RGB", (end + (NOTE if notes else 0), BAND + GAP + height * len(rows)), "white")
    for index, heading in enumerate(headings):
        _write(canvas, heading, GAP + index * width, 0)
    for index, row in enumerate(rows):
        _paste(canvas, row, GAP, BAND + index * height, width)
    for index, note in enumerate(notes):
        _write(canvas, note, end + GAP, BAND + index * height + (height - BAND) // 2)
    return canvas


def stack_images(images: Sequence[Image.Image]) -> Image.Image:
    """Stack images one below the other, on white."""
    canvas = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    y = 0
    for image in images:
        canvas.paste(image, (0, y))
        y += image.height
    return canvas


def save_png(image: Image.Image, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a PNG, whole or not at all.

    Args:
        image: Image to write.
        path: Path of the file.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        image.save(temporary, format="png")


def save_gif(images: Float[Tensor, "frame 3 H W"], path: Path | str, fps: int, *, overwrite: bool = False) -> None:
    """Write a looping GIF, whole or not at all.

    Args:
        images: Frames, ``[frame, 3, H, W]`` in [-1, 1].
        path: Path of the file.
        fps: Frames per second, 1 to `MAX_FPS`. A GIF counts in hundredths of a second, so frames may differ in length;
            each ends within half a hundredth of its nominal time.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        ValueError: If there are no frames, or ``fps`` is out of range.
    """
    if not len(images) or not 1 <= fps <= MAX_FPS:
        raise ValueError(
            f"a GIF needs at least 1 frame and 1 to {MAX_FPS} frames per second; got {len(images)} and {fps}"
        )
    # Each frame has its own palette of 256 colors. Dithering would flicker between frames.
    frames = [
        Image.fromarray(pixels.numpy()).quantize(256, dither=Image.Dither.NONE) for pixels in _to_pixels(images.cpu())
    ]
    ends = [round(100 * frame / fps) for frame in range(len(frames) + 1)]
    durations = [10 * (end - start) for start, end in pairwise(ends)]
    with atomic_path(path, overwrite=overwrite) as temporary:
        frames[0].save(temporary, format="gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _to_pixels(images: Float[Tensor, "batch 3 H W"]) -> UInt8[Tensor, "batch H W 3"]:
    return to_uint8(images).movedim(-3, -1)


def _paste(canvas: Image.Image, images: Float[Tensor, "batch 3 H W"], x: int, y: int, width: int) -> None:
    for index, pixels in enumerate(_to_pixels(images)):
        canvas.paste(Image.fromarray(pixels.contiguous().numpy()), (x + index * width, y))


def _measure_text(text: str) -> int:
    return math.ceil(ImageFont.load_default(FONT_SIZE).getlength(text))


def _write(canvas: Image.Image, text: str, x: int, y: int) -> None:
    middle = y + BAND // 2
    ImageDraw.Draw(canvas).text((x, middle), text, fill=INK, font=ImageFont.load_default(FONT_SIZE), anchor="lm")
