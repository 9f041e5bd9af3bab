"""From one picture file, or one label file, to an array: every mode that a photograph comes in, every way it breaks."""

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
"""A picture with more pixels than this is refused before it is decoded."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
"""What is taken for a picture."""

MARGIN = 1.125
"""Short side of a picture over the side of its crop."""

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


MAX_SENT_PIXELS = 40_000_000
"""The same of a picture that a visitor of a web page sends: decoding it takes up to 20 bytes a pixel."""

SENT_FORMATS = tuple(["JPEG", "PNG", *(["WEBP"] if features.check("webp") else [])])
"""What a visitor may send, in Pillow's words: no other decoder sees a visitor's bytes."""


@contextmanager
def _open_picture(
    file: Path | io.BytesIO, name: object, max_pixels: int, formats: tuple[str, ...] | None = None
) -> Iterator[Image.Image]:
    """Open a picture by its header; what goes wrong here or where it is used is a ValueError with its name."""
    try:
        with Image.open(file, formats=formats) as picture:
            if picture.width * picture.height > max_pixels:
                raise ValueError(
                    f"{name} has {picture.width} x {picture.height} pixels; at most {max_pixels:,} are read: reduce it"
                )
            yield picture
    except FileNotFoundError:
        raise
    except UnidentifiedImageError as error:
        length = file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes
        raise ValueError(f"{name} is not a picture that can be read ({length} bytes)") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name} is too large; at most {max_pixels:,} pixels are read: reduce it ({error})") from error
    except (OSError, SyntaxError, EOFError, OverflowError, TypeError, struct.error) as error:
        raise ValueError(f"{name} is broken or truncated: {error}") from error
    except ValueError as error:
        if str(error).startswith(str(name)):
            raise
        raise ValueError(f"{name} is broken: {error}") from error  # as of a text in it that unpacks to megabytes


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture as it is looked at (after its EXIF orientation), from its header alone.

    Raises:
        ValueError: If it is no picture or too large, naming it.
    """
    with _open_picture(path, path, MAX_PIXELS) as picture:
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        return (picture.height, picture.width) if turned else picture.size


def read_picture(path: Path, short_side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a picture, turn it upright and resize it so that its short side has ``short_side`` pixels.

    Gray and 16-bit pictures become 8-bit RGB; what is transparent is laid on white; CMYK is converted; the EXIF
    orientation is applied. Resized with a Lanczos filter, whichever way the size changes.

    Args:
        path: The file.
        short_side: Pixels, 1 or more.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: If it is broken, truncated or too large, naming the file and what is wrong.
    """
    with _open_picture(path, path, MAX_PIXELS) as picture:
        return _decode(picture, path, short_side)


def read_sent_picture(data: bytes, short_side: int, name: str = "the file") -> UInt8[np.ndarray, "H W 3"]:
    """Decode a picture that a visitor of a web page has sent, as `read_picture` does; only `SENT_FORMATS` are read.

    Of a JPEG with several pictures in it, as telephones write them, the first is taken; films are refused.

    Args:
        data: The file's bytes.
        short_side: Pixels, 1 or more.
        name: What to call it in errors; not its own name, which anybody may have chosen.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: If it is no such picture, broken, truncated, a film, or too large, saying what is wrong.
    """
    with _open_picture(io.BytesIO(data), name, MAX_SENT_PIXELS, SENT_FORMATS) as picture:
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":
            raise ValueError(f"{name} is a film of {frames} pictures; send one of them")
        return _decode(picture, name, short_side)


def read_image(file: Path | bytes, size: int) -> Float32[Tensor, "3 size size"]:
    """Read the middle of a picture, upright and resized, as a generator's image.

    Args:
        file: A file, or what a visitor of a web page has sent, which is read as `read_sent_picture` does.
        size: Height and width of the image in pixels.

    Returns:
        float32 ``[3, size, size]`` in [-1, 1].

    Raises:
        ValueError: If it cannot be read, saying what is wrong.
    """
    short_side = round(size * MARGIN)
    decoded = read_sent_picture(file, short_side) if isinstance(file, bytes) else read_picture(file, short_side)
    pixels = torch.from_numpy(decoded)
    top, left = ((side - size + 1) // 2 for side in pixels.shape[:2])
    return from_uint8(pixels[top : top + size, left : left + size].permute(2, 0, 1))


def read_labels(path: Path, picture: tuple[int, int], short_side: int) -> Int32[np.ndarray, "H W"]:
    """Decode a label map (an index PNG, with or without a palette) and resize it by nearest neighbor.

    Args:
        path: The file.
        picture: Width and height of the picture it belongs to, upright.
        short_side: Pixels, 1 or more.

    Returns:
        int32 ``[H, W]``, the index of each pixel as stored.

    Raises:
        ValueError: If it is broken, not an index map, or not of the picture's size, naming it.
    """
    with _open_picture(path, path, MAX_PIXELS) as labels:
        if labels.mode not in ("L", "P", "1", "I", "I;16"):
            raise ValueError(
                f"{path} is {labels.mode}; labels are one index a pixel (8-bit gray or palette), not colors"
            )
        if labels.size != picture:
            turned = "; the picture has an EXIF orientation, and labels must match it upright"
            hint = turned if labels.size == picture[::-1] else ""
            raise ValueError(
                f"{path} is {labels.width} x {labels.height}, its picture {picture[0]} x {picture[1]}{hint}"
            )
        size, step = scale_short_side(picture, short_side, path), _gray_step(labels)
        return np.asarray(labels.resize(size, Image.Resampling.NEAREST)).astype(np.int32) // step


def _gray_step(labels: Image.Image) -> int:
    """Return what Pillow multiplies the values of a gray picture of 2 or 4 bits by, to fill 8: 85 or 17; else 1."""
    tiles = getattr(labels, "tile", None)
    stored = re.match(r"L;([24])", str(tiles[0][3])) if labels.mode == "L" and tiles else None
    return 255 // (2 ** int(stored[1]) - 1) if stored else 1


def scale_short_side(size: tuple[int, int], short_side: int, path: object) -> tuple[int, int]:
    """Return width and height once the short side has ``short_side`` pixels.

    Raises:
        ValueError: If the result would be too large, naming the file.
    """
    scale = short_side / min(size)
    width, height = (max(short_side, round(side * scale)) for side in size)
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path} is {size[0]} x {size[1]}: too narrow to be resized to a short side of {short_side}")
    return width, height


def _decode(picture: Image.Image, name: object, short_side: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return a picture upright and resized, uint8 ``[H, W, 3]``.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough. The decoder rounds the sides
    of such a draft up; so that pixels stay beside their labels, the size of the result depends on the header alone, and
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
    """Return where a box of a picture is once the picture has been turned upright.

    Args:
        box: Left, top, right and bottom, in the picture as it is stored.
        size: Width and height of the picture as it is stored.
        orientation: How it is stored, by EXIF: 1 to 8.
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
        raise ValueError(f"{path} has floating-point pixels of unknown range; save it with 8 or 16 bits")
    if picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _convert_16_bit(picture: Image.Image, path: object) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"{path} has pixels from {values.min()} to {values.max()}; 16 bits hold 0 to 65535")
    return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
