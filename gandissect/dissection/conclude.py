"""Convert the counts of a dissection, once the thresholds are known, into its result."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from ..core.environment import installed_versions
from ..inference.upsampling import upsample
from .counting.binned_counts import LevelCounts
from .counting.layer_counts import LayerCount
from .counting.plan import DissectionPlan
from .counting.tally import Tally
from .counting.top_images import TopImages, pack_masks
from .curves import UnitCurves
from .iou import GroupCounts
from .results import Dissection, LayerDissection, Provenance

logger = logging.getLogger(__name__)


def conclude(tally: Tally) -> Dissection:
    """Return the dissection that a tally with known thresholds amounts to, on CPU."""
    plan, settings, thumbnails = tally.plan, tally.plan.settings, tally.thumbnails()
    labels = {name: _copy_to_cpu(counts) for name, counts in tally.labels.compute().items()}
    layers = tuple(_conclude_layer(name, layer, plan, labels, thumbnails.size) for name, layer in tally.layers.items())
    logger.info("dissected %s: %d layers, %d samples", plan.generator, len(layers), settings.num_samples)
    provenance = Provenance(
        generator=plan.generator,
        segmenter=plan.segmenter,
        seed=settings.seed,
        num_samples=settings.num_samples,
        quantile=settings.quantile,
        batch_size=settings.batch_size,
        label_size=plan.label_size,
        padding=settings.padding,
        device=str(tally.device),
        versions=installed_versions(),
        duration=tally.seconds,
        labels=settings.labels,
        drawn=plan.drawn,
    )
    return Dissection(layers, plan.concepts, thumbnails, provenance)


def _conclude_layer(
    name: str, layer: LayerCount, plan: DissectionPlan, labels: Mapping[str, Tensor], size: tuple[int, int]
) -> LayerDissection:
    """Return the dissection of one layer, on CPU."""
    top = layer.top.compute()
    packed = [
        pack_masks(upsample(maps, size, padding=plan.settings.padding) > level[:, None, None, None]).cpu()
        for maps, level in zip(torch.split(top["maps"], 64), torch.split(layer.thresholds, 64), strict=True)
    ]
    counts = GroupCounts(
        intersection=_copy_to_cpu(layer.intersection),
        exchanged=_copy_to_cpu(layer.exchanged),
        unit_area=_copy_to_cpu(layer.unit_area),
        concept_area=labels["concept_area"],
    )
    return LayerDissection(
        name=name,
        info=plan.layers[name],
        concepts=plan.concepts,
        thresholds=_copy_to_cpu(layer.thresholds),
        groups=counts,
        num_pixels=int(labels["num_pixels"]),
        top=TopImages(_copy_to_cpu(top["samples"]), _copy_to_cpu(top["peaks"]), size, torch.cat(packed).clone()),
        curves=None if layer.curve is None else _build_curves(layer.curve),
    )


def _build_curves(counts: LevelCounts) -> UnitCurves:
    """Return the curves of a layer's units, on CPU."""
    return UnitCurves(
        _copy_to_cpu(counts.levels), **{name: _copy_to_cpu(count) for name, count in counts.compute().items()}
    )


def _copy_to_cpu(tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Return a copy on CPU that autograd can use."""
    return tensor.cpu().contiguous().clone()
