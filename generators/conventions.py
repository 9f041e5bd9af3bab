"""What generators that others wrote take beside ``z``, and what they return."""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import torch
from torch import Tensor

from .tracing import describe

logger = logging.getLogger(__name__)

Range = tuple[float, float]
"""What black and white are in images."""

OURS: Range = (-1.0, 1.0)
UNIT: Range = (0.0, 1.0)
BYTES: Range = (0.0, 255.0)
FAR = 8.0
"""Images without negative numbers whose highest is beyond this are in 0 to 255."""


def image_of(output: Any, batch: int, name: str) -> Tensor:
    """Return the images that a module has put out, alone or as the first of several things.

    Args:
        output: What it put out.
        batch: How many there should be.
        name: What to call it in a message.

    Raises:
        TypeError: If they are no floats ``[batch, 3 or 1, H, W]``.
    """
    image = output[0] if isinstance(output, tuple | list) and output else output
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 4:
        raise TypeError(f"{name} should return float images [batch, 3, H, W]; got {describe(output)}")
    if len(image) != batch or image.shape[1] not in (1, 3):
        raise TypeError(f"{name} should return images [{batch}, 3 or 1, H, W]; got {list(image.shape)}")
    return image


def seen(images: Tensor, value_range: Range) -> Tensor:
    """Return images, of one channel or three, as float32 of three in [-1, 1]."""
    black, white = value_range
    images = images.float()
    if value_range != OURS:
        images = (images - black) * (2 / (white - black)) - 1
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


def condition(c: int | Tensor | None) -> Tensor | None:
    """Return what one image is given beside its ``z``.

    Raises:
        TypeError: If it is neither a whole number nor a tensor.
        ValueError: If it is no number and no vector.
    """
    if c is None:
        return None
    if isinstance(c, bool) or not isinstance(c, int | Tensor):
        raise TypeError(f"c is the number of a class or a tensor [length]; got {type(c).__name__}")
    given = torch.as_tensor(c).detach().clone()
    if given.ndim > 1:
        raise ValueError(f"c is that of one image, a number or [length], and all get it; got {list(given.shape)}")
    return given


def checked_range(value_range: Range) -> Range:
    """Return a range of images, black before white.

    Raises:
        ValueError: If it is none.
    """
    black, white = (float(each) for each in value_range)
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise ValueError(f"value_range is what black and white are, such as (-1, 1); got {value_range}")
    return black, white


def range_of(images: Tensor, name: str) -> Range:
    """Return the range that images seem to be in."""
    lowest, highest = float(images.min()), float(images.max())
    found = OURS if lowest < 0 or 1 < highest <= FAR else UNIT if highest <= 1 else BYTES
    logger.info("%s gives images from %.3g to %.3g, taken as in %s", name, lowest, highest, list(found))
    return found


def brief(error: Exception) -> str:
    """Return the line of an error's message that says what was wrong; those of scripts come with their source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if re.match(r"[\w.]*Error: ", line)), lines[0])
