"""Checks of what generators and segmenters return: shapes, finite pixels, labels that exist, seeded samples."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..core.protocols import Generator

FAR = 8.0
"""Pixels beyond this are far from [-1, 1]. Of untrained networks, which may be dissected, up to 70 % of the pixels were
seen beyond 1.5, 10 % beyond 5 and 1 % beyond this; of pictures in 0 to 255 nearly all are beyond it.
"""


def check_sampling(generator: Generator, seed: int) -> None:
    """Check that a latent vector depends on the seed and its own index, and on nothing else.

    Raises:
        ValueError: If two calls give different ones, or a sample differs with those it is drawn with.
    """
    pair, repeated, second = (generator.sample_z(*call) for call in ((2, seed, 0), (2, seed, 0), (1, seed, 1)))
    for z, count in ((pair, 2), (second, 1)):
        if not isinstance(z, Tensor) or tuple(z.shape) != (count, generator.z_dim):
            raise ValueError(
                f"sample_z({count}, seed, start) should give {[count, generator.z_dim]}; got {describe(z)}"
            )
    if not torch.equal(pair, repeated):
        wrong = f"sample_z(2, {seed}, 0) of {generator.name} gave other latent vectors when it was called again"
    elif not torch.equal(pair[1:], second):
        wrong = f"sample_z(2, {seed}, 0)[1] of {generator.name} is not sample_z(1, {seed}, 1)[0]"
    else:
        return
    raise ValueError(
        f"{wrong}; row i depends on (seed, start + i) only: draw as gandissect.core.sample_z(num_samples, z_dim, "
        "seed, start) does"
    )


def check_images(images: Tensor, batch: int, size: tuple[int, int]) -> None:
    """Check that images are floats ``[batch, 3, H, W]``.

    Raises:
        ValueError: If they are not.
    """
    if not isinstance(images, Tensor) or tuple(images.shape) != (batch, 3, *size) or not images.is_floating_point():
        raise ValueError(f"the generator should give float images {[batch, 3, *size]}; got {describe(images)}")


def check_pixels(images: Float[Tensor, "batch 3 H W"], samples: range) -> None:
    """Refuse pixels that are not finite, and images of which more than half lies far from [-1, 1].

    Raises:
        ValueError: Naming the first sample that has one that is not finite, or the range of the images.
    """
    check_finite(images, samples)
    if 2 * int((images.abs() > FAR).sum()) > images.numel():
        lowest, highest = float(images.min()), float(images.max())
        raise ValueError(
            f"the generator gave images from {lowest:.4g} to {highest:.4g}, and they must be in [-1, 1]; "
            "let it scale them (x / 127.5 - 1 if they are in 0 to 255)"
        )


def check_finite(images: Float[Tensor, "batch 3 H W"], samples: range) -> None:
    """Refuse pixels that are not finite.

    Raises:
        ValueError: Naming the first sample that has one.
    """
    finite = torch.isfinite(images.flatten(1)).all(1)
    if not bool(finite.all()):
        raise ValueError(f"the generator gave a NaN or infinite pixel in sample {samples[int((~finite).nonzero()[0])]}")


def check_labels(
    labels: Tensor, shape: tuple[int, int, int, int], num_concepts: int
) -> Int64[Tensor, "batch channel rows columns"]:
    """Return label maps as int64 ``[batch, channel, H, W]``, with known concepts or -1, no pixel's concept twice.

    Args:
        labels: What a segmenter gave, ``[batch, H, W]`` or ``[batch, channel, H, W]``.
        shape: Of the result.
        num_concepts: Concepts.

    Raises:
        ValueError: If they are not such maps.
    """
    single = [shape[0], *shape[2:]]
    expected = single if shape[1] == 1 else list(shape)
    if (
        not isinstance(labels, Tensor)
        or labels.dtype != torch.int64
        or list(labels.shape) not in (expected, list(shape))
    ):
        raise ValueError(
            f"the segmenter should give int64 labels {expected}, one map of always the same size for each image; "
            f"got {describe(labels)}"
        )
    if shape[1] >= max(2, num_concepts):
        raise ValueError(
            f"the segmenter gave {shape[1]} labels a pixel for {num_concepts} concepts, which looks like scores or "
            "one-hot codes; a label is the index of a concept, or -1"
        )
    labels = labels.reshape(shape)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < -1 or highest >= num_concepts:
        wrong = lowest if lowest < -1 else highest
        raise ValueError(
            f"the segmenter gave label {wrong}; its {num_concepts} concepts allow -1 to {num_concepts - 1}"
        )
    return labels if shape[1] == 1 else _each_once(labels)


def _each_once(labels: Tensor) -> Tensor:
    """Return labels with -1 where an earlier channel says the same."""
    distinct: list[Tensor] = []
    for label in labels.unbind(1):
        repeated = [label == earlier for earlier in distinct]
        distinct.append(label.masked_fill(torch.stack(repeated).any(0), -1) if repeated else label)
    return torch.stack(distinct, 1)


def check_proportions(labels: tuple[int, int], images: tuple[int, int]) -> None:
    """Refuse label maps, rows and columns, that are not images made larger or smaller, up to rounding."""
    if abs(labels[0] * images[1] - labels[1] * images[0]) > max(images):
        (height, width), (rows, columns) = images, labels
        raise ValueError(
            f"the segmenter gave label maps of {rows} x {columns} (height x width) for images of {height} x {width}; "
            "they may be larger or smaller, in the same proportions"
        )


def describe(value: object) -> str:
    """Return dtype and shape of a tensor, or the type of anything else, for a message."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
