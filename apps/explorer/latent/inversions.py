"""Inversion of an uploaded picture, as `gandissect invert` with fewer steps; independent of Streamlit."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gandissect import Generator, Segmenter
from gandissect.fidelity import Encoder
from gandissect.latent import Inversion, invert
from gandissect.report import draw_inversion

from ..background.tasks import advance

STEPS = (50, 150, 500)
"""Available numbers of steps; the second one is the default."""

NUM_CANDIDATES, NUM_STARTS = 500, 3
NUM_WITHOUT_GRADIENTS = 2_000
"""Number of samples to search for a generator without gradients."""


class CountedGenerator:
    """A generator that reports its images to the current thread's task.

    Args:
        generator: Generator to wrap; all other attributes are its own.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def __call__(self, latents: Float[Tensor, "batch *num_ws z"]) -> Float[Tensor, "batch 3 H W"]:
        """Return the images."""
        advance(len(latents))
        return self._generator(latents)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)


def has_gradients(generator: Generator) -> bool:
    """Return whether a generator is differentiable with respect to z."""
    with torch.enable_grad():
        z = generator.sample_z(1, 0).to(generator.device).requires_grad_()
        return generator(z).requires_grad


def find_inversion(
    generator: Generator, segmenter: Segmenter, image: Float32[Tensor, "3 H W"], space: str, num_steps: int
) -> Inversion:
    """Find the latents whose image is closest to a picture, and report the progress.

    Args:
        generator: Generator; it is not modified.
        segmenter: Segmenter whose features are compared in addition to pixels, if it has an encoder.
        image: Picture to invert, ``[3, H, W]`` in [-1, 1].
        space: Latent space: ``z``, ``w`` or ``ws``.
        num_steps: Number of optimization steps; 0 returns the nearest of a larger number of samples.

    Raises:
        ValueError: If the picture cannot be inverted.
    """
    return invert(
        cast("Generator", CountedGenerator(generator)),  # delegates all other attributes
        image[None],
        space,
        features=segmenter.encode if isinstance(segmenter, Encoder) else None,
        num_candidates=NUM_CANDIDATES if num_steps else NUM_WITHOUT_GRADIENTS,
        num_starts=NUM_STARTS,
        num_steps=num_steps,
        progress=False,
    )


def estimate_num_images(num_steps: int) -> int:
    """Return the approximate number of images that `find_inversion` generates."""
    if not num_steps:
        return NUM_WITHOUT_GRADIENTS
    return NUM_CANDIDATES + NUM_STARTS * (num_steps // 4) + num_steps


def as_file(inversion: Inversion) -> bytes:
    """Return an inversion as the bytes of a file for `Inversion.load`."""
    with TemporaryDirectory() as folder:
        return inversion.save(Path(folder)).read_bytes()


def as_sheet(inversion: Inversion) -> bytes:
    """Return the PNG that ``gandissect invert`` writes for an inversion."""
    file = io.BytesIO()
    draw_inversion(inversion).save(file, "png")
    return file.getvalue()
