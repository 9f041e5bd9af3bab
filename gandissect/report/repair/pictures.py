"""The pictures of a repair's report: images before and after, and what units draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from ...artifacts.ranking import ArtifactRanking
from ...artifacts.results import Repair
from ...core.images import to_uint8
from ...core.protocols import Generator
from ...inference.upsampling import upsample
from ...interventions.apply import generate
from ...interventions.edits import Insertion
from ..regions import data_uri, highlight

NUM_RANDOM, NUM_EXTREME = 16, 8
"""Held-out images shown, and worst and best ones."""

NUM_UNITS, NUM_CROPS = 12, 5
"""Units shown, and images of each."""

NUM_CHANGED = 128
"""Images over which changes are averaged."""

COLUMNS = 8
"""Pictures side by side."""

SIDE = 128
"""Pixels of the longer side of a picture, at most, if it is enlarged."""

ImagePairs = tuple[UInt8[Tensor, "image 3 H W"], UInt8[Tensor, "image 3 H W"]]
"""Images before and after a repair."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures side by side, in one or several rows.

    Args:
        title: What they are.
        pixels: uint8 ``[4, height, width]``.
    """

    title: str
    pixels: UInt8[Tensor, "4 height width"]

    @property
    def picture(self) -> str:
        """As a ``data:`` address."""
        return data_uri(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[2], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class RepairPictures:
    """The pictures of a report."""

    generator: Generator
    edit: Insertion
    repair: Repair
    ranking: ArtifactRanking | None

    @torch.inference_mode()
    def pairs(self, samples: Sequence[int], seed: int) -> ImagePairs:
        """Return images of some samples before and after, uint8 ``[image, 3, H, W]``."""
        z = self._latents(samples, seed)
        before, after = self.generator(z), generate(self.generator, z, [self.edit])
        return _to_pixels(before), _to_pixels(after)

    def random(self) -> ImagePairs:
        """Return the first images of the measurement."""
        return self.pairs(range(NUM_RANDOM), self.repair.sample_seed)

    def extremes(self, *, worst: bool) -> ImagePairs:
        """Return the images of least or of most realism before."""
        order = self.repair.realism_before.argsort(descending=not worst, stable=True)[:NUM_EXTREME]
        return self.pairs(order.tolist(), self.repair.sample_seed)

    def changes(self) -> Float[Tensor, "H W"]:
        """Return where pixels change: the mean difference over images, float ``[H, W]`` in steps of 1/255."""
        before, after = self.pairs(range(NUM_CHANGED), self.repair.sample_seed)
        return (after.float() - before.float()).abs().mean(dim=(0, 1))

    def strips(self) -> list[Strip]:
        """Return the rows of pictures."""
        before, after = self.random()
        difference = (after.int() - before.int()).abs().mul(2).clamp(max=255).byte()
        blocks = [slice(start, start + COLUMNS) for start in range(0, NUM_RANDOM, COLUMNS)]
        lines = [images[block] for block in blocks for images in (before, after, difference)]
        first = f"The first {NUM_RANDOM} images of the held-out seed, not chosen"
        strips = [Strip(f"{first}: before, after, and the difference, twice as bright", tile_images(lines))]
        for name, worst in (("lowest", True), ("highest", False)):
            title = f"The {NUM_EXTREME} images of {name} realism before the repair: before, after"
            strips.append(Strip(title, tile_images(self.extremes(worst=worst))))
        heat = self.changes()
        share = heat / heat.max().clamp(min=1e-9)
        picture = (share * 255).byte().expand(1, 3, -1, -1)
        title = f"Where pixels change: mean over {NUM_CHANGED} images, brightest {float(heat.max()):.1f} of 255"
        strips.append(Strip(title, tile_images([picture])))
        return strips

    @torch.inference_mode()
    def units(self) -> list[tuple[int, str, Strip]]:
        """Return the worst units, what was measured of them, and the images that activate them most."""
        if self.ranking is None:
            return []
        records = {record["unit"]: record for record in self.ranking.records()}
        units = []
        for unit in self.repair.units.units[:NUM_UNITS]:
            record = records[unit]
            words = f"distance {record['excess']:+.2f}, realism {record['realism_correlation']:+.2f}"
            if "effect" in record:
                words = f"effect {record['effect']:+.2f}, {words}"
            pictures = tile_images([self._highlight_unit(self.ranking, unit)])
            units.append((unit, words, Strip(f"Unit {unit}: the images that activate it most", pictures)))
        return units

    def _highlight_unit(self, ranking: ArtifactRanking, unit: int) -> Tensor:
        """Return a unit's top images, with what is above the middle of its range in each outlined."""
        samples = ranking.top_samples[unit, :NUM_CROPS].tolist()
        z = self._latents(samples, ranking.sample_seed)
        maps = upsample(self.generator.head(z, ranking.layer)[:, [unit]].float(), self.generator.image_size)[:, 0]
        middle = (maps.amax(dim=(1, 2), keepdim=True) + maps.amin(dim=(1, 2), keepdim=True)) / 2
        return highlight(_to_pixels(self.generator(z)), (maps > middle).cpu())

    def _latents(self, samples: Sequence[int], seed: int) -> Tensor:
        return torch.cat([self.generator.sample_z(1, seed, sample) for sample in samples]).to(self.generator.device)


def _to_pixels(images: Tensor) -> Tensor:
    return to_uint8(images.float()).cpu()


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
