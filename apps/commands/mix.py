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
"""Latent vectors of images: z, or w."""

Block = Float32[Tensor, "row column 3 H W"]
"""A table of mixed images."""

MAX_PICTURES = 64
COLUMNS = (3, 4, 5, 6, 7)
RIGHT_HALF = (0.5, 0.0, 1.0, 1.0)
NUM_DRAWS = 16


@dataclass(frozen=True)
class Options:
    """Render a table of images that each combine the image of their row with the image of their column.

    In a StyleGAN, the styles of the coarse, middle or fine layers come from the column; in other generators, the
    activations of a layer do, inside a region.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        rows: Samples of the rows, by their index in the seed's sequence.
        columns: Samples of the columns, by their index in the seed's sequence; by default 3 4 5 6 7.
        out: PNG file to write.
        layers: Layers whose styles come from the columns, by default in groups of coarse, middle and fine layers; in a
            generator without styles, layers whose activations do, one table each, by default the last layer of each
            resolution.
        region: Region where activations come from the columns, as shares of the image from 0 to 1; by default the right
            half. In a StyleGAN, a region swaps activations instead of styles.
        noise: Show the effect of the layers' noise on the images of the rows instead.
        seed: Seed of the latent vectors, as for gandissect sample.
        truncation_psi: Factor on the deviation of w from its mean, for StyleGANs: 1 for no truncation, 0 for the mean
            itself.
        overwrite: Replace an existing file.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    rows: tuple[int, ...] = (0, 1, 2)
    columns: tuple[int, ...] | None = None
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
        """Write the PNG, and print its path."""
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
        """Check the options before anything is loaded.

        Raises:
            ValueError: If an option is out of range, or options contradict each other.
        """
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"--out must end in .png; got {self.out}")
        check_new_file(self.out, overwrite=self.overwrite)
        for name, indices in (("rows", self.rows), ("columns", self._columns)):
            if not 1 <= len(indices) <= MAX_PICTURES or min(indices) < 0:
                raise ValueError(f"--{name} must be 1 to {MAX_PICTURES} nonnegative indices; got {list(indices)}")
        left, top, right, bottom = self.region or RIGHT_HALF
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(
                "--region must be LEFT TOP RIGHT BOTTOM in [0, 1], with LEFT < RIGHT and TOP < BOTTOM; "
                f"got {self.region}"
            )
        if self.noise and (self.layers or self.region or self.columns is not None):
            raise ValueError("--noise covers all layers and the whole image; omit --layers, --region and --columns")

    def _draw_latents(self, generator: LayeredGenerator, pictures: tuple[int, ...]) -> Latents:
        """Return w of the images if the generator has it, else z.

        Raises:
            ValueError: If the generator has no w to truncate.
        """
        z = torch.cat([generator.sample_z(1, self.seed, index) for index in pictures])
        if self.truncation_psi is None and not capabilities(generator).has_w:
            return z
        return truncated_w(generator, z, 1.0 if self.truncation_psi is None else self.truncation_psi)

    def _mix(self, generator: LayeredGenerator, rows: Latents, columns: Latents) -> dict[str, object]:
        """Write the table; return the distances of each block from its rows and columns."""
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
            groups: Mapping[str, tuple[int | str, ...]] = {f"styles of {', '.join(self.layers)}": self.layers}
        else:
            sides = [info.height for info in generator.layers.values()]
            groups = {
                f"{name} styles ({_format_span(sides, styles)})": styles
                for name, styles in style_groups(generator).items()
            }
        return {name: mixing_table(generator, rows, columns, layers) for name, layers in groups.items()}

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
        """Write the images with their own noise, without and with other noise, and maps of each layer's effect."""
        effects = noise_effects(generator, rows, NUM_DRAWS, self.seed)
        columns = [generator(rows), images_with_noise(generator, rows, None)]
        columns += [images_with_noise(generator, rows, self.seed + offset) for offset in range(2)]
        pictures = torch.stack([images.cpu() for images in columns], dim=1)
        examples = draw_columns(["own noise", "none", "other", "other"], pictures)
        save_png(stack_images([examples, draw_noise_maps(effects)]), self.out, overwrite=self.overwrite)
        return {"num_draws": effects.num_draws, "noise": effects.of_layers}


def _make_mask(region: tuple[float, float, float, float], size: tuple[int, int]) -> Float32[Tensor, "H W"]:
    """Return a region as a mask on the image, at least one pixel in size."""
    (left, top, right, bottom), (height, width) = region, size
    mask = torch.zeros(size, dtype=torch.float32, device="cpu")
    x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
    mask[y : max(y + 1, round(bottom * height)), x : max(x + 1, round(right * width))] = 1
    return mask


def _format_span(sides: list[int], styles: tuple[int, ...]) -> str:
    """Return the range of the grids of styles' layers, e.g. ``4 to 8 px``."""
    first, last = (sides[min(style, len(sides) - 1)] for style in (styles[0], styles[-1]))
    return f"{first} px" if first == last else f"{first} to {last} px"


def _measure_distances(
    block: Block, side: Float32[Tensor, "row 3 H W"], top: Float32[Tensor, "column 3 H W"]
) -> dict[str, float]:
    """Return the mean pixel distances of mixed images from the images of their row and of their column."""
    from_row = pixel_distance(block.flatten(0, 1), side.repeat_interleave(len(top), 0))
    from_column = pixel_distance(block.flatten(0, 1), top.repeat(len(side), 1, 1, 1))
    return {"from_row": float(from_row.mean()), "from_column": float(from_column.mean())}
