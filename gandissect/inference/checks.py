"""Validate the outputs of generators and segmenters: shapes, finite pixels, known labels, seeded samples."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..core.protocols import Generator, as_translation

FAR = 8.0
"""Absolute pixel value that counts as far from [-1, 1]. In images of untrained networks, which may be dissected, up to
70% of the pixels were observed beyond 1.5, 10% beyond 5 and 1% beyond this value; in pictures with a range of 0 to
255, nearly all are.
"""


def check_sampling(generator: Generator, seed: int) -> None:
    """Check that a latent vector depends only on the seed and its own index.

    Raises:
        ValueError: If repeated calls return different latent vectors, or a sample depends on the rest of its batch.
    """
    translation = as_translation(generator)
    total = 2 if translation is None else min(2, len(translation.pictures))
    calls = ((total, seed, 0), (total, seed, 0), (1, seed, total - 1))
    pair, repeated, second = (generator.sample_z(*call) for call in calls)
    for z, count in ((pair, total), (second, 1)):
        if not isinstance(z, Tensor) or tuple(z.shape) != (count, generator.z_dim):
            raise ValueError(
                f"sample_z({count}, seed, start) must return {[count, generator.z_dim]}; got {describe(z)}"
            )
    if not torch.equal(pair, repeated):
        problem = f"sample_z(2, {seed}, 0) of {generator.name} returned different latent vectors when called again"
    elif not torch.equal(pair[-1:], second):
        problem = f"sample_z(2, {seed}, 0)[1] of {generator.name} differs from sample_z(1, {seed}, 1)[0]"
    else:
        return
    raise ValueError(
        f"{problem}; row i must depend only on (seed, start + i): draw as gandissect.core.sample_z(num_samples, z_dim, "
        "seed, start) does"
    )


def check_images(images: Tensor, batch: int, size: tuple[int, int]) -> None:
    """Check that images are float ``[batch, 3, H, W]``.

    Raises:
        ValueError: If the images have another dtype or shape.
    """
    if not isinstance(images, Tensor) or tuple(images.shape) != (batch, 3, *size) or not images.is_floating_point():
        raise ValueError(f"the generator must return float images {[batch, 3, *size]}; got {describe(images)}")


def check_pixels(images: Float[Tensor, "batch 3 H W"], samples: range) -> None:
    """Check that all pixels are finite and at least half of them are not far from [-1, 1].

    Raises:
        ValueError: If a pixel is not finite, or most are out of range; the message names the first sample with a
            non-finite pixel, or the range of the images.
    """
    check_finite(images, samples)
    if 2 * int((images.abs() > FAR).sum()) > images.numel():
        lowest, highest = float(images.min()), float(images.max())
        raise ValueError(
            f"the generator's images must be in [-1, 1]; got values from {lowest:.4g} to {highest:.4g}; "
            "scale them in the generator (x / 127.5 - 1 if they are in 0 to 255)"
        )


def check_finite(images: Float[Tensor, "batch 3 H W"], samples: range) -> None:
    """Check that all pixels are finite.

    Raises:
        ValueError: If a pixel is NaN or infinite; the message names the first sample that has one.
    """
    finite = torch.isfinite(images.flatten(1)).all(1)
    if not bool(finite.all()):
        sample = samples[int((~finite).nonzero()[0])]
        raise ValueError(f"the generator's images must be finite; got a NaN or infinite pixel in sample {sample}")


def check_labels(
    labels: Tensor, shape: tuple[int, int, int, int], num_concepts: int
) -> Int64[Tensor, "batch channel rows columns"]:
    """Return valid label maps, int64 ``[batch, channel, H, W]``, in which no pixel has the same concept twice.

    Args:
        labels: Output of a segmenter, ``[batch, H, W]`` or ``[batch, channel, H, W]``.
        shape: Expected shape of the result.
        num_concepts: Number of concepts.

    Raises:
        ValueError: If the labels have another dtype or shape, or are neither concepts nor -1.
    """
    single = [shape[0], *shape[2:]]
    expected = single if shape[1] == 1 else list(shape)
    if (
        not isinstance(labels, Tensor)
        or labels.dtype != torch.int64
        or list(labels.shape) not in (expected, list(shape))
    ):
        raise ValueError(
            f"the segmenter must return int64 labels {expected}, one map of constant size per image; "
            f"got {describe(labels)}"
        )
    if shape[1] >= max(2, num_concepts):
        raise ValueError(
            f"the segmenter returned {shape[1]} labels per pixel for {num_concepts} concepts, which looks like scores "
            "or a one-hot encoding; each label must be the index of a concept, or -1"
        )
    labels = labels.reshape(shape)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < -1 or highest >= num_concepts:
        wrong = lowest if lowest < -1 else highest
        raise ValueError(
            f"labels of the segmenter's {num_concepts} concepts must be -1 to {num_concepts - 1}; got {wrong}"
        )
    return labels if shape[1] == 1 else _drop_repeated(labels)


def _drop_repeated(labels: Tensor) -> Tensor:
    """Return labels with -1 where an earlier channel has the same label."""
    distinct: list[Tensor] = []
    for label in labels.unbind(1):
        repeated = [label == earlier for earlier in distinct]
        distinct.append(label.masked_fill(torch.stack(repeated).any(0), -1) if repeated else label)
    return torch.stack(distinct, 1)


def check_proportions(labels: tuple[int, int], images: tuple[int, int]) -> None:
    """Check that label maps have the aspect ratio of the images, up to rounding; sizes are height and width."""
    if abs(labels[0] * images[1] - labels[1] * images[0]) > max(images):
        (height, width), (rows, columns) = images, labels
        raise ValueError(
            f"label maps may be larger or smaller than the images, but must have the same aspect ratio; got {rows} x "
            f"{columns} (height x width) for images of {height} x {width}"
        )


def describe(value: object) -> str:
    """Return a message's description of a value: dtype and shape of a tensor, the type of anything else."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
