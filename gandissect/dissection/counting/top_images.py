"""The samples that activate each unit most, the pixels where the unit is on, and thumbnails of these samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from ...core.display import Displayed
from ...core.images import to_uint8
from ...stats.streaming import TensorState, prepare_merge
from ...storage.saved import check_tensor

THUMBNAIL_SIZE = 128
"""Longest side of a thumbnail, in pixels."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TopImages(Displayed):
    """The samples that activate each unit most, and masks of where the unit is on.

    Samples are ranked by the unit's maximum activation on the layer's grid. Ties go to the earlier sample.

    Args:
        samples: Indices of the samples, int64 ``[unit, rank]``, highest activation first.
        peaks: Maximum activation of the unit in each sample, float32 ``[unit, rank]``.
        size: Height and width of a mask and of a thumbnail.
        packed_masks: Masks of the pixels where the unit is on, uint8 ``[unit, rank, byte]``, row by row, eight pixels
            per byte, lowest bit first. `mask` unpacks them.
    """

    samples: Int64[Tensor, "unit rank"]
    peaks: Float32[Tensor, "unit rank"]
    size: tuple[int, int]
    packed_masks: UInt8[Tensor, "unit rank byte"]

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"size must be at least 1 x 1; got {self.size}")
        check_tensor("top samples", self.samples, torch.int64, (None, None))
        check_tensor("top peaks", self.peaks, torch.float32, tuple(self.samples.shape))
        num_bytes = (self.size[0] * self.size[1] + 7) // 8
        check_tensor("top masks", self.packed_masks, torch.uint8, (*self.samples.shape, num_bytes))

    def mask(self, unit: int, rank: int) -> Bool[Tensor, "h w"]:
        """Return the mask of a unit in its top image of a rank (from 0), bool ``[h, w]`` at the thumbnail's size."""
        bits = self.packed_masks[unit, rank][:, None] >> torch.arange(8, dtype=torch.uint8, device="cpu") & 1
        height, width = self.size
        return bits.flatten()[: height * width].bool().reshape(height, width)

    def _summarize(self) -> str:
        units, count = self.samples.shape
        return f"{count} images for each of {units} units"


def pack_masks(masks: Bool[Tensor, "*batch h w"]) -> UInt8[Tensor, "*batch byte"]:
    """Pack bool ``[..., h, w]`` into uint8 ``[..., byte]``, lowest bit first, the format of `TopImages`."""
    flat = masks.flatten(-2).to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[-1] % 8))
    octets = flat.reshape(*flat.shape[:-1], flat.shape[-1] // 8, 8)
    return (octets << torch.arange(8, dtype=torch.uint8, device=flat.device)).sum(-1, dtype=torch.uint8)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Thumbnails(Displayed):
    """Thumbnails of the top samples of all units, one per sample.

    Args:
        samples: Indices of the samples, int64 ``[image]``, strictly ascending.
        pixels: Thumbnails, uint8 ``[image, 3, h, w]``.
    """

    samples: Int64[Tensor, " image"]
    pixels: UInt8[Tensor, "image 3 h w"]

    def __post_init__(self) -> None:
        check_tensor("thumbnail samples", self.samples, torch.int64, (None,))
        check_tensor("thumbnails", self.pixels, torch.uint8, (len(self.samples), 3, None, None))
        if bool((self.samples[1:] <= self.samples[:-1]).any()):
            raise ValueError("thumbnail samples must be strictly ascending")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a thumbnail."""
        return int(self.pixels.shape[2]), int(self.pixels.shape[3])

    def __getitem__(self, sample: int) -> UInt8[Tensor, "3 h w"]:
        """Return the thumbnail of a sample, uint8 ``[3, h, w]``.

        Raises:
            KeyError: If the sample is not a top sample of any unit.
        """
        position = int(torch.searchsorted(self.samples, sample))
        if position == len(self.samples) or int(self.samples[position]) != sample:
            raise KeyError(f"sample {sample} has no thumbnail; only the samples of `top` have one")
        return self.pixels[position]

    def _summarize(self) -> str:
        return f"{len(self.samples)} pictures of {self.size[1]} x {self.size[0]} pixels"


class ThumbnailCollector:
    """A collector of the thumbnails of top samples while samples are still being counted.

    All thumbnails share one block of memory, allocated at its maximum size and sorted in place, so that there is never
    a second copy.

    Args:
        image_size: Height and width of an image.
        most: Maximum number of top samples.
    """

    def __init__(self, image_size: tuple[int, int], most: int) -> None:
        self._size = thumbnail_size(image_size)
        with torch.inference_mode(False):  # the tensor outlives the caller's inference mode
            self._pixels = torch.empty(most, 3, *self._size, dtype=torch.uint8, device="cpu")
        self._rows: dict[int, int] = {}

    def update(self, samples: range, images: Float[Tensor, "batch 3 H W"], tops: Sequence[TopSamples]) -> None:
        """Keep thumbnails of the top samples of a batch.

        Args:
            samples: Indices of the batch's samples.
            images: Images of the batch, float ``[batch, 3, H, W]`` in [-1, 1].
            tops: Top samples of each layer so far.
        """
        top_samples = _list_top_samples(tops)
        new = [sample for sample in top_samples if sample in samples]
        if new:
            small = _shrink(images[[sample - samples.start for sample in new]].float(), self._size)
            pixels = to_uint8(small).cpu()
            self._keep(new, pixels, top_samples)

    def merge(self, other: Thumbnails, tops: Sequence[TopSamples]) -> None:
        """Add those thumbnails of other samples that are top samples."""
        top_samples = _list_top_samples(tops)
        known = set(top_samples)
        rows = [row for row, sample in enumerate(other.samples.tolist()) if sample in known]
        self._keep(other.samples[rows].tolist(), other.pixels[rows], top_samples)

    def compute(self, tops: Sequence[TopSamples]) -> Thumbnails:
        """Return the thumbnails of the top samples; the next update overwrites them."""
        self._forget(_list_top_samples(tops))
        self._sort()
        count = len(self._rows)
        return Thumbnails(torch.tensor(list(self._rows), dtype=torch.int64, device="cpu"), self._pixels[:count])

    def _keep(self, samples: Sequence[int], pixels: UInt8[Tensor, "image 3 h w"], top_samples: Sequence[int]) -> None:
        """Copy thumbnails to free rows."""
        new = [index for index, sample in enumerate(samples) if sample not in self._rows]
        if len(self._rows) + len(new) > len(self._pixels):
            self._forget(top_samples)
        used = set(self._rows.values())
        free = (row for row in range(len(self._pixels)) if row not in used)
        for index, row in zip(new, free, strict=False):
            self._rows[samples[index]] = row
            self._pixels[row] = pixels[index]

    def _forget(self, top_samples: Sequence[int]) -> None:
        """Free the rows of samples that are no longer top samples."""
        kept = set(top_samples)
        self._rows = {sample: row for sample, row in self._rows.items() if sample in kept}

    def _sort(self) -> None:
        """Move the thumbnails, in place, to the first rows, in the order of their samples."""
        owners = {row: sample for sample, row in self._rows.items()}
        for target, sample in enumerate(sorted(self._rows)):
            row = self._rows[sample]
            if row == target:
                continue
            displaced = owners.get(target)
            spare = self._pixels[target].clone()
            self._pixels[target] = self._pixels[row]
            self._pixels[row] = spare
            owners[target], self._rows[sample] = sample, target
            owners.pop(row, None)
            if displaced is not None:
                owners[row], self._rows[displaced] = displaced, row
        self._rows = dict(sorted(self._rows.items()))


def _list_top_samples(tops: Sequence[TopSamples]) -> list[int]:
    """Return the top samples of all units, ascending."""
    samples: list[int] = torch.unique(torch.cat([top.compute()["samples"].flatten() for top in tops])).tolist()
    return samples


def thumbnail_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of a thumbnail: the image's size, reduced until its longer side fits."""
    scale = min(1.0, THUMBNAIL_SIZE / max(image_size))
    height, width = (max(1, math.floor(length * scale + 0.5)) for length in image_size)
    return height, width


def _shrink(images: Float32[Tensor, "batch 3 H W"], size: tuple[int, int]) -> Float32[Tensor, "batch 3 h w"]:
    """Return images resized to thumbnails."""
    if size == tuple(images.shape[2:]):
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)


class TopSamples(TensorState):
    """The samples in which each unit's activation is highest, with the unit's maps in these samples.

    Ties go to the earlier sample.

    Args:
        units: Number of units of the layer.
        size: Height and width of the layer's grid.
        count: Number of samples to keep for each unit, at least 0.
        device: Device of the tensors.
    """

    _names = ("samples", "peaks", "maps")

    def __init__(self, units: int, size: tuple[int, int], count: int, device: torch.device | str = "cpu") -> None:
        self.samples = torch.full((units, count), 2**62, dtype=torch.int64, device=device)
        self.peaks = torch.full((units, count), -torch.inf, dtype=torch.float32, device=device)
        self.maps = torch.zeros(units, count, *size, dtype=torch.float32, device=device)

    def update(
        self, samples: range, activation: Float32[Tensor, "batch unit h w"], highest: Float32[Tensor, "batch unit"]
    ) -> None:
        """Update the top samples with the activations of a batch.

        Args:
            samples: Indices of the batch's samples.
            activation: Maps of the batch, float32 ``[batch, unit, h, w]``, finite.
            highest: Maximum of each map, float32 ``[batch, unit]``.
        """
        if not (len(samples) and self.samples.shape[1]):
            return
        peaks = highest.T
        best = peaks.amax(1)
        units = (
            (best > self.peaks[:, -1]) | ((best == self.peaks[:, -1]) & (samples.start < self.samples[:, -1]))
        ).nonzero()
        units = units.squeeze(1)
        order = torch.sort(peaks[units], dim=1, descending=True, stable=True).indices[:, : self.samples.shape[1]]
        maps = activation[order, units[:, None]]
        self._keep_best(units, order + samples.start, peaks[units[:, None], order], maps)

    def merge(self, other: TopSamples) -> None:
        """Add the top samples of other samples."""
        units = torch.arange(len(self.samples), device=self.samples.device)
        peaks, maps = other.peaks.to(units.device), prepare_merge(self.maps, other.maps)
        self._keep_best(units, prepare_merge(self.samples, other.samples), peaks, maps)

    def compute(self) -> dict[str, Tensor]:
        """Return ``samples`` int64 and ``peaks`` float32 ``[unit, rank]``, and ``maps`` ``[unit, rank, h, w]``."""
        num_kept = int((self.samples[:1] < 2**62).sum())
        return {name: getattr(self, name)[:, :num_kept] for name in self._names}

    def _keep_best(self, units: Tensor, samples: Tensor, peaks: Tensor, maps: Tensor) -> None:
        """Keep the best of the current and the new samples of some units."""
        samples, peaks = torch.cat([self.samples[units], samples], 1), torch.cat([self.peaks[units], peaks], 1)
        earlier = samples.argsort(1)
        best = earlier.gather(1, torch.sort(peaks.gather(1, earlier), dim=1, descending=True, stable=True).indices)
        best = best[:, : self.samples.shape[1]]
        rows = torch.arange(len(best), device=best.device)[:, None]
        self.samples[units], self.peaks[units] = samples.gather(1, best), peaks.gather(1, best)
        self.maps[units] = torch.cat([self.maps[units], maps], 1)[rows, best]
