"""``gandissect mix``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from jaxtyping import Float32
from torch import Tensor

from gandissect.core.lookup import lookup
from gandissect.inference.checks import check_finite
from gandissect.latent import (
    capabilities,
    images_with_noise,
    mixing_table,
    noise_effects,
    pixel_distance,
    style_groups,
    swapping_table,
    truncated_w,
)
from gandissect.report import draw_columns, draw_noise_maps, draw_table, save_png, stack_images
from gandissect.storage import check_new_file
from generators import LayeredGenerator

from ..networks import Model, load_generator

Latents = Float32[Tensor, "_picture z"] | Float32[Tensor, "_picture num_ws w_dim"]
"""Latent vectors of pictures: z, or w."""

Block = Float32[Tensor, "row column 3 H W"]
"""A table of mixed images."""

MOST_PICTURES = 64
COLUMNS = (3, 4, 5, 6, 7)
RIGHT_HALF = (0.5, 0.0, 1.0, 1.0)
NUM_DRAWS = 16


@dataclass(frozen=True)
class Options:
    """Make a table of pictures that have something of those of their row and something of those of their column.

    With styles, those of coarse, middle and fine layers come from the column; without, the activations of a layer do,
    inside a region.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        rows: The pictures of the rows, by their index in the sequence of the seed.
        columns: Those of the columns; by default 3 4 5 6 7.
        out: The PNG to write.
        layers: With styles, the layers whose styles come from the columns, in the place of the three groups; without,
            the layers whose activations do, each in a table of its own: by default the last of each grid.
        region: Where activations come from the columns: left, top, right, bottom, as shares of the picture from 0 to 1;
            by default the right half. With styles, activations are swapped in place of styles where this is given.
        noise: Show what the noise of the layers does to the pictures of the rows instead.
        seed: Which sequence of pictures, as for gandissect sample.
        truncation_psi: Of a StyleGAN, how far w goes from its mean: 1 is no truncation, 0 the mean itself.
        overwrite: Replace the file, if it exists.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    rows: tuple[int, ...] = (0, 1, 2)
    columns: Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="INT [INT ...]")] = None
    out: Path = Path("mixed.png")
    layers: tuple[str, ...] = ()
    region: Annotated[tuple[float, float, float, float] | None, tyro.conf.arg(metavar="LEFT TOP RIGHT BOTTOM")] = None
    noise: bool = False
    seed: int = 1
    truncation_psi: float | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG, and print its path and the figures."""
        self._check()
        generator = load_generator(self.generator, self.device)
        with torch.inference_mode():
            rows, columns = self._draw_latents(generator, self.rows), self._draw_latents(generator, self._columns)
            facts = self._show_noise(generator, rows) if self.noise else self._mix(generator, rows, columns)
        record = {"out": str(self.out), "generator": generator.name, "seed": self.seed, "rows": self.rows} | facts
        print(json.dumps(record, allow_nan=False) if self.json else self.out)

    @property
    def _columns(self) -> tuple[int, ...]:
        return COLUMNS if self.columns is None else self.columns

    def _check(self) -> None:
        """Refuse what cannot be, before anything is loaded.

        Raises:
            ValueError: Saying what and why.
        """
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out} is to be a PNG; give a name that ends in .png")
        check_new_file(self.out, overwrite=self.overwrite)
        for name, indices in (("rows", self.rows), ("columns", self._columns)):
            if not 1 <= len(indices) <= MOST_PICTURES or min(indices) < 0:
                raise ValueError(f"{name} are 1 to {MOST_PICTURES} pictures by index, 0 or more; got {list(indices)}")
        left, top, right, bottom = self.region or RIGHT_HALF
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(
                f"a region is left, top, right, bottom, from 0 to 1, left of right, top above bottom; got {self.region}"
            )
        if self.noise and (self.layers or self.region or self.columns is not None):
            raise ValueError("--noise shows all layers, everywhere; leave --layers, --region and --columns out")

    def _draw_latents(self, generator: LayeredGenerator, pictures: tuple[int, ...]) -> Latents:
        """Return w of pictures if there is one, else z.

        Raises:
            ValueError: If they cannot be truncated.
        """
        z = torch.cat([generator.sample_z(1, self.seed, index) for index in pictures])
        if self.truncation_psi is None and not capabilities(generator).has_w:
            return z
        return truncated_w(generator, z, 1.0 if self.truncation_psi is None else self.truncation_psi)

    def _mix(self, generator: LayeredGenerator, rows: Latents, columns: Latents) -> dict[str, object]:
        """Write the table; return how much of its columns is in each of its blocks."""
        top, side = (generator(latents).cpu() for latents in (columns, rows))
        styles = capabilities(generator).has_w and self.region is None
        blocks = (
            self._mix_styles(generator, rows, columns) if styles else self._swap_activations(generator, rows, columns)
        )
        for images in (top, side, *(block.flatten(0, 1) for block in blocks.values())):
            check_finite(images, range(len(images)))
        save_png(draw_table(top, side, blocks), self.out, overwrite=self.overwrite)
        kind = "styles" if styles else "activations"
        tables = [{"heading": name, **_measure_distances(block, side, top)} for name, block in blocks.items()]
        return {"columns": self._columns, "mixed": kind, "tables": tables}

    def _mix_styles(self, generator: LayeredGenerator, rows: Latents, columns: Latents) -> dict[str, Block]:
        if self.layers:
            chosen: Mapping[str, tuple[int | str, ...]] = {f"styles of {', '.join(self.layers)}": self.layers}
        else:
            sides = [info.height for info in generator.layers.values()]
            chosen = {
                f"{name} styles ({_format_span(sides, styles)})": styles
                for name, styles in style_groups(generator).items()
            }
        return {name: mixing_table(generator, rows, columns, layers) for name, layers in chosen.items()}

    def _swap_activations(self, generator: LayeredGenerator, rows: Latents, columns: Latents) -> dict[str, Block]:
        last = {info.height: name for name, info in generator.layers.items()}
        region = _make_mask(self.region or RIGHT_HALF, generator.image_size)
        blocks = {}
        for layer in self.layers or last.values():
            info = lookup(generator.layers, layer, "layer")
            heading = f"{layer} ({info.height} x {info.width} px)"
            blocks[heading] = swapping_table(generator, rows, columns, layer, region)
        return blocks

    def _show_noise(self, generator: LayeredGenerator, rows: Latents) -> dict[str, object]:
        """Write the pictures with their noise, without and with another, and the map of each layer's effect."""
        effects = noise_effects(generator, rows, NUM_DRAWS, self.seed)
        columns = [generator(rows), images_with_noise(generator, rows, None)]
        columns += [images_with_noise(generator, rows, self.seed + offset) for offset in range(2)]
        pictures = torch.stack([images.cpu() for images in columns], dim=1)
        examples = draw_columns(["own noise", "none", "other", "other"], pictures)
        save_png(stack_images([examples, draw_noise_maps(effects)]), self.out, overwrite=self.overwrite)
        return {"num_draws": effects.num_draws, "noise": effects.of_layers}


def _make_mask(region: tuple[float, float, float, float], size: tuple[int, int]) -> Float32[Tensor, "H W"]:
    """Return a region as a mask on the image, at least a pixel."""
    (left, top, right, bottom), (height, width) = region, size
    mask = torch.zeros(size, dtype=torch.float32, device="cpu")
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    mask[y : max(y + 1, round(bottom * height)), x : max(x + 1, round(right * width))] = 1
    return mask


def _format_span(sides: list[int], styles: tuple[int, ...]) -> str:
    """Return the grids of styles' layers, e.g. ``4 to 8 px``."""
    own = [sides[min(style, len(sides) - 1)] for style in styles]
    return f"{own[0]} px" if own[0] == own[-1] else f"{own[0]} to {own[-1]} px"


def _measure_distances(
    block: Block, side: Float32[Tensor, "row 3 H W"], top: Float32[Tensor, "column 3 H W"]
) -> dict[str, float]:
    """Return how far mixed pictures are from those of their row and of their column, on average."""
    from_row = pixel_distance(block.flatten(0, 1), side.repeat_interleave(len(top), 0))
    from_column = pixel_distance(block.flatten(0, 1), top.repeat(len(side), 1, 1, 1))
    return {"from_row": float(from_row.mean()), "from_column": float(from_column.mean())}
