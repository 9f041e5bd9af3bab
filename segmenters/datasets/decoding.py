"""Decode picture files and label files to arrays: all modes of photographs, and clear errors for broken files."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError, features
from torch import Tensor

from gandissect.core.images import from_uint8

MAX_PIXELS = 100_000_000
"""Maximum number of pixels of a picture; larger ones are rejected before they are decoded."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
"""File name extensions of pictures."""

MARGIN = 1.125
"""Ratio of a picture's short side to the side of its crop."""

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


MAX_SENT_PIXELS = 40_000_000
"""Maximum number of pixels of a picture that a visitor of a web page sends; decoding takes up to 20 bytes per pixel."""

SENT_FORMATS = tuple(["JPEG", "PNG", *(["WEBP"] if features.check("webp") else [])])
"""Formats that a visitor may send, by Pillow's names; no other decoder sees a visitor's bytes."""


@contextmanager
def _open_picture(
    file: Path | io.BytesIO, name: object, max_pixels: int, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """Open a picture; errors while opening or using it become a ValueError that names it."""
    try:
        with Image.open(file, formats=formats) as picture:
            if picture.width * picture.height > max_pixels:
                raise ValueError(
                    f"{name} has {picture.width} x {picture.height} pixels, above the limit of {max_pixels:,}; "
                    "reduce it"
                )
            yield picture
    except FileNotFoundError:
        raise
    except UnidentifiedImageError as error:
        length = file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes
        raise ValueError(f"{name} is not a picture that can be read ({length} bytes)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name} exceeds the limit of {max_pixels:,} pixels; reduce it ({error})") from error
    except (OSError, SyntaxError, EOFError, OverflowError, TypeError, struct.error) as error:
        raise ValueError(f"{name} is broken or truncated: {error}") from error
    except ValueError as error:
        if str(error).startswith(str(name)):
            raise
        raise ValueError(f"{name} is broken: {error}") from error  # e.g. a text chunk that unpacks to megabytes


def picture_size(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture, turned upright by its EXIF orientation, from its header alone.

    Raises:
        ValueError: If the file is not a picture, or is too large.
    """
    with _open_picture(path, path, MAX_PIXELS) as picture:
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        return (picture.height, picture.width) if turned else picture.size


def read_picture(path: Path, short_side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a picture, turn it upright by its EXIF orientation, and resize it with a Lanczos filter.

    Gray, 16-bit and CMYK pictures are converted to 8-bit RGB; transparent pixels are blended with white.

    Args:
        path: File to read.
        short_side: Short side of the result in pixels, at least 1.

    Returns:
        Picture, uint8 ``[H, W, 3]``.

    Raises:
        ValueError: If the picture is broken, truncated or too large.
    """
    with _open_picture(path, path, MAX_PIXELS) as picture:
        return _decode(picture, path, short_side)


def read_sent_picture(data: bytes, short_side: int, name: str = "the file") -> UInt8[np.ndarray, "H W 3"]:
    """Decode a picture that a visitor of a web page has sent, as `read_picture` does, in one of the `SENT_FORMATS`.

    A JPEG that contains several pictures, as phones write them, yields the first; animations are rejected.

    Args:
        data: Content of the file.
        short_side: Short side of the result in pixels, at least 1.
        name: Name of the file in errors; not the visitor's file name, which is untrusted.

    Returns:
        Picture, uint8 ``[H, W, 3]``.

    Raises:
        ValueError: If the picture is of another format, broken, truncated, animated, or too large.
    """
    with _open_picture(io.BytesIO(data), name, MAX_SENT_PIXELS, SENT_FORMATS) as picture:
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":
            raise ValueError(f"{name} must be a single picture; got an animation of {frames}; send one of them")
        return _decode(picture, name, short_side)


def read_image(file: Path | bytes, size: int) -> Float32[Tensor, "3 size size"]:
    """Read the center of a picture, upright and resized, as an image tensor.

    Args:
        file: Path of a file, or the bytes that a visitor of a web page sent (see `read_sent_picture`).
        size: Height and width of the image in pixels.

    Returns:
        Image, float32 ``[3, size, size]`` in [-1, 1].

    Raises:
        ValueError: If the picture cannot be read.
    """
    short_side = round(size * MARGIN)
    decoded = read_sent_picture(file, short_side) if isinstance(file, bytes) else read_picture(file, short_side)
    pixels = torch.from_numpy(decoded)
    top, left = ((side - size + 1) // 2 for side in pixels.shape[:2])
    return from_uint8(pixels[top : top + size, left : left + size].permute(2, 0, 1))


def read_labels(path: Path, picture: tuple[int, int], short_side: int) -> Int32[np.ndarray, "H W"]:
    """Decode a label map (an index PNG, with or without a palette) and resize it by nearest neighbor.

    Args:
        path: File of the label map.
        picture: Width and height of the picture that it belongs to, upright.
        short_side: Short side of the result in pixels, at least 1.

    Returns:
        Stored index of each pixel, int32 ``[H, W]``.

    Raises:
        ValueError: If the file is broken, not an index map, or differs in size from the picture.
    """
    with _open_picture(path, path, MAX_PIXELS) as labels:
        if labels.mode not in ("L", "P", "1", "I", "I;16"):
            raise ValueError(
                f"{path} must have one index per pixel (8-bit gray or palette), not colors (mode {labels.mode})"
            )
        if labels.size != picture:
            turned = " after it is turned upright by its EXIF orientation"
            hint = turned if labels.size == picture[::-1] else ""
            raise ValueError(
                f"{path} is {labels.width} x {labels.height}, but its picture is {picture[0]} x {picture[1]}{hint}"
            )
        size, step = scale_short_side(picture, short_side, path), _gray_step(labels)
        return np.asarray(labels.resize(size, Image.Resampling.NEAREST)).astype(np.int32) // step


def _gray_step(labels: Image.Image) -> int:
    """Return the factor by which Pillow scales a gray picture of 2 or 4 bits to 8 bits, 85 or 17; otherwise 1."""
    tiles = getattr(labels, "tile", None)
    stored = re.match(r"L;([24])", str(tiles[0][3])) if labels.mode == "L" and tiles else None
    return 255 // (2 ** int(stored[1]) - 1) if stored else 1


def scale_short_side(size: tuple[int, int], short_side: int, path: object) -> tuple[int, int]:
    """Return the width and height of a picture resized to a short side.

    Args:
        size: Width and height of the picture.
        short_side: Short side of the result in pixels.
        path: Name of the file in errors.

    Raises:
        ValueError: If the result would be too large.
    """
    scale = short_side / min(size)
    width, height = (max(short_side, round(side * scale)) for side in size)
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{path} is too narrow to be resized to a short side of {short_side} pixels: it has {size[0]} x {size[1]}"
        )
    return width, height


def _decode(picture: Image.Image, name: object, short_side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return a picture upright and resized, uint8 ``[H, W, 3]``.

    A JPEG is decoded at a half, a quarter or an eighth of its size if that suffices. The decoder rounds the sides of
    such a draft up; to keep pixels aligned with their labels, the size of the result depends on the header alone, and
    only the part of the draft that the picture covers is resized.
    """
    orientation = picture.getexif().get(_ORIENTATION, 1)
    width, height = picture.size
    size = scale_short_side((height, width) if orientation in _TURNED else (width, height), short_side, name)
    draft = picture.draft(picture.mode, (2 * short_side, 2 * short_side)) if picture.format == "JPEG" else None
    covered = _turn_box(draft[1], picture.size, orientation) if draft else None
    upright = _convert_to_rgb(ImageOps.exif_transpose(picture), name)
    return np.array(upright.resize(size, Image.Resampling.LANCZOS, covered))


def _turn_box(
    box: tuple[float, float, float, float], size: tuple[int, int], orientation: int
) -> tuple[float, float, float, float]:
    """Return the position of a box after its picture is turned upright.

    Args:
        box: Left, top, right and bottom in the stored picture.
        size: Width and height of the stored picture.
        orientation: EXIF orientation, 1 to 8.
    """
    (left, top, right, bottom), (width, height) = box, size
    if orientation in {2, 3, 7, 8}:
        left, right = width - right, width - left
    if orientation in {3, 4, 6, 7}:
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if orientation in _TURNED else (left, top, right, bottom)


def _convert_to_rgb(picture: Image.Image, path: object) -> Image.Image:
    if picture.mode.startswith("I"):
        return _convert_16_bit(picture, path)
    if picture.mode == "F":
        raise ValueError(f"{path} must have 8 or 16 bits; got floating-point pixels of unknown range")
    if picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _convert_16_bit(picture: Image.Image, path: object) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"pixels of {path} must be in [0, 65535]; got {values.min()} to {values.max()}")
    return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
