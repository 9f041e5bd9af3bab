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

from ..networks import Model, load_generator, load_segmenter

Latents = Float32[Tensor, "picture z"] | Float32[Tensor, "picture num_ws w_dim"]
"""Latent vectors of pictures: z, or w."""

CORNERS = 4
FILM_STEPS, STRIP_STEPS, GRID_SIDE = 24, 4, 7
"""Steps from one picture to the next in a film and in a strip, and pictures along each side of a grid, by default."""

FPS = 20
MAX_FRAMES = 4096
"""Of a strip or a film, and pictures of a whole grid."""


@dataclass(frozen=True)
class Options:
    """Show the way from picture to picture: as a strip, as a grid between four, or as a film that ends where it began.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        pictures: The pictures that it leads through, by their index in the sequence of the seed: 2 or more, 4 of a grid
            (upper left, upper right, lower left, lower right).
        out: The PNG to write, or the GIF of a film.
        grid: Fill a grid between four pictures.
        space: z, w, or the name of a layer, through whose activations it leads; by default w if there is one.
        seed: Which sequence of pictures, as for gandissect sample.
        num_frames: Pictures of a strip, of a film, or along each side of a grid; by default 4 steps in a strip and 24
            in a film from one picture to the next, and 7 along a side.
        even: Choose the frames so that neighbors differ by equally much (root mean square of pixels).
        truncation_psi: Of a StyleGAN, how far w goes from its mean: 1 is no truncation, 0 the mean itself.
        truncation_limit: Of a generator that does not normalize z, what no entry of z exceeds.
        fps: Frames a second of a film, 1 to 50; by default 20.
        path_length: Measure the perceptual path length in that space too, over so many pairs of pictures.
        segmenter: Over the features of whose encoder; by default of the one made for such pictures.
        overwrite: Replace the file, if it exists.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    pictures: tuple[int, ...] = (0, 1, 2, 3)
    out: Path = Path("interpolation.png")
    grid: bool = False
    space: str | None = None
    seed: int = 1
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
        """Write the picture or the film, and print its path and the figures."""
        self._check()
        generator = load_generator(self.generator, self.device)
        space = capabilities(generator).spaces[-1] if self.space is None else self.space
        encoder = self._load_encoder(generator, space) if self.path_length else None
        latents = self._draw_latents(generator, space)
        images = (
            generate_grid(generator, latents, self._count, self._count, space)
            if self.grid
            else self._make_frames(generator, latents, space)
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
        """Frames, or pictures along each side of a grid."""
        if self.num_frames is not None:
            return self.num_frames
        if self.grid:
            return GRID_SIDE
        return FILM_STEPS * len(self.pictures) if self._film else STRIP_STEPS * (len(self.pictures) - 1) + 1

    def _check(self) -> None:
        """Refuse what cannot be, before anything is loaded.

        Raises:
            ValueError: Saying what and why.
        """
        if self.out.suffix.lower() not in {".png", ".gif"} or (self.grid and self._film):
            wanted = "a PNG; give a name that ends in .png" if self.grid else "a PNG or a GIF, and its name to end so"
            raise ValueError(f"{self.out} is to be {wanted}")
        check_new_file(self.out, overwrite=self.overwrite)
        if (
            min(self.pictures, default=-1) < 0
            or len(self.pictures) < 2
            or (self.grid and len(self.pictures) != CORNERS)
        ):
            raise ValueError(
                f"name 2 pictures or more by their index, 0 or more, and 4 of a grid; got {list(self.pictures)}"
            )
        most = isqrt(MAX_FRAMES) if self.grid else MAX_FRAMES
        if not 2 <= self._count <= most:
            wanted = f"2 to {most} {'pictures along each side' if self.grid else 'frames'}"
            raise ValueError(f"need {wanted}; got {self._count}")
        if self.fps is not None and (not self._film or not 1 <= self.fps <= MAX_FPS):
            raise ValueError(f"--fps is 1 to {MAX_FPS} frames a second of a GIF; got {self.fps} for {self.out}")
        if self.even and self.grid:
            raise ValueError("frames are made even along one way; a grid has many, so leave --even or --grid out")
        if self.path_length < 0 or self.path_length == 1:
            raise ValueError(f"path_length is a number of pairs, 2 or more, or 0 for none; got {self.path_length}")
        if self.path_length and (self.truncation_psi is not None or self.truncation_limit is not None):
            raise ValueError("a path length is of latent vectors as they come; leave it or the truncation out")

    def _draw_latents(self, generator: LayeredGenerator, space: str) -> Latents:
        """Return z, or w, of the pictures.

        Raises:
            ValueError: If they cannot be truncated so.
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
            raise ValueError("a way through z is not truncated in w; leave --truncation-psi or --space z out")
        return truncated_w(generator, z, self.truncation_psi)

    def _make_frames(self, generator: LayeredGenerator, latents: Latents, space: str) -> Float32[Tensor, "frame 3 H W"]:
        walk = Walk(generator, latents, space, closed=self._film)
        if self.even:
            return walk.images(walk.even_positions(self._count, progress=True), progress=True)
        return walk.images(walk.positions(self._count), progress=True)

    def _load_encoder(self, generator: LayeredGenerator, space: str) -> tuple[str, Features]:
        """Return the network that the path length is measured over, and its features, before anything is drawn.

        Raises:
            ValueError: If there is none, or no path length in that space.
        """
        check_space(generator, space)
        segmenter = load_segmenter(self.segmenter or segmenters.find_for(generator.name), self.device)
        return segmenter.name, encoder_features(segmenter)

    def _measure_steps(self, images: Float32[Tensor, "frame 3 H W"]) -> dict[str, float]:
        """Return how far neighboring frames are apart; in a film, the first comes after the last."""
        after = images.roll(-1, 0) if self._film else images[1:]
        steps = pixel_distance(images[: len(after)], after)
        return {"mean": float(steps.mean()), "least": float(steps.min()), "most": float(steps.max())}


def _facts(length: PathLength) -> dict[str, object]:
    """Return the path length and its interval as plain values."""
    names = ("mean", "stderr", "low", "high", "network", "space", "num_samples", "num_clipped", "epsilon", "clip")
    return {name: getattr(length, name) for name in names}
