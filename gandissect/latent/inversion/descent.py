"""Components of an inversion: starting points, the distance between images and pictures, and gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.progress import track
from ...core.protocols import Generator
from ...core.sampling import blocks
from ...inference.checks import check_finite, check_images
from ..spaces import as_w
from .coordinates import Coordinates, FreeNumbers

FEATURE_WEIGHT = 0.2
"""Weight of the features' distance relative to that of the pixels."""

LEARNING_RATE = 0.1
"""Learning rate of Adam, in standard deviations of the variables."""

WARM_UP, RAMP_DOWN = 0.05, 0.5
"""Shares of the steps in which the learning rate rises and falls."""

BATCH = 64
"""Samples per batch."""

PictureFeatures = Float[Tensor, "picture ..."] | Sequence[Float[Tensor, "picture ..."]]
"""Features of pictures, one tensor or several."""

FeatureExtractor = Callable[[Float[Tensor, "picture 3 H W"]], PictureFeatures]
"""Function of images that returns their features."""

Unknowns = FreeNumbers | Float[Tensor, "picture unit h w"]
"""Variables of a descent: latents and noise, or the residual of a layer."""

Loss = Callable[[Unknowns], Float[Tensor, " picture"]]
"""Function of the variables that returns each picture's loss."""


@dataclass(frozen=True, slots=True)
class PictureDistance:
    """The distance between images and pictures, in variances of the generator's images.

    Args:
        pictures: Pictures that images are compared with.
        lowest: Lower bound that image pixels are clamped to: -1 where the picture is black, since darker pixels are
            displayed the same.
        highest: Upper bound that image pixels are clamped to: 1 where the picture is white.
        variance: Variance of the pixels of the generator's images.
        features: Function that computes features to compare in addition to pixels; None compares pixels only.
        parts: Features of the pictures, each with the variance of its entries.
        pixels: Whether pixels are compared.
    """

    pictures: Float[Tensor, "picture 3 H W"]
    lowest: Float[Tensor, "picture 3 H W"]
    highest: Float[Tensor, "picture 3 H W"]
    variance: float
    features: FeatureExtractor | None
    parts: Sequence[tuple[Float[Tensor, "picture ..."], float]]
    pixels: bool = True

    @classmethod
    def of(
        cls,
        pictures: Float[Tensor, "picture 3 H W"],
        own_images: Float[Tensor, "sample 3 H W"],
        variance: float,
        features: FeatureExtractor | None,
        pixels: bool = True,
    ) -> PictureDistance:
        """Return the distance from pictures, scaled by the variance of the generator's ``own_images``."""
        free = torch.full_like(pictures, torch.inf)
        lowest, highest = torch.where(pictures <= -1, -1, -free), torch.where(pictures >= 1, 1, free)
        parts = []
        if features is not None:
            with torch.no_grad():
                own_features, targets = as_list(features(own_images.clamp(-1, 1))), as_list(features(pictures))
            variances = [float(part.cpu().double().var(0).mean()) for part in own_features]
            if not all(part_variance > 0 for part_variance in variances):
                raise ValueError("features must vary over the generator's images; use other features, or omit them")
            parts = list(zip([part.detach() for part in targets], variances, strict=True))
        return cls(pictures, lowest, highest, variance, features, parts, pixels)

    def __call__(self, images: Float[Tensor, "picture 3 H W"]) -> Float[Tensor, " picture"]:
        """Return the distance of each image from its picture, ``[picture]``."""
        if self.features is None:
            return self._pixel_distance(images)
        pairs = zip(as_list(self.features(images.clamp(-1, 1))), self.parts, strict=True)
        parts = [mean_square(image_part - picture_part) / variance for image_part, (picture_part, variance) in pairs]
        distance = torch.stack([part.to(images.device) for part in parts]).mean(0)
        return self._pixel_distance(images) + FEATURE_WEIGHT * distance if self.pixels else distance

    def _pixel_distance(self, images: Tensor) -> Tensor:
        return mean_square(images.clamp(self.lowest, self.highest) - self.pictures) / self.variance


@dataclass(frozen=True, slots=True)
class StartingPoints:
    """Starting points of an inversion.

    Args:
        coordinates: Coordinates of the latent space.
        start: Starting points of each picture, ``[picture, start, ...]``, the nearest first.
        samples: Latent vectors of some samples.
        images: Images of these samples.
        variance: Variance of the pixels over all samples.
    """

    coordinates: Coordinates
    start: Float[Tensor, "picture start number"] | Float[Tensor, "picture start num_ws w_dim"]
    samples: Float[Tensor, "sample z"] | Float[Tensor, "sample num_ws w_dim"]
    images: Float[Tensor, "sample 3 H W"]
    variance: float


@torch.no_grad()
def search(
    generator: Generator,
    pictures: Float[Tensor, "picture 3 H W"],
    space: str,
    noise: bool,
    counts: tuple[int, int],
    seed: int,
    quiet: bool,
) -> StartingPoints:
    """Find the samples nearest to each picture; in w, the mean is also a candidate.

    Args:
        generator: Generator to invert.
        pictures: Pictures to invert.
        space: ``z``, ``w`` or ``ws``.
        noise: Also optimize noise.
        counts: Number of samples to search, and number of starting points per picture.
        seed: Seed of the samples.
        quiet: Show no progress bar.

    Raises:
        ValueError: If the generator does not return images, or returns the same image for all samples.
    """
    count, num_starts = counts
    z = generator.sample_z(count, seed).to(generator.device)
    coordinates = Coordinates.of(generator, space, z, noise)
    candidates = coordinates.free(z if space == "z" else as_w(generator, z))
    if space != "z":
        candidates = torch.cat([coordinates.free(coordinates.middle), candidates])
    distances = []
    total, squares = (torch.zeros(pictures.shape[1:], dtype=torch.float64, device="cpu") for _ in range(2))
    for part in track(list(blocks(len(candidates), BATCH)), "samples", show=not quiet):
        free = candidates[part.start : part.stop]
        images = coordinates.images(generator, free)
        check_images(images, len(part), generator.image_size)
        check_finite(images, part)
        exact = images.cpu().double()
        total, squares = total + exact.sum(0), squares + exact.square().sum(0)
        distances.append(_pixel_distances(pictures, images.clamp(-1, 1)))
    number = len(candidates)
    variance = float((squares / number - (total / number).square()).mean())
    if not variance > 0:
        raise ValueError(f"images of {generator.name} must differ to be inverted; got the same image for all samples")
    nearest = torch.cat(distances, 1).argsort(dim=1, stable=True)[:, :num_starts]
    samples = candidates[:BATCH]
    latents, images = coordinates.latents(samples), coordinates.images(generator, samples)
    return StartingPoints(coordinates, candidates[nearest], latents, images, variance)


def _pixel_distances(pictures: Tensor, images: Tensor) -> Tensor:
    """Return the distance between each picture and each image; rounding in one pair does not depend on the others."""
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(pictures.flatten(1), images.flatten(1), compute_mode=mode)


@dataclass(frozen=True, slots=True)
class DescentResult:
    """The best point of a descent, and each picture's loss at the start and at the best point, float64 on CPU."""

    free: Unknowns
    loss_start: Float64[Tensor, " picture"]
    loss_end: Float64[Tensor, " picture"]


def descend(
    loss: Loss,
    start: Unknowns,
    num_steps: int,
    title: str,
    quiet: bool,
    settle: Callable[[FreeNumbers], None] | None = None,
) -> DescentResult:
    """Minimize each picture's loss with Adam, which treats every variable independently.

    Raises:
        ValueError: If a loss is not finite, naming the picture and the step.

    Source: learning rate: Karras et al. 2020 (arXiv 1912.04958), Appendix D.
    """
    free = start.clone().requires_grad_(num_steps > 0)
    adam = torch.optim.Adam([free], LEARNING_RATE)
    best_free, losses = start.clone(), []
    lowest = torch.full((len(start),), torch.inf, device=start.device, dtype=torch.float32)
    for step in track(range(num_steps + 1), title, show=not quiet, unit="step"):
        picture_losses = loss(free)
        check_loss(picture_losses, step)
        losses.append(picture_losses.detach())
        better = losses[-1] < lowest
        lowest[better], best_free[better] = losses[-1][better], free.detach()[better]
        if step < num_steps:
            adam.param_groups[0]["lr"] = LEARNING_RATE * _rate(step / num_steps)
            (free.grad,) = torch.autograd.grad(picture_losses.sum(), free)
            adam.step()
            if settle is not None:
                with torch.no_grad():
                    settle(free)
    return DescentResult(best_free, losses[0].cpu().double(), lowest.cpu().double())


def _rate(t: float) -> float:
    """Return the factor of the learning rate after a share t of the steps."""
    fall = min(1.0, (1 - t) / RAMP_DOWN)
    return min(1.0, (t + 1e-3) / WARM_UP) * (0.5 - 0.5 * math.cos(math.pi * fall))


def check_loss(loss: Float[Tensor, " picture"], step: int) -> None:
    """Raise ValueError if a loss is not finite, naming the picture and the step."""
    if not bool(loss.isfinite().all()):
        picture = int((~loss.isfinite()).nonzero()[0])
        raise ValueError(f"the loss of picture {picture} is not finite at step {step}")


def as_list(features: PictureFeatures) -> Sequence[Float[Tensor, "picture ..."]]:
    """Return features as a sequence of tensors."""
    return [features] if isinstance(features, Tensor) else features


def mean_square(x: Float[Tensor, "picture ..."]) -> Float[Tensor, " picture"]:
    """Return the mean square over all axes but the first."""
    return x.square().flatten(1).mean(1)
