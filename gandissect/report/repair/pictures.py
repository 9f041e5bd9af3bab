"""Pictures of a repair's report: images before and after, and images that activate the units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import Repair
from ...core.images import to_uint8
from ...core.protocols import Generator
from ...core.rows import limit_rows
from ...inference.upsampling import upsample
from ...interventions.apply import generate
from ...interventions.edits import Insertion
from ..regions import data_uri, highlight
from .tables import format_signed

NUM_RANDOM, NUM_EXTREME = 16, 8
"""Number of held-out images shown, and of the least and the most realistic ones."""

NUM_UNITS, NUM_CROPS = 12, 5
"""Number of units shown, and of images of each."""

NUM_CHANGED = 128
"""Number of images over which changes are averaged."""

COLUMNS = 4
"""Number of images side by side in a block."""

SIDE = 128
"""Maximum length, in pixels, of the longer side of an enlarged image."""

MAX_AMPLIFICATION = 64
"""Maximum factor by which differences are multiplied, so that they can be seen."""

BRIGHT = 0.95
"""Share of the differing pixels that the factor does not saturate."""

ImagePairs = tuple[UInt8[Tensor, "image 3 H W"], UInt8[Tensor, "image 3 H W"]]
"""Images before and after a repair."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of images in one picture.

    Args:
        pixels: uint8 ``[4, height, width]``.
    """

    pixels: UInt8[Tensor, "4 height width"]

    @property
    def picture(self) -> str:
        """The picture as a ``data:`` address."""
        return data_uri(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[2], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures with a title, in one or more blocks with the same rows.

    Args:
        title: Title of the pictures.
        labels: Label of each row of a block; empty for rows that need none.
        blocks: Blocks of images.
    """

    title: str
    labels: tuple[str, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class UnitPictures:
    """Images that activate a unit most.

    Args:
        unit: Channel index of the unit.
        measures: What the ranking measured of the unit.
        block: The images, one row.
    """

    unit: int
    measures: str
    block: Block


@dataclass(frozen=True, slots=True)
class RepairPictures:
    """Makes the pictures of a report."""

    generator: Generator
    edit: Insertion
    repair: Repair
    ranking: ArtifactRanking | None

    @torch.inference_mode()
    def pairs(self, samples: Sequence[int], seed: int) -> ImagePairs:
        """Return images of samples before and after the repair, uint8 ``[image, 3, H, W]``."""
        z = self._latents(samples, seed)
        before, after = self.generator(z), generate(self.generator, z, [self.edit])
        return _to_pixels(before), _to_pixels(after)

    @property
    def _num_changed(self) -> int:
        return limit_rows(self.generator, NUM_CHANGED)

    def random(self) -> ImagePairs:
        """Return pairs of the first images of the measurement."""
        return self.pairs(range(limit_rows(self.generator, NUM_RANDOM)), self.repair.sample_seed)

    def extremes(self, *, worst: bool) -> ImagePairs:
        """Return pairs of the images with the lowest or highest realism before the repair."""
        order = self.repair.realism_before.argsort(descending=not worst, stable=True)[:NUM_EXTREME]
        return self.pairs(order.tolist(), self.repair.sample_seed)

    def changes(self) -> Float[Tensor, "H W"]:
        """Return the mean absolute change of each pixel, float ``[H, W]``, in units of 1/255."""
        before, after = self.pairs(range(self._num_changed), self.repair.sample_seed)
        return (after.float() - before.float()).abs().mean(dim=(0, 1))

    def strips(self) -> list[Strip]:
        """Return the pictures of images before and after the repair."""
        before, after = self.random()
        difference = (after.int() - before.int()).abs()
        factor = choose_amplification(difference)
        difference = difference.mul(factor).clamp(max=255).byte()
        title = f"The first {len(before)} images of the held-out seed"
        labels = ("before", "after", f"difference \N{MULTIPLICATION SIGN} {factor}")
        strips = [Strip(title, labels, _tile_blocks([before, after, difference]))]
        for name, worst in (("lowest", True), ("highest", False)):
            title = f"The {NUM_EXTREME} images with the {name} realism before the repair"
            strips.append(Strip(title, ("before", "after"), _tile_blocks(self.extremes(worst=worst))))
        heat = self.changes()
        share = heat / heat.max().clamp(min=1e-9)
        picture = (share * 255).byte().expand(1, 3, -1, -1)
        white = f"{float(heat.max()):.1f} of 255"
        title = f"Where pixels change, mean of {self._num_changed} images; white is a change of {white}"
        strips.append(Strip(title, (), (Block(tile_images([picture])),)))
        return strips

    @torch.inference_mode()
    def units(self) -> list[UnitPictures]:
        """Return pictures of the first units of the repair, with what the ranking measured of them."""
        if self.ranking is None:
            return []
        records = {record["unit"]: record for record in self.ranking.records()}
        units = []
        for unit in self.repair.units.units[:NUM_UNITS]:
            record = records[unit]
            names = {"effect": "effect", "distance": "excess", "realism": "realism_correlation"}
            measures = [f"{name} {format_signed(record[key])}" for name, key in names.items() if key in record]
            block = Block(tile_images([self._highlight_unit(self.ranking, unit)]))
            units.append(UnitPictures(unit, ", ".join(measures), block))
        return units

    def _highlight_unit(self, ranking: ArtifactRanking, unit: int) -> Tensor:
        """Return a unit's top images, each outlined where the unit is above the middle of its range in that image."""
        samples = ranking.top_samples[unit, :NUM_CROPS].tolist()
        z = self._latents(samples, ranking.sample_seed)
        maps = upsample(self.generator.head(z, ranking.layer)[:, [unit]].float(), self.generator.image_size)[:, 0]
        middle = (maps.amax(dim=(1, 2), keepdim=True) + maps.amin(dim=(1, 2), keepdim=True)) / 2
        return highlight(_to_pixels(self.generator(z)), (maps > middle).cpu())

    def _latents(self, samples: Sequence[int], seed: int) -> Tensor:
        return torch.cat([self.generator.sample_z(1, seed, sample) for sample in samples]).to(self.generator.device)


def choose_amplification(differences: Int[Tensor, "image 3 H W"]) -> int:
    """Return the largest power of 2 that saturates few of the pixels that differ."""
    changed = differences[differences > 0].sort().values
    if not len(changed):
        return 1
    peak = int(changed[int(BRIGHT * (len(changed) - 1))])
    return int(min(2 ** int(math.log2(255 / peak)), MAX_AMPLIFICATION))


def _to_pixels(images: Tensor) -> Tensor:
    return to_uint8(images.float()).cpu()


def _tile_blocks(rows: Sequence[UInt8[Tensor, "image 3 H W"]]) -> tuple[Block, ...]:
    """Return rows of images, cut into blocks of `COLUMNS`."""
    starts = range(0, len(rows[0]), COLUMNS)
    return tuple(Block(tile_images([row[start : start + COLUMNS] for row in rows])) for start in starts)


def tile_images(rows: Sequence[UInt8[Tensor, "_ 3 _ _"]], gap: int = 2) -> UInt8[Tensor, "4 height width"]:
    """Return rows of images, uint8 ``[image, 3, H, W]`` each, as one picture ``[4, height, width]``."""
    lines = []
    for row in rows:
        scale = max(1, SIDE // max(row.shape[2:]))
        large = interpolate(row.float(), scale_factor=scale, mode="nearest").byte()
        framed = torch.zeros(len(large), 4, large.shape[2] + gap, large.shape[3] + gap, dtype=torch.uint8, device="cpu")
        framed[:, :3, :-gap, :-gap], framed[:, 3, :-gap, :-gap] = large, 255
        lines.append(torch.cat(list(framed), dim=2))
    return torch.cat(lines, dim=1)
