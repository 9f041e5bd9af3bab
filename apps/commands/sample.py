"""``gandissect sample``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import save_image

from gandissect.files import atomic_path
from gandissect.sampling import blocks
from generators import LayeredGenerator
from generators.stylegan import StyleGenerator

from ..networks import load_generator


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
        device: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    generator: str
    out: Path = Path("samples.png")
    num_samples: int = 64
    seed: int = 1
    start: int = 0
    columns: int = 8
    truncation_psi: float | None = None
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG and print its path."""
        if not 1 <= self.num_samples <= 4096 or self.columns < 1 or self.start < 0:
            raise ValueError("need 1 to 4096 samples, 1 or more columns, a start of 0 or more; "
                             f"got {self.num_samples}, {self.columns}, {self.start}")  # fmt: skip
        if self.truncation_psi is not None and not math.isfinite(self.truncation_psi):
            raise ValueError(f"truncation_psi is a number, by custom from 0 to 1; got {self.truncation_psi}")
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out} is to be a PNG; give a name that ends in .png")
        generator = load_generator(self.generator, self.device)
        with torch.inference_mode():
            parts = [
                generator(self._latent(generator, block)).cpu() for block in blocks(self.num_samples, 64, self.start)
            ]
        with atomic_path(self.out) as temporary:
            grid = torch.cat(parts)
            save_image(grid, temporary, nrow=self.columns, normalize=True, value_range=(-1, 1), format="png")
        facts = {"out": str(self.out), "generator": generator.name, "num_samples": self.num_samples, "seed": self.seed}
        print(json.dumps(facts | {"truncation_psi": self.truncation_psi}) if self.json else self.out)

    def _latent(self, generator: LayeredGenerator, block: range) -> Tensor:
        """Return what the pictures of a block are made of: z, or w where it is truncated.

        Raises:
            ValueError: If there is no w.
        """
        z = generator.sample_z(len(block), self.seed, block.start)
        if self.truncation_psi is None:
            return z
        if not isinstance(generator, StyleGenerator):
            raise ValueError(
                f"{generator.name!r} is a {generator.architecture} and has no w to truncate; "
                "leave --truncation-psi out, or take a stylegan or stylegan2"
            )
        return generator.mapping(z, self.truncation_psi)
