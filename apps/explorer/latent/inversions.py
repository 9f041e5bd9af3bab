"""A visitor's own picture and what a generator makes of it, without Streamlit: `gandissect invert` with fewer steps."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass
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
from segmenters.datasets import read_image

from ..background.tasks import advance

MAX_MEGABYTES = 20
"""No larger file is read."""

STEPS = (50, 150, 500)
"""How many steps one may choose; the second is what is taken first."""

NUM_CANDIDATES, NUM_STARTS = 500, 3
NUM_WITHOUT_GRADIENTS = 2_000
"""Samples that are looked through where no gradients flow."""

_ONE_AT_A_TIME = threading.Lock()  # a large picture takes hundreds of megabytes while it is decoded


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as a visitor has sent it.

    Args:
        data: The file's bytes.
        digest: Their SHA-256, by which it is known from others.
    """

    data: bytes
    digest: str


def receive(data: bytes) -> Upload:
    """Return what a visitor has sent.

    Raises:
        ValueError: If it is too large.
    """
    if len(data) > MAX_MEGABYTES * 2**20:
        raise ValueError(f"the file has {len(data) / 2**20:.1f} MB; at most {MAX_MEGABYTES} are read: reduce it")
    return Upload(data, hashlib.sha256(data).hexdigest())


def decode_upload(upload: Upload, size: int) -> Float32[Tensor, "3 size size"] | str:
    """Return a visitor's picture as a generator takes it, ``[3, size, size]``, or in words why that cannot be."""
    with _ONE_AT_A_TIME:
        try:
            return read_image(upload.data, size)
        except ValueError as error:
            return str(error)


class CountedGenerator:
    """A generator that counts its images on the task that this thread works at.

    Args:
        generator: The generator; what this one does not know it asks that one.
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
    """Tell whether gradients flow through a generator from image to z."""
    with torch.enable_grad():
        z = generator.sample_z(1, 0).to(generator.device).requires_grad_()
        return generator(z).requires_grad


def find_inversion(
    generator: Generator, segmenter: Segmenter, image: Float32[Tensor, "3 H W"], space: str, num_steps: int
) -> Inversion:
    """Find the latents whose image is most like a picture, counted.

    Args:
        generator: A generator; it stays as it is.
        segmenter: Its features are compared besides pixels, if it has an encoder.
        image: The picture, ``[3, H, W]`` in [-1, 1].
        space: ``z``, ``w`` or ``ws``.
        num_steps: Of the optimization; 0 takes the nearest of more samples.

    Raises:
        ValueError: If that cannot be, saying why.
    """
    return invert(
        cast("Generator", CountedGenerator(generator)),  # what it lacks it asks the generator
        image[None],
        space,
        features=segmenter.encode if isinstance(segmenter, Encoder) else None,
        num_candidates=NUM_CANDIDATES if num_steps else NUM_WITHOUT_GRADIENTS,
        num_starts=NUM_STARTS,
        num_steps=num_steps,
        progress=False,
    )


def num_images(num_steps: int) -> int:
    """Return how many images `find_inversion` makes, about."""
    if not num_steps:
        return NUM_WITHOUT_GRADIENTS
    return NUM_CANDIDATES + NUM_STARTS * (num_steps // 4) + num_steps


def as_file(inversion: Inversion) -> bytes:
    """Return an inversion as the file that `Inversion.load` reads."""
    with TemporaryDirectory() as folder:
        return inversion.save(Path(folder)).read_bytes()


def as_sheet(inversion: Inversion) -> bytes:
    """Return the PNG that ``gandissect invert`` makes of an inversion."""
    file = io.BytesIO()
    draw_inversion(inversion).save(file, "png")
    return file.getvalue()
