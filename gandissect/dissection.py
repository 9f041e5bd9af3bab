"""Dissecting a generator: which concept does each unit agree with?

Generator and segmenter run once over the samples; memory does not grow with their number (`counting`).

Source: Bau et al. 2019, Sec. 3.1.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from .batches import Source
from .counting import Counted, count
from .counts import GroupCounts
from .matching import upsample
from .names import unknown
from .protocols import Generator, Segmenter, check_protocols
from .quantiles import rank_of
from .results import Dissection, LayerDissection, Provenance, installed_versions
from .thresholds import Target
from .top_images import Thumbnails, TopImages, pack_masks
from .types import Concept

logger = logging.getLogger(__name__)


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
    threshold ``t``, and ``t`` is such that of its N values, at all pixels of all samples, at most ``quantile N``
    are, and no fewer than this by 0.1 % of N, or by a tenth if that is less, unless values are equal. Counts are
    exact for that ``t``. Then, over all pixels,

        IoU[c, u] = |on_u and c| / |on_u or c|,  0 if the union is empty.

    An unlabelled pixel counts in a unit's area and belongs to no concept. What luck would give is measured from the
    same pass, with the label maps of other samples (`chance`); that wants some hundred samples.

    Args:
        generator: A `Generator`; all runs on its device.
        segmenter: A `Segmenter` for its images.
        layers: Names of layers, or one name; all layers if None.
        num_samples: Latent vectors, 1 or more: those of index 0 to ``num_samples - 1``.
        seed: Of the latent vectors.
        quantile: Share of all pixels on which a unit is on, above 0 and below 1.
        batch_size: Samples at once, 1 or more; an odd number is rounded up, for samples are compared in pairs.
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
    rank_of(quantile, 1)
    names = _chosen_layers(generator, layers)
    paired = batch_size + batch_size % 2  # a sample and the one that it exchanges label maps with are in one batch
    source = Source(generator, names, int(seed), paired, progress)
    concepts = tuple(segmenter.concepts)
    with torch.inference_mode():
        target = Target(quantile, num_samples, source.label_size(segmenter))
        counted = count(source, segmenter, target, top_images)
    found = tuple(_layer_result(name, generator, concepts, counted) for name in names)
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
        label_size=target.size,
        device=str(generator.device),
        versions=installed_versions(),
        duration=duration,
    )
    thumbnails = Thumbnails(_kept(counted.thumbnails.samples), _kept(counted.thumbnails.pixels))
    return Dissection(found, concepts, thumbnails, provenance)


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


def _layer_result(name: str, generator: Generator, concepts: tuple[Concept, ...], counted: Counted) -> LayerDissection:
    """Return one layer's result, on CPU."""
    layer, size = counted.layers[name], counted.thumbnails.size
    labels = counted.labels.compute()
    top = layer.top.compute()
    packed = [
        pack_masks(upsample(maps, size) > level[:, None, None, None]).cpu()
        for maps, level in zip(torch.split(top["maps"], 64), torch.split(layer.thresholds, 64), strict=True)
    ]
    counts = (layer.intersection, layer.exchanged, layer.unit_area, labels["concept_area"])
    return LayerDissection(
        name=name,
        info=generator.layers[name],
        concepts=concepts,
        thresholds=_kept(layer.thresholds),
        groups=GroupCounts(*(_kept(each) for each in counts)),
        num_pixels=int(labels["num_pixels"]),
        top=TopImages(_kept(top["samples"]), _kept(top["peaks"]), size, torch.cat(packed).clone()),
    )


def _kept(tensor: Tensor) -> Tensor:
    """Return a copy on CPU that autograd may use."""
    return tensor.cpu().contiguous().clone()
