"""``gandissect interpolate``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

import segmenters
from gandissect import encoder_features
from gandissect.core.protocols import Features
from gandissect.inference.checks import check_finite
from gandissect.latent import (
    PathLength,
    Walk,
    capabilities,
    generate_grid,
    path_length,
    pixel_distance,
    truncated_w,
    truncated_z,
)
from gandissect.latent.spaces import check_space
from gandissect.report import save_gif, write_grid
from gandissect.report.sheets import MAX_FPS
from gandissect.storage import check_new_file
from generators import LayeredGenerator

from ..networks import Model, describe_with, load_generator, load_segmenter

Latents = Float32[Tensor, "picture z"] | Float32[Tensor, "picture num_ws w_dim"]
"""Latent vectors of images: z, or w."""

CORNERS = 4
FILM_STEPS, STRIP_STEPS, GRID_SIDE = 24, 4, 7
"""Default number of steps between images in a GIF and in a strip, and of images along each side of a grid."""

FPS = 20
MAX_FRAMES = 4096
"""Maximum number of frames of a strip or a GIF, and of images of a grid."""


@dataclass(frozen=True)
class Options:
    """Interpolate between images: as a strip, as a grid between four images, or as a looping GIF.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        pictures: Samples to interpolate between, by their index in the seed's sequence: at least 2, or 4 for a grid
            (upper left, upper right, lower left, lower right).
        out: PNG or GIF file to write; a GIF loops.
        grid: Fill a grid between four images.
        space: Space to interpolate in: z, w, or a layer, for its activations; by default w if the generator has it,
            else z.
        seed: Seed of the latent vectors, as for gandissect sample.
        classes: Name of the class to draw samples from, for a generator with classes; a path in z stays in one class.
        caption: Caption to draw samples from, in quotes, for a stackgan; by default those that it learned from.
        num_frames: Number of images in a strip or a GIF, or along each side of a grid; by default there are 4 steps
            between images in a strip and 24 in a GIF, and a grid has 7 on each side.
        even: Choose the frames so that neighbors differ by equal amounts (root mean square of pixels).
        truncation_psi: Factor on the deviation of w from its mean, for StyleGANs: 1 for no truncation, 0 for the mean
            itself.
        truncation_limit: Largest magnitude of an entry of z, for generators that do not normalize z.
        fps: Frames per second of a GIF, from 1 to 50; by default 20.
        path_length: Number of pairs of images to measure the perceptual path length over, in the same space; 0 does not
            measure it.
        segmenter: Segmenter whose encoder's features define the path length; by default the bundled one for the
            generator's kind of images.
        overwrite: Replace an existing file.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    pictures: tuple[int, ...] = (0, 1, 2, 3)
    out: Path = Path("interpolation.png")
    grid: bool = False
    space: str | None = None
    seed: int = 1
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    num_frames: int | None = None
    even: bool = False
    truncation_psi: float | None = None
    truncation_limit: float | None = None
    fps: int | None = None
    path_length: int = 0
    segmenter: str | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG or GIF, and print its path and the path length."""
        self._check()
        generator = describe_with(load_generator(self.generator, self.device, self.classes), self.caption)
        space = capabilities(generator).spaces[-1] if self.space is None else self.space
        encoder = self._load_encoder(generator, space) if self.path_length else None
        latents = self._draw_latents(generator, space)
        images = (
            generate_grid(generator, latents, self._count, self._count, space)
            if self.grid
            else self._generate_frames(generator, latents, space)
        )
        check_finite(images, range(len(images)))
        length = encoder and path_length(generator, *encoder, space, self.path_length, self.seed)
        if self._film:
            save_gif(images, self.out, self.fps or FPS, overwrite=self.overwrite)
        else:
            write_grid(images, self.out, self._count if self.grid else len(images), overwrite=self.overwrite)
        facts = {"out": str(self.out), "generator": generator.name, "space": space, "seed": self.seed}
        facts |= {"pictures": self.pictures, "num_frames": len(images), "truncation_psi": self.truncation_psi}
        facts |= {
            "truncation_limit": self.truncation_limit,
            "steps": None if self.grid else self._measure_steps(images),
        }
        if self.json:
            print(json.dumps(facts | {"path_length": None if length is None else _facts(length)}, allow_nan=False))
        else:
            print("\n".join(map(str, [self.out, *([] if length is None else [length])])))

    @property
    def _film(self) -> bool:
        return self.out.suffix.lower() == ".gif"

    @property
    def _count(self) -> int:
        """Number of frames, or of images along each side of a grid."""
        if self.num_frames is not None:
            return self.num_frames
        if self.grid:
            return GRID_SIDE
        return FILM_STEPS * len(self.pictures) if self._film else STRIP_STEPS * (len(self.pictures) - 1) + 1

    def _check(self) -> None:
        """Check the options before anything is loaded.

        Raises:
            ValueError: If an option is out of range, or options contradict each other.
        """
        if self.out.suffix.lower() not in {".png", ".gif"} or (self.grid and self._film):
            raise ValueError(f"--out must end in {'.png for a grid' if self.grid else '.png or .gif'}; got {self.out}")
        check_new_file(self.out, overwrite=self.overwrite)
        if (
            min(self.pictures, default=-1) < 0
            or len(self.pictures) < 2
            or (self.grid and len(self.pictures) != CORNERS)
        ):
            number = "exactly 4" if self.grid else "at least 2"
            raise ValueError(f"--pictures must be {number} nonnegative indices; got {list(self.pictures)}")
        max_count = isqrt(MAX_FRAMES) if self.grid else MAX_FRAMES
        if not 2 <= self._count <= max_count:
            noun = "images along each side of a grid" if self.grid else "frames"
            raise ValueError(f"--num-frames must be 2 to {max_count} {noun}; got {self._count}")
        if self.fps is not None and (not self._film or not 1 <= self.fps <= MAX_FPS):
            raise ValueError(f"--fps must be 1 to {MAX_FPS}, for a GIF only; got {self.fps} for {self.out}")
        if self.even and self.grid:
            raise ValueError("--even spaces frames along a single path, which a grid lacks; omit --even or --grid")
        if self.path_length < 0 or self.path_length == 1:
            raise ValueError(f"--path-length must be at least 2 pairs, or 0 for none; got {self.path_length}")
        if self.path_length and (self.truncation_psi is not None or self.truncation_limit is not None):
            raise ValueError("a path length needs untruncated latent vectors; omit --path-length or the truncation")

    def _draw_latents(self, generator: LayeredGenerator, space: str) -> Latents:
        """Return z, or w if truncated, of the images.

        Raises:
            ValueError: If the truncation does not apply to the generator or the space.
        """
        if self.truncation_limit is not None:
            drawn = [
                truncated_z(generator, 1, self.seed, self.truncation_limit, start=index) for index in self.pictures
            ]
        else:
            drawn = [generator.sample_z(1, self.seed, index) for index in self.pictures]
        z = torch.cat(drawn)
        if self.truncation_psi is None:
            return z
        if space == "z":
            raise ValueError("--truncation-psi acts on w, not z; omit --truncation-psi or --space z")
        return truncated_w(generator, z, self.truncation_psi)

    def _generate_frames(
        self, generator: LayeredGenerator, latents: Latents, space: str
    ) -> Float32[Tensor, "frame 3 H W"]:
        walk = Walk(generator, latents, space, closed=self._film)
        if self.even:
            return walk.images(walk.even_positions(self._count, progress=True), progress=True)
        return walk.images(walk.positions(self._count), progress=True)

    def _load_encoder(self, generator: LayeredGenerator, space: str) -> tuple[str, Features]:
        """Return the name of the network that defines the path length, and its features.

        Raises:
            ValueError: If the segmenter has no encoder, or the generator lacks the space.
        """
        check_space(generator, space)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        return segmenter.name, encoder_features(segmenter)

    def _measure_steps(self, images: Float32[Tensor, "frame 3 H W"]) -> dict[str, float]:
        """Return the pixel distances of neighboring frames; in a GIF, the last and first frames are neighbors."""
        after = images.roll(-1, 0) if self._film else images[1:]
        steps = pixel_distance(images[: len(after)], after)
        return {"mean": float(steps.mean()), "least": float(steps.min()), "most": float(steps.max())}


def _facts(length: PathLength) -> dict[str, object]:
    """Return the path length and its interval as plain values."""
    names = ("mean", "stderr", "low", "high", "network", "space", "num_samples", "num_clipped", "epsilon", "clip")
    return {name: getattr(length, name) for name in names}
