"""``gandissect sample``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from gandissect.core.sampling import blocks
from gandissect.latent import capabilities, truncated_w, truncated_z
from gandissect.report import write_grid
from gandissect.storage import check_new_file
from generators import LayeredGenerator

from ..networks import Model, describe_with, limit_samples, load_generator


@dataclass(frozen=True)
class Options:
    """Write a grid of a generator's images.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder (its best.safetensors if
            present, else generator.safetensors).
        out: PNG file to write.
        num_samples: Number of images, 1 to 4096.
        seed: Seed of the latent vectors.
        start: Index of the first sample in the seed's sequence.
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        classes: Names of the classes to draw samples from, for a generator with classes; by default all of them.
        caption: Captions to draw samples from, each in quotes, for a stackgan; by default those that it learned from.
        columns: Number of images per row.
        truncation_psi: Factor on the deviation of w from its mean, for StyleGANs: 1 for no truncation, 0 for the mean
            itself.
        truncation_cutoff: Number of layers to truncate, counted from the input; by default all.
        truncation_limit: Largest magnitude of an entry of z, for generators that do not normalize z.
        overwrite: Replace an existing file.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print a summary as JSON.
    """

    generator: Model
    out: Path = Path("samples.png")
    num_samples: int = 64
    seed: int = 1
    start: int = 0
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    columns: int = 8
    truncation_psi: float | None = None
    truncation_cutoff: int | None = None
    truncation_limit: float | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG and print its path."""
        if not 1 <= self.num_samples <= 4096:
            raise ValueError(f"--num-samples must be 1 to 4096; got {self.num_samples}")
        if self.columns < 1 or self.start < 0:
            raise ValueError(f"--columns must be at least 1, --start at least 0; got {self.columns}, {self.start}")
        if self.truncation_cutoff is not None and self.truncation_psi is None:
            raise ValueError("--truncation-cutoff needs --truncation-psi, the strength of the truncation")
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"--out must end in .png; got {self.out}")
        check_new_file(self.out, overwrite=self.overwrite)
        generator = describe_with(load_generator(self.generator, self.device, self.classes, self.inputs), self.caption)
        if generator.image_size == (1, 1):
            raise ValueError(
                f"{generator.name} makes points in the plane, not images; its training folder has pictures of them, "
                "samples-*.png"
            )
        count = limit_samples(generator, self.start + self.num_samples) - self.start
        if count < 1:
            raise ValueError(f"--start must be below {self.start + count}, the number of pictures; got {self.start}")
        with torch.inference_mode():
            parts = [generator(self._draw_latents(generator, block)).cpu() for block in blocks(count, 64, self.start)]
        write_grid(torch.cat(parts), self.out, self.columns, overwrite=self.overwrite)
        facts = {"out": str(self.out), "generator": generator.name, "num_samples": count, "seed": self.seed}
        facts |= {"classes": self.classes} if self.classes else {}
        facts |= {"caption": self.caption} if self.caption else {}
        names = ("truncation_psi", "truncation_cutoff", "truncation_limit")
        print(json.dumps(facts | {name: getattr(self, name) for name in names}) if self.json else self.out)

    def _draw_latents(
        self, generator: LayeredGenerator, block: range
    ) -> Float32[Tensor, "batch z"] | Float32[Tensor, "batch num_ws w_dim"]:
        """Return the latent vectors of a block of samples: z, or w if truncated.

        Raises:
            ValueError: If the truncation does not apply to the generator.
        """
        if self.truncation_limit is not None:
            z = truncated_z(generator, len(block), self.seed, self.truncation_limit, start=block.start)
        else:
            z = generator.sample_z(len(block), self.seed, block.start)
        if self.truncation_psi is None:
            return z
        if not capabilities(generator).has_w:
            raise ValueError(
                f"{generator.name!r} is a {generator.architecture} and has no w to truncate; "
                "omit --truncation-psi, or use a stylegan or stylegan2"
            )
        return truncated_w(generator, z, self.truncation_psi, self.truncation_cutoff)
