"""Random augmentation of training pictures, as pure functions of (images, labels, rng).

Pictures are cropped, rotated, recolored, blurred, reduced and enlarged again, and noised, so that a network trained on
photographs generalizes to the small, soft images of a generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

from gandissect.core.ranges import Range, check_settings

from .images import reduce_and_enlarge, resize


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strengths of the augmentations.

    Args:
        min_crop: Smallest side of a random crop, as a share of the picture's side; 1 uses the whole picture.
        max_aspect: Largest ratio by which a crop is stretched; 1 does not stretch.
        max_degrees: Largest angle of rotation, in degrees.
        color: Strength of random brightness, contrast, saturation and tint, from 0 to 1.
        small: Share of pictures that are reduced and enlarged again, to imitate the images of a small generator.
        min_small: Smallest side that a picture is reduced to, in pixels.
        blur: Share of pictures that are blurred.
        max_sigma: Largest standard deviation of the blur, in pixels.
        max_noise: Largest standard deviation of the added noise; images span [-1, 1].
    """

    min_crop: float = 0.5
    max_aspect: float = 1.25
    max_degrees: float = 6.0
    color: float = 0.5
    small: float = 0.5
    min_small: int = 40
    blur: float = 0.3
    max_sigma: float = 1.5
    max_noise: float = 0.08

    def __post_init__(self) -> None:
        check_settings(self, _RANGES)


_RANGES = {
    "min_crop": Range(0, 1, above=True),
    "max_aspect": Range(1),
    "max_degrees": Range(0, 180),
    "color": Range(0, 1),
    "small": Range(0, 1),
    "min_small": Range(1, whole=True),
    "blur": Range(0, 1),
    "max_sigma": Range(0, 100),
    "max_noise": Range(0),
}

NO_AUGMENTATION = Augmentation(1.0, 1.0, 0.0, 0.0, 0.0, 1, 0.0, 0.0, 0.0)


def augment(
    images: Float32[Tensor, "batch 3 H W"],
    labels: Int64[Tensor, "batch H W"],
    size: int,
    settings: Augmentation,
    rng: torch.Generator,
) -> tuple[Float32[Tensor, "batch 3 size size"], Int64[Tensor, "batch size size"]]:
    """Augment a batch of images together with their labels.

    Args:
        images: Images, float32 ``[batch, 3, H, W]`` in [-1, 1].
        labels: Labels, int64 ``[batch, H, W]``.
        size: Height and width of the result, in pixels.
        settings: Strengths of the augmentations.
        rng: Random number generator, the only source of randomness.

    Returns:
        Images, float32 ``[batch, 3, size, size]`` in [-1, 1], and labels, int64 ``[batch, size, size]``, which are -1
            outside the original picture.
    """
    images, labels = warp(images, labels, size, settings, rng)
    images = recolor(images, settings.color, rng)
    images = blur(images, settings.blur, settings.max_sigma, rng)
    images = shrink(images, settings.small, settings.min_small, rng)
    return add_noise(images, settings.max_noise, rng), labels


def warp(
    images: Float32[Tensor, "batch 3 H W"],
    labels: Int64[Tensor, "batch H W"],
    size: int,
    settings: Augmentation,
    rng: torch.Generator,
) -> tuple[Float32[Tensor, "batch 3 size size"], Int64[Tensor, "batch size size"]]:
    """Cut out a random crop of each image, stretch, rotate and resize it (bilinearly; labels by nearest neighbor)."""
    if settings.min_crop == 1 and settings.max_aspect == 1 and settings.max_degrees == 0:
        small = functional.interpolate(labels[:, None].float(), size=(size, size), mode="nearest-exact")
        return resize(images, (size, size)), small[:, 0].long()
    scale, aspect, angle, right, down = torch.rand(5, len(images), generator=rng, dtype=torch.float32, device="cpu")
    scale = settings.min_crop + (1 - settings.min_crop) * scale
    aspect = torch.exp((2 * aspect - 1) * 0.5 * math.log(settings.max_aspect))
    angle = torch.deg2rad((2 * angle - 1) * settings.max_degrees)
    wide, high = (scale * aspect).clamp(max=1), (scale / aspect).clamp(max=1)
    rows = [
        torch.stack([wide * angle.cos(), -high * angle.sin(), (2 * right - 1) * (1 - wide)], 1),
        torch.stack([wide * angle.sin(), high * angle.cos(), (2 * down - 1) * (1 - high)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), [len(images), 3, size, size], align_corners=False)
    warped = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    shifted = (labels + 1)[:, None].float()  # the padding's 0 becomes -1 below
    moved = functional.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return warped, moved[:, 0].round().long() - 1


def recolor(
    images: Float32[Tensor, "batch 3 H W"], strength: float, rng: torch.Generator
) -> Float32[Tensor, "batch 3 H W"]:
    """Change the brightness, contrast, saturation and tint of each image."""
    if strength == 0:
        return images
    draws = (2 * torch.rand(len(images), 6, 1, 1, generator=rng, dtype=torch.float32, device="cpu") - 1) * strength
    brightness, contrast, saturation, tint = draws[:, :1], draws[:, 1:2], draws[:, 2:3], draws[:, 3:]
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * torch.exp(contrast) + mean
    gray = images.mean(1, keepdim=True)
    images = (images - gray) * (1 + saturation) + gray
    return (images + 0.8 * brightness + 0.3 * tint).clamp(-1, 1)


def blur(
    images: Float32[Tensor, "batch 3 H W"], share: float, max_sigma: float, rng: torch.Generator
) -> Float32[Tensor, "batch 3 H W"]:
    """Blur a share of the images with a Gaussian of random width."""
    if share == 0 or max_sigma == 0:
        return images
    chosen, sigma = torch.rand(2, len(images), generator=rng, dtype=torch.float32, device="cpu")
    sigma = torch.where(chosen < share, 0.05 + sigma * max_sigma, 0.05)  # 0.05 pixels do not blur
    reach = math.ceil(2 * max_sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device="cpu")
    kernels = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = functional.pad(images, (reach,) * 4, mode="replicate").reshape(
        1, -1, *(n + 2 * reach for n in images.shape[2:])
    )
    flat = functional.conv2d(flat, kernels[:, None, :, None], groups=len(kernels))
    return functional.conv2d(flat, kernels[:, None, None, :], groups=len(kernels)).view_as(images)


def shrink(
    images: Float32[Tensor, "batch 3 size size"], share: float, min_size: int, rng: torch.Generator
) -> Float32[Tensor, "batch 3 size size"]:
    """Reduce a share of the square images to a random size and enlarge them again."""
    full = images.shape[-1]
    if share == 0 or min_size >= full:
        return images
    chosen, amount = torch.rand(2, len(images), generator=rng, dtype=torch.float32, device="cpu").tolist()
    parts = []
    for image, choice, part in zip(images[:, None].unbind(), chosen, amount, strict=True):
        size = round(min_size * (full / min_size) ** part)
        parts.append(reduce_and_enlarge(image, size) if choice < share else image)
    return torch.cat(parts)


def add_noise(
    images: Float32[Tensor, "batch 3 H W"], max_noise: float, rng: torch.Generator
) -> Float32[Tensor, "batch 3 H W"]:
    """Add Gaussian noise of random strength to each image."""
    if max_noise == 0:
        return images
    strength = torch.rand(len(images), 1, 1, 1, generator=rng, dtype=torch.float32, device="cpu") ** 2 * max_noise
    noise = torch.randn(images.shape, generator=rng, dtype=torch.float32, device="cpu")
    return (images + strength * noise).clamp(-1, 1)
