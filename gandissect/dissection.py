"""Dissecting a generator: which concept does each unit agree with?

Three looks at the same samples, none of which needs memory that grows with their number:

1. a *pilot* over the first samples guesses where each unit's threshold lies;
2. histograms narrow that down, until the threshold lies among few enough pixels;
3. the segmenter labels the images, and pixels are counted; those few pixels are kept until the threshold,
   now exact, says on which side they lie.

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .batches import LabelledBatch, Source
from .matching import pixels_above, upsample
from .names import unknown
from .protocols import Generator, Segmenter, check_protocols
from .quantiles import Brackets, from_keys, rank_of
from .results import Dissection, LayerDissection, Provenance, installed_versions
from .stats import OpenPixels, PixelCounts, TopSamples
from .thresholds import Target, find_brackets
from .top_images import Thumbnails, TopImages, pack_masks
from .types import Concept

logger = logging.getLogger(__name__)

THUMBNAIL_SIZE = 128
"""Longest side of a thumbnail, in pixels."""


def dissect(
    generator: Generator,
    segmenter: Segmenter,
    layers: Sequence[str] | str | None = None,
    num_samples: int = 1_000,
    seed: int = 0,
    *,
    quantile: float = 0.01,
    batch_size: int = 32,
    top_images: int = 5,
    progress: bool = True,
) -> Dissection:
    """Match the units of a generator's layers with a segmenter's concepts.

    A unit's activations are upsampled bilinearly to the label map. It is on where it is strictly above its
    threshold ``t``: of its N values, at all pixels of all samples, the one of descending rank
    ``floor(quantile N) + 1``, exactly; so it is on at most at ``quantile N`` pixels. Then, over all pixels,

        IoU[c, u] = |on_u and c| / |on_u or c|,  0 if the union is empty.

    An unlabelled pixel counts in a unit's area and belongs to no concept.

    Args:
        generator: A `Generator`; all runs on its device.
        segmenter: A `Segmenter` for its images.
        layers: Names of layers, or one name; all layers if None.
        num_samples: Latent vectors, 1 or more: those of index 0 to ``num_samples - 1``.
        seed: Of the latent vectors.
        quantile: Share of all pixels on which a unit is on, above 0 and below 1.
        batch_size: Samples at once, 1 or more.
        top_images: Images to keep for each unit, 0 or more.
        progress: Show progress bars.

    Returns:
        The result, on CPU.

    Raises:
        KeyError: If the generator has no such layer, naming the nearest match.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, an activation is not finite, or a label map is not one.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    started = time.monotonic()
    check_protocols(generator, segmenter)
    _check_numbers(num_samples, batch_size, top_images)
    names = _chosen_layers(generator, layers)
    size = generator.image_size
    target = Target(rank_of(quantile, num_samples * size[0] * size[1]), num_samples, size)
    source = Source(generator, names, int(seed), batch_size, progress)
    with torch.inference_mode():
        tops = {name: _new_top(source, name, top_images) for name in names}
        brackets = find_brackets(source, target, tops)
        evidence = _count(source, segmenter, target, brackets, tops)
    concepts = tuple(segmenter.concepts)
    found = tuple(_layer_result(name, generator, concepts, evidence) for name in names)
    duration = time.monotonic() - started
    logger.info("dissected %s: %d layers, %d samples, %.1f s", generator.name, len(names), num_samples, duration)
    provenance = Provenance(
        generator=generator.name,
        generator_fingerprint=generator.fingerprint,
        segmenter=segmenter.name,
        segmenter_fingerprint=segmenter.fingerprint,
        seed=int(seed),
        num_samples=num_samples,
        quantile=float(quantile),
        batch_size=batch_size,
        label_size=(int(size[0]), int(size[1])),
        device=str(generator.device),
        versions=installed_versions(),
        duration=duration,
    )
    thumbnails = Thumbnails(evidence.thumbnails.samples.clone(), evidence.thumbnails.pixels.clone())
    return Dissection(found, concepts, thumbnails, provenance)


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """What the passes over the samples have found, by layer where it differs between layers."""

    counts: dict[str, PixelCounts]
    thresholds: dict[str, Tensor]
    tops: dict[str, TopSamples]
    thumbnails: Thumbnails


def _check_numbers(num_samples: int, batch_size: int, top_images: int) -> None:
    """Raise ValueError if a number is out of range."""
    for name, value, least in (
        ("num_samples", num_samples, 1),
        ("batch_size", batch_size, 1),
        ("top_images", top_images, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is a whole number, {least} or more; got {value}")


def _chosen_layers(generator: Generator, layers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the layers' names in the generator's order.

    Raises:
        KeyError: If one is unknown.
        ValueError: If none is named.
    """
    known = generator.layers
    chosen = set([layers] if isinstance(layers, str) else known if layers is None else layers)
    for name in sorted(chosen - set(known)):
        raise KeyError(unknown("layer", name, known))
    if not chosen:
        raise ValueError(f"name at least one layer, or none for all: {', '.join(known)}")
    return tuple(name for name in known if name in chosen)


def _new_top(source: Source, layer: str, count: int) -> TopSamples:
    info = source.generator.layers[layer]
    return TopSamples(info.units, (info.height, info.width), count, source.generator.device)


def _count(
    source: Source, segmenter: Segmenter, target: Target, brackets: dict[str, Brackets], tops: dict[str, TopSamples]
) -> _Evidence:
    """Label the images and count pixels; then find the exact thresholds and count those that waited for them."""
    counts = {
        name: PixelCounts(len(each.low), len(segmenter.concepts), each.low.device) for name, each in brackets.items()
    }
    waiting = {name: OpenPixels(each.low.device) for name, each in brackets.items()}
    pictures = _Pictures(tops)
    for batch in source.labelled(target.num_samples, segmenter, "counting"):
        pictures.update(batch)
        for name in source.layers:
            _count_layer(batch, name, target, brackets[name], counts[name], waiting[name])
    thresholds = {}
    for name in source.layers:
        thresholds[name] = _settle(name, brackets[name], waiting[name], counts[name], target.rank)
    return _Evidence(counts, thresholds, tops, pictures.compute(source.generator.image_size))


def _count_layer(
    batch: LabelledBatch, name: str, target: Target, brackets: Brackets, counts: PixelCounts, waiting: OpenPixels
) -> None:
    """Count the pixels of one layer in one batch."""
    certain = from_keys(brackets.high)
    level = torch.where(brackets.exact, certain, brackets.level)
    labels = batch.labels.flatten(1)
    counts.update_labels(labels)
    for pixels in pixels_above(batch.activations[name], level, target.size):
        label = labels[pixels.sample, pixels.position]
        on = pixels.value > certain[pixels.unit]
        counts.update(pixels.unit[on], label[on])
        waiting.update(pixels.unit[~on], pixels.value[~on], label[~on])


def _settle(layer: str, brackets: Brackets, waiting: OpenPixels, counts: PixelCounts, rank: int) -> Tensor:
    """Return the thresholds, float32 ``[unit]``, and count the waiting pixels above them."""
    unit, key, label = waiting.compute()
    first = torch.searchsorted(unit, torch.arange(len(brackets.low), device=unit.device))
    number = torch.bincount(unit, minlength=len(brackets.low))
    if not torch.equal(number[~brackets.exact], brackets.inside[~brackets.exact]):
        logger.warning("layer %r: activations differ between passes; thresholds may be off by as much", layer)
    place = first + (rank - brackets.above - 1).clamp(min=0).minimum((number - 1).clamp(min=0))
    found = torch.cat([key, brackets.high[:1]])[place.clamp(max=len(key))]
    threshold = torch.where(brackets.exact | (number == 0), brackets.high, found)
    on = key > threshold[unit]
    counts.update(unit[on], label[on])
    return from_keys(threshold)


class _Pictures:
    """Thumbnails of the samples that some unit likes best."""

    def __init__(self, tops: dict[str, TopSamples]) -> None:
        samples = torch.unique(torch.cat([top.compute()["samples"].flatten() for top in tops.values()]))
        self.samples = samples.cpu()
        self._wanted = set(self.samples.tolist())
        self._pixels: list[Tensor] = []

    def update(self, batch: LabelledBatch) -> None:
        """Keep the batch's wanted images."""
        rows = [row for row, sample in enumerate(batch.samples) if sample in self._wanted]
        if rows:
            small = _shrink(batch.images[rows].float())
            self._pixels.append(((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu())

    def compute(self, image_size: tuple[int, int]) -> Thumbnails:
        """Return them all."""
        size = _thumbnail_size(image_size)
        pixels = torch.cat([torch.empty(0, 3, *size, dtype=torch.uint8), *self._pixels])
        return Thumbnails(self.samples, pixels)


def _thumbnail_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a thumbnail: the image's own, or so that its longer side fits."""
    scale = min(1.0, THUMBNAIL_SIZE / max(image_size))
    height, width = (max(1, math.floor(length * scale + 0.5)) for length in image_size)
    return height, width


def _shrink(images: Tensor) -> Tensor:
    """Return images at the thumbnail's size."""
    size = _thumbnail_size((images.shape[2], images.shape[3]))
    if size == tuple(images.shape[2:]):
        return images
    return interpolate(images, size, mode="bilinear", antialias=True)


def _layer_result(
    name: str, generator: Generator, concepts: tuple[Concept, ...], evidence: _Evidence
) -> LayerDissection:
    """Return one layer's result, on CPU."""
    counts = evidence.counts[name].compute()
    threshold, size = evidence.thresholds[name], evidence.thumbnails.size
    top = evidence.tops[name].compute()
    packed = [
        pack_masks(upsample(maps, size) > level[:, None, None, None]).cpu()
        for maps, level in zip(torch.split(top["maps"], 64), torch.split(threshold, 64), strict=True)
    ]
    return LayerDissection(
        name=name,
        info=generator.layers[name],
        concepts=concepts,
        thresholds=threshold.cpu().clone(),
        intersection=counts["intersection"].cpu().contiguous().clone(),
        unit_area=counts["unit_area"].cpu().clone(),
        concept_area=counts["concept_area"].cpu().clone(),
        num_pixels=int(counts["num_pixels"]),
        top=TopImages(top["samples"].cpu().clone(), top["peaks"].cpu().clone(), size, torch.cat(packed)),
    )
