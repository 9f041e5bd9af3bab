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

from ..networks import Model, load_generator


@dataclass(frozen=True)
class Options:
    """Write a grid of a generator's pictures.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors).
        out: The PNG to write.
        num_samples: How many pictures, 1 to 4096.
        seed: Which sequence of pictures.
        start: Index of the first.
        columns: Pictures a row.
        truncation_psi: Of a StyleGAN, how far w goes from its mean: 1 is no truncation, 0 the mean itself.
        truncation_cutoff: In how many layers from the input on; by default in all.
        truncation_limit: Of a generator that does not normalize z, what no entry of z exceeds.
        overwrite: Replace the file, if it exists.
        device: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    generator: Model
    out: Path = Path("samples.png")
    num_samples: int = 64
    seed: int = 1
    start: int = 0
    columns: int = 8
    truncation_psi: float | None = None
    truncation_cutoff: int | None = None
    truncation_limit: float | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG and print its path."""
        if not 1 <= self.num_samples <= 4096 or self.columns < 1 or self.start < 0:
            raise ValueError(
                "need 1 to 4096 samples, 1 or more columns, a start of 0 or more; "
                f"got {self.num_samples}, {self.columns}, {self.start}"
            )
        if self.truncation_cutoff is not None and self.truncation_psi is None:
            raise ValueError("truncation_cutoff is of w; say how far it goes with --truncation-psi")
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out} is to be a PNG; give a name that ends in .png")
        check_new_file(self.out, overwrite=self.overwrite)
        generator = load_generator(self.generator, self.device)
        with torch.inference_mode():
            parts = [
                generator(self._draw_latents(generator, block)).cpu()
                for block in blocks(self.num_samples, 64, self.start)
            ]
        write_grid(torch.cat(parts), self.out, self.columns, overwrite=self.overwrite)
        facts = {"out": str(self.out), "generator": generator.name, "num_samples": self.num_samples, "seed": self.seed}
        names = ("truncation_psi", "truncation_cutoff", "truncation_limit")
        print(json.dumps(facts | {name: getattr(self, name) for name in names}) if self.json else self.out)

    def _draw_latents(
        self, generator: LayeredGenerator, block: range
    ) -> Float32[Tensor, "batch z"] | Float32[Tensor, "batch num_ws w_dim"]:
        """Return what the pictures of a block are made of: z, or w where it is truncated.

        Raises:
            ValueError: If they cannot be truncated so.
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
                "leave --truncation-psi out, or take a stylegan or stylegan2"
            )
        return truncated_w(generator, z, self.truncation_psi, self.truncation_cutoff)
