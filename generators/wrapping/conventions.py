"""What generators that others wrote take beside ``z``, and what they return."""

from __future__ import annotations

import inspect
import logging
import math
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn

from .layers import describe

logger = logging.getLogger(__name__)

ValueRange = tuple[float, float]
"""What black and white are in images."""

Condition: TypeAlias = Shaped[Tensor, ""] | Shaped[Tensor, " length"]
"""What one image is given beside its ``z``: the number of a class, or a vector."""

SIGNED_RANGE: ValueRange = (-1.0, 1.0)
UNIT_RANGE: ValueRange = (0.0, 1.0)
BYTE_RANGE: ValueRange = (0.0, 255.0)
REMEDY = "put a module around it whose forward returns them so"
FAR = 8.0
"""Images without negative numbers whose highest is beyond this are in 0 to 255."""
WILD = 32.0
"""Images with negative numbers that go beyond this, to either side, are in no range that is guessed."""


def extract_images(output: Any, batch: int, name: str) -> Float[Tensor, "batch channel H W"]:
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
        raise TypeError(f"{name} should return float images [batch, 3, H, W]; got {describe(output)}; {REMEDY}")
    if len(image) != batch or image.shape[1] not in (1, 3):
        raise TypeError(f"{name} should return images [{batch}, 3 or 1, H, W]; got {list(image.shape)}; {REMEDY}")
    return image


def normalize_images(
    images: Float[Tensor, "batch channel H W"], value_range: ValueRange
) -> Float32[Tensor, "batch 3 H W"]:
    """Return images, of one channel or three, as float32 of three in [-1, 1]."""
    black, white = value_range
    images = images.float()
    if value_range != SIGNED_RANGE:
        images = (images - black) * (2 / (white - black)) - 1
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


def parse_condition(c: int | Condition | None) -> Condition | None:
    """Return what one image is given beside its ``z``.

    Raises:
        TypeError: If it is neither a whole number nor a tensor.
        ValueError: If it is no number and no vector.
    """
    if c is None:
        return None
    if isinstance(c, bool) or not isinstance(c, int | Tensor):
        raise TypeError(f"c is the number of a class or a tensor [length]; got {type(c).__name__}")
    tensor = c.detach().clone() if isinstance(c, Tensor) else torch.tensor(c, dtype=torch.int64, device="cpu")
    if tensor.ndim > 1:
        raise ValueError(f"c is that of one image, a number or [length], and all get it; got {list(tensor.shape)}")
    return tensor


def check_arguments(module: nn.Module, conditional: bool, name: str) -> None:
    """Check that a module takes ``z``, or ``z`` and ``c``, as far as it says what it takes.

    Args:
        module: The module.
        conditional: Whether it is to be given ``c``.
        name: What to call it in a message.

    Raises:
        ValueError: If it wants more, or less.
    """
    names, max_arguments = _read_arguments(module)
    if len(names) > min(2, max_arguments):
        raise ValueError(f"{name} takes {', '.join(names)}: put a module around it that takes z, or z and c")
    if len(names) == 2 and not conditional:
        raise ValueError(
            f"{name} takes {names[0]} and {names[1]}, so it seems to be conditional: "
            f"say with c= what it is given beside z, the number of a class or a vector{explain_classes(module)}"
        )
    if conditional and max_arguments < 2:
        raise ValueError(f"{name} takes {' and '.join(names) or 'nothing'} only: leave c out")


def _read_arguments(module: Any) -> tuple[list[str], float]:
    """Return the names of what a module has to be given, and how much it can be given."""
    if isinstance(module, torch.jit.ScriptModule) and module._c._has_method("forward"):
        arguments = module._c._get_method("forward").schema.arguments[1:]
        return [parameter.name for parameter in arguments if not parameter.has_default_value()], len(arguments)
    if hasattr(module, "input_placeholders"):  # of torch.export.unflatten
        names = [str(parameter.name) for parameter in module.input_placeholders]
        return names, len(names)
    names, max_arguments = [], 0.0
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            max_arguments = math.inf
        elif parameter.kind is not parameter.VAR_KEYWORD:
            max_arguments += parameter.kind is not parameter.KEYWORD_ONLY
            names += [parameter.name] * (parameter.default is parameter.empty)
    return names, max_arguments


def parse_z_shape(z_dim: int | None, z_shape: Sequence[int] | None) -> tuple[int, tuple[int, ...] | None]:
    """Return the length of a latent vector, and the shape that a module takes it in, if that is known.

    Raises:
        TypeError: If a number is not a whole number, or neither is given.
        ValueError: If a number is below 1, or the length is not the product of the shape.
    """
    if z_shape is None:
        return _check_length(z_dim, "z_dim"), None
    numbers = tuple(_check_length(number, "each number in z_shape") for number in z_shape)
    if not numbers:
        raise ValueError("z_shape must have at least one number; got none")
    if z_dim not in (None, math.prod(numbers)):
        raise ValueError(f"z_dim must be the product of z_shape {numbers}, {math.prod(numbers)}; got {z_dim}")
    return math.prod(numbers), numbers


def _check_length(number: int | None, name: str) -> int:
    """Return a whole number of 1 or more."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} must be a whole number; got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be 1 or more; got {number}")
    return number


def explain_classes(module: nn.Module, c: Condition | None = None) -> str:
    """Say which classes a module has an embedding of, to be put at the end of a message; nothing if it has none.

    Args:
        module: Module that could not be run.
        c: What it was given beside ``z``, if anything.
    """
    names = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Embedding)]
    if not names:
        return ""
    name, embedding = names[0]
    wrong = "" if c is None or (c.ndim == 0 and 0 <= c < embedding.num_embeddings) else ", and c is not one of them"
    return f"; its embedding {name!r} knows classes: c must be a number from 0 to {embedding.num_embeddings - 1}{wrong}"


def explain_input(module: nn.Module) -> str:
    """Say that a module seems to take an image, to be put at the end of a message; nothing if it does not seem so."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
    name, first = next(((name, part) for name, part in module.named_modules() if isinstance(part, kinds)), ("", None))
    if not isinstance(first, nn.Conv2d) or first.in_channels not in (1, 2, 3, 4, 6) or first.kernel_size == (1, 1):
        return ""
    return (
        f"; it seems to translate images: its first convolution {name!r} takes {first.in_channels} channels. Put a "
        "module around it whose forward(z) gives it a picture, or give z_shape= if this is noise of that shape"
    )


def check_range(value_range: ValueRange) -> ValueRange:
    """Return a range of images, black before white.

    Raises:
        ValueError: If it is none.
    """
    try:
        black, white = map(float, value_range)
    except (TypeError, ValueError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise ValueError(f"value_range is what black and white are, such as (-1, 1); got {value_range!r}")
    return black, white


def guess_range(images: Float[Tensor, "batch channel H W"], name: str) -> ValueRange:
    """Return the range that images seem to be in.

    Raises:
        ValueError: If it is none that is known.
    """
    lowest, highest = float(images.min()), float(images.max())
    if (lowest < 0 and max(-lowest, highest) > WILD) or highest > 2 * BYTE_RANGE[1]:
        raise ValueError(
            f"{name} gives images from {lowest:.3g} to {highest:.3g}, in no range that is known: say with value_range= "
            "what black and white are"
        )
    value_range = SIGNED_RANGE if lowest < 0 or 1 < highest <= FAR else UNIT_RANGE if highest <= 1 else BYTE_RANGE
    logger.info("%s gives images from %.3g to %.3g, taken as in %s", name, lowest, highest, list(value_range))
    return value_range


def summarize_error(error: Exception) -> str:
    """Return the line of an error's message that says what was wrong; those of scripts come with their source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if re.match(r"[\w.]*Error: ", line)), lines[0])
