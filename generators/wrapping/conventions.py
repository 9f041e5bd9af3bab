"""Conventions of third-party generators: their inputs besides ``z``, and their outputs."""

from __future__ import annotations

import inspect
import logging
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn

from .layers import describe

logger = logging.getLogger(__name__)

ValueRange = tuple[float, float]
"""Values of black and white in images."""

Condition: TypeAlias = Shaped[Tensor, ""] | Shaped[Tensor, " length"]
"""Condition of one image besides its ``z``: a class index, or a vector."""

SIGNED_RANGE: ValueRange = (-1.0, 1.0)
UNIT_RANGE: ValueRange = (0.0, 1.0)
BYTE_RANGE: ValueRange = (0.0, 255.0)
REMEDY = "wrap it in a module whose forward returns such images"
FAR = 8.0
"""Images without negative values whose maximum exceeds this are taken to be in [0, 255]."""
WILD = 32.0
"""Images with negative values that exceed this in magnitude are not in a known range."""


def extract_images(output: Any, batch: int, name: str) -> Float[Tensor, "batch channel H W"]:
    """Return the images in a module's output, which is the images or a tuple that starts with them.

    Args:
        output: Output of the module.
        batch: Expected number of images.
        name: Name of the module in messages.

    Raises:
        TypeError: If the images are not floats ``[batch, 3 or 1, H, W]``.
    """
    image = output[0] if isinstance(output, tuple | list) and output else output
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim != 4:
        raise TypeError(f"{name} must return float images [batch, 3, H, W]; got {describe(output)}; {REMEDY}")
    if len(image) != batch or image.shape[1] not in (1, 3):
        raise TypeError(f"{name} must return images [{batch}, 3 or 1, H, W]; got {list(image.shape)}; {REMEDY}")
    return image


def normalize_images(
    images: Float[Tensor, "batch channel H W"], value_range: ValueRange
) -> Float32[Tensor, "batch 3 H W"]:
    """Return images of one or three channels as float32 with three channels in [-1, 1]."""
    black, white = value_range
    images = images.float()
    if value_range != SIGNED_RANGE:
        images = (images - black) * (2 / (white - black)) - 1
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


def parse_condition(c: int | Condition | None) -> Condition | None:
    """Return the condition of one image as a tensor.

    Raises:
        TypeError: If ``c`` is neither an integer nor a tensor.
        ValueError: If the tensor has more than one axis.
    """
    if c is None:
        return None
    if isinstance(c, bool) or not isinstance(c, int | Tensor):
        raise TypeError(f"c must be a class index or a tensor [length]; got {type(c).__name__}")
    tensor = c.detach().clone() if isinstance(c, Tensor) else torch.tensor(c, dtype=torch.int64, device="cpu")
    if tensor.ndim > 1:
        raise ValueError(f"c must be a number or [length], shared by all images; got shape {list(tensor.shape)}")
    return tensor


def check_runs(module: nn.Module, name: str) -> None:
    """Check that a module has weights, and is not compiled.

    Raises:
        ValueError: If it is on the meta device or compiled.
    """
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise ValueError(f"{name} has no weights: it is on the meta device; load its state_dict() on another device")
    compiled = ("_orig_mod", "_compiled_call_impl")  # set by torch.compile(module) and by module.compile()
    if any(getattr(part, attribute, None) is not None for part in module.modules() for attribute in compiled):
        raise ValueError(f"{name} is compiled, which hides its submodules; pass the original module (`._orig_mod`)")


def check_arguments(module: nn.Module, conditional: bool, name: str) -> None:
    """Check that a module takes ``z``, or ``z`` and ``c``, as far as its signature shows.

    Args:
        module: Module to check.
        conditional: Whether the module is called with ``c``.
        name: Name of the module in messages.

    Raises:
        ValueError: If it takes more arguments, or fewer.
    """
    names, max_arguments = _read_arguments(module)
    if len(names) > min(2, max_arguments):
        raise ValueError(f"{name} takes {', '.join(names)}; wrap it in a module that takes z, or z and c")
    if len(names) == 2 and not conditional:
        raise ValueError(
            f"{name} takes {names[0]} and {names[1]}, so it seems to be conditional; "
            f"pass its second argument with c=, a class index or a vector{explain_classes(module)}"
        )
    if conditional and max_arguments < 2:
        raise ValueError(f"{name} takes {' and '.join(names) or 'nothing'} only; omit c")


def _read_arguments(module: Any) -> tuple[list[str], float]:
    """Return the names of a module's required arguments, and the number of positional arguments that it accepts."""
    if isinstance(module, torch.jit.ScriptModule) and module._c._has_method("forward"):
        arguments = module._c._get_method("forward").schema.arguments[1:]
        return [parameter.name for parameter in arguments if not parameter.has_default_value()], len(arguments)
    if hasattr(module, "input_placeholders"):  # the result of torch.export.unflatten
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


def check_images(module: nn.Module, run: Callable[[Tensor], Tensor], rows: Float[Tensor, "3 z"], name: str) -> None:
    """Reject a module whose images depend on more than their own row.

    Args:
        module: Module to check.
        run: Function that returns the module's images of rows.
        rows: Three different rows.
        name: Name of the module in messages.

    Raises:
        ValueError: If it modifies a buffer, is stochastic or stateful, lets images of a batch affect each other, or
            returns an image that is not finite.
    """
    before = {key: buffer.clone() for key, buffer in module.named_buffers()}
    one, again, other = (run(batch)[0] for batch in (rows[:2], rows[:2], rows[[0, 2]]))
    for key, buffer in module.named_buffers():
        if key in before and not torch.equal(buffer.nan_to_num(), before[key].nan_to_num()):
            raise ValueError(
                f"{name} modifies its buffer {key!r} in a forward pass, but threads share it and the fingerprint "
                "depends on it; modify it in training mode only"
            )
    if not one.isfinite().all():
        raise ValueError(f"{name} returns images with NaN or infinity")
    if not torch.equal(one, again):
        raise ValueError(f"{name} returns different images for the same z: it is stochastic or stateful; fix its noise")
    if not torch.equal(one, other):
        raise ValueError(f"{name} lets images of a batch affect each other; put all its layers in eval mode")


def parse_z_shape(z_dim: int | None, z_shape: Sequence[int] | None) -> tuple[int, tuple[int, ...] | None]:
    """Return the length of a latent vector, and the shape in which the module takes it, if known.

    Raises:
        TypeError: If a number is not an integer, or neither argument is given.
        ValueError: If a number is below 1, or the length is not the product of the shape.
    """
    if z_shape is None:
        return _check_length(z_dim, "z_dim"), None
    numbers = tuple(_check_length(number, "each number in z_shape") for number in z_shape)
    if not numbers:
        raise ValueError("z_shape must have at least one number; got ()")
    if z_dim not in (None, math.prod(numbers)):
        raise ValueError(f"z_dim must be the product of z_shape {numbers}, {math.prod(numbers)}; got {z_dim}")
    return math.prod(numbers), numbers


def _check_length(number: int | None, name: str) -> int:
    """Return an integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} must be an integer; got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1; got {number}")
    return number


def explain_classes(module: nn.Module, c: Condition | None = None) -> str:
    """Return the end of a message that describes a module's classes; empty if it has no embedding of classes.

    Args:
        module: Module that could not be run.
        c: Condition that it was called with, if any.
    """
    names = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Embedding)]
    if not names:
        return ""
    name, embedding = names[0]
    wrong = "" if c is None or (c.ndim == 0 and 0 <= c < embedding.num_embeddings) else f"; got {c.tolist()}"
    return f"; its embedding {name!r} has classes, so c must be in [0, {embedding.num_embeddings - 1}]{wrong}"


def explain_input(module: nn.Module) -> str:
    """Return the end of a message about a module that seems to take images; empty if it does not seem to."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)
    name, first = next(((name, part) for name, part in module.named_modules() if isinstance(part, kinds)), ("", None))
    if not isinstance(first, nn.Conv2d) or first.in_channels not in (1, 2, 3, 4, 6) or first.kernel_size == (1, 1):
        return ""
    return (
        f"; it seems to translate images: its first convolution {name!r} takes {first.in_channels} channels. Pass "
        "pictures with inputs=, or z_shape= if its input is noise"
    )


def check_range(value_range: ValueRange) -> ValueRange:
    """Return a range of images as two floats, black and white.

    Raises:
        ValueError: If it is not two finite numbers in ascending order.
    """
    try:
        black, white = map(float, value_range)
    except (TypeError, ValueError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise ValueError(f"value_range must be the values of black and white, such as (-1, 1); got {value_range!r}")
    return black, white


def guess_range(images: Float[Tensor, "batch channel H W"], name: str) -> ValueRange:
    """Return the range that images seem to be in.

    Raises:
        ValueError: If the images are not in a known range.
    """
    lowest, highest = float(images.min()), float(images.max())
    if (lowest < 0 and max(-lowest, highest) > WILD) or highest > 2 * BYTE_RANGE[1]:
        raise ValueError(
            f"{name} returns images from {lowest:.3g} to {highest:.3g}, which is not a known range; "
            "pass the values of black and white with value_range="
        )
    value_range = SIGNED_RANGE if lowest < 0 or 1 < highest <= FAR else UNIT_RANGE if highest <= 1 else BYTE_RANGE
    logger.info("%s returns images from %.3g to %.3g; assuming the range %s", name, lowest, highest, list(value_range))
    return value_range


def summarize_error(error: Exception) -> str:
    """Return the line of an error's message that names the problem; messages of scripts include their source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if re.match(r"[\w.]*Error: ", line)), lines[0])
