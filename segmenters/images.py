"""Check and resize images before a network labels them."""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from gandissect.core.types import check_type


def resize(images: Float[Tensor, "batch channel H W"], size: tuple[int, int]) -> Float[Tensor, "batch channel h w"]:
    """Resize ``[batch, channel, H, W]`` bilinearly, with antialiasing if a side shrinks."""
    if images.shape[-2:] == size:
        return images
    shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def check_images(images: Tensor) -> None:
    """Check that a tensor is a batch of images.

    Raises:
        ValueError: If it is not floating point ``[batch, 3, H, W]``, or not finite.
    """
    check_type("images", images, Tensor, "convert an array with torch.as_tensor")
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or 0 in images.shape:
        raise ValueError(
            f"images must be floating point [batch, 3, H, W] in [-1, 1]; got {images.dtype} {list(images.shape)}"
        )
    if not images.isfinite().all():
        first = int((~images.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"image {first} of the batch has non-finite pixels")


def image_size(images: Shaped[Tensor, "*batch H W"]) -> tuple[int, int]:
    """Return the height and width of images or label maps ``[..., H, W]``."""
    return images.shape[-2], images.shape[-1]


def reduce_and_enlarge(images: Float[Tensor, "batch channel H W"], size: int) -> Float[Tensor, "batch channel H W"]:
    """Reduce images to ``size x size`` pixels and enlarge them to their original size, which removes fine detail."""
    return resize(resize(images, (size, size)), image_size(images))
