"""Tables of pictures with headings, and films, as files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import save_image

from gandissect.core import to_uint8
from gandissect.storage import atomic_path

GAP, BAND, NOTE, FONT_SIZE = 2, 18, 56, 12
INK = (40, 40, 40)


def to_pixels(images: Tensor) -> Tensor:
    """Return images ``[..., 3, H, W]`` in [-1, 1] as uint8 ``[..., H, W, 3]``."""
    return to_uint8(images).movedim(-3, -1)


COLUMNS = 8
"""Pictures a row."""


def write_pairs(unchanged: Tensor, edited: Tensor, file: Path | BinaryIO, columns: int = COLUMNS) -> None:
    """Write images as a PNG in rows, each row of unchanged ones with the edited ones below it.

    Args:
        unchanged: ``[batch, 3, H, W]`` in [-1, 1].
        edited: ``[batch, 3, H, W]``.
        file: Where to.
        columns: Images a row at most, 1 or more.
    """
    columns = min(columns, len(unchanged))

    def filled(row: Tensor) -> Tensor:
        return torch.cat([row, row.new_ones(columns - len(row), *row.shape[1:])])

    rows = zip(torch.split(unchanged, columns), torch.split(edited, columns), strict=True)
    grid = torch.cat([filled(row) for pair in rows for row in pair])
    save_image(grid, file, nrow=columns, normalize=True, value_range=(-1, 1), format="png")


def draw_table(top: Tensor, side: Tensor, blocks: Mapping[str, Tensor]) -> Image.Image:
    """Draw tables of pictures, one below the other, with the pictures of their columns above and of their rows beside.

    Args:
        top: ``[column, 3, H, W]`` in [-1, 1].
        side: ``[row, 3, H, W]``.
        blocks: By heading, ``[row, column, 3, H, W]``.
    """
    height, width = top.shape[2] + GAP, top.shape[3] + GAP
    around = 3 * GAP  # more room between pictures that are given and those made of them
    rows = len(side) * len(blocks)
    words = max((_length(heading) for heading in blocks), default=0)
    across = GAP + width + around + max(width * len(top), words)
    size = (across, height + rows * height + len(blocks) * BAND + around)
    canvas = Image.new("RGB", size, "white")
    _paste(canvas, top, GAP + width + around, GAP, width)
    y = GAP + height
    for heading, block in blocks.items():
        _write(canvas, heading, GAP + width + around, y)
        y += BAND
        for given, made in zip(side, block, strict=True):
            _paste(canvas, given[None], GAP, y, width)
            _paste(canvas, made, GAP + width + around, y, width)
            y += height
    return canvas


def draw_columns(headings: Sequence[str], rows: Tensor, notes: Sequence[str] = ()) -> Image.Image:
    """Draw rows of pictures with a heading above each column.

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


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return pictures one below the other, on white."""
    canvas = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)), "white")
    y = 0
    for each in pictures:
        canvas.paste(each, (0, y))
        y += each.height
    return canvas


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="png")


def save_gif(images: Tensor, path: Path, fps: int) -> None:
    """Write a film that begins again when it ends, whole or not at all.

    Args:
        images: ``[frame, 3, H, W]`` in [-1, 1].
        path: The file.
        fps: Frames a second; a GIF counts in hundredths of a second.
    """
    # Each frame has 256 colors of its own. Dithering would flicker from frame to frame.
    frames = [
        Image.fromarray(pixels.numpy()).quantize(256, dither=Image.Dither.NONE) for pixels in to_pixels(images.cpu())
    ]
    with atomic_path(path) as temporary:
        frames[0].save(
            temporary, format="gif", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0
        )


def _paste(canvas: Image.Image, images: Tensor, x: int, y: int, width: int) -> None:
    for index, pixels in enumerate(to_pixels(images)):
        canvas.paste(Image.fromarray(pixels.contiguous().numpy()), (x + index * width, y))


def _length(text: str) -> int:
    return math.ceil(ImageFont.load_default(FONT_SIZE).getlength(text))


def _write(canvas: Image.Image, text: str, x: int, y: int) -> None:
    middle = y + BAND // 2
    ImageDraw.Draw(canvas).text((x, middle), text, fill=INK, font=ImageFont.load_default(FONT_SIZE), anchor="lm")
