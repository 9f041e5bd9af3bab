"""Sheets of images with headings, and films, as files."""

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
"""Images in a row, by default."""

MAX_FPS = 50
"""Frames a second of a film at most; programs show frames of less than two hundredths of a second slowly."""


def write_grid(
    images: Float[Tensor, "batch 3 H W"],
    file: Path | str | IO[bytes],
    columns: int = COLUMNS,
    *,
    overwrite: bool = False,
) -> None:
    """Write images as a PNG, row by row; a path is written whole or not at all.

    Args:
        images: ``[batch, 3, H, W]`` in [-1, 1].
        file: Path of the PNG, or an open binary file.
        columns: Images in a row, 1 or more.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
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
    """Write images as a PNG in rows, each row of unchanged ones with the edited ones below it.

    Args:
        unchanged: ``[batch, 3, H, W]`` in [-1, 1].
        edited: ``[batch, 3, H, W]``.
        file: Path of the PNG, written whole or not at all, or an open binary file.
        columns: Images in a row at most, 1 or more.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
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
    """Draw tables of images, one below the other, with the images of their columns above and of their rows beside.

    Args:
        top: ``[column, 3, H, W]`` in [-1, 1].
        side: ``[row, 3, H, W]``.
        blocks: By heading, ``[row, column, 3, H, W]``.
    """
    height, width = top.shape[2] + GAP, top.shape[3] + GAP
    around = 3 * GAP  # more room between the images of rows and columns and those made of them
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
        headings: One for each column.
        rows: ``[row, column, 3, H, W]`` in [-1, 1].
        notes: What to write to the right of each row; nothing by default.
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
    """Return images one below the other, on white."""
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
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        image.save(temporary, format="png")


def save_gif(images: Float[Tensor, "frame 3 H W"], path: Path | str, fps: int, *, overwrite: bool = False) -> None:
    """Write a film that begins again when it ends, whole or not at all.

    Args:
        images: ``[frame, 3, H, W]`` in [-1, 1].
        path: The file.
        fps: Frames a second, 1 to `MAX_FPS`. A GIF counts in hundredths of a second, so that frames last unequally
            long where a frame is no whole number of them; each ends within half a hundredth of its time.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
        ValueError: If there is no frame, or fps is out of range.
    """
    if not len(images) or not 1 <= fps <= MAX_FPS:
        raise ValueError(f"a film needs 1 frame or more, and 1 to {MAX_FPS} frames a second; got {len(images)}, {fps}")
    # Each frame has 256 colors of its own. Dithering would flicker from frame to frame.
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
