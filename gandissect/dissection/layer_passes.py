"""Dissecting layers in several passes, where the counts of all of them would take too much memory.

What is counted of a layer does not depend on the other layers, so passes give what one pass would have given, bit for
bit, and each of them costs as much time as running both networks over all samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from .counting.layer_counts import NUM_BINS
from .counting.pilot import LEVEL_SHARES
from .counting.plan import DissectionPlan
from .counting.top_images import Thumbnails
from .results import Dissection


def split_layers(plan: DissectionPlan, max_memory: float | None) -> list[tuple[str, ...]]:
    """Return the layers of each pass, in order, as many in each as fit.

    Args:
        plan: What is dissected, and how.
        max_memory: Gigabytes that the counts of a pass may take; None is no limit.

    Raises:
        TypeError: If the limit is not a number.
        ValueError: If the limit is not above 0, or a single layer needs more.
    """
    if max_memory is None:
        return [tuple(plan.layers)]
    if isinstance(max_memory, bool) or not isinstance(max_memory, int | float):
        raise TypeError(f"max_memory must be a number of gigabytes; got {max_memory!r}")
    if not 0 < max_memory < math.inf:
        raise ValueError(f"max_memory must be above 0 gigabytes; got {max_memory}")
    passes: list[tuple[str, ...]] = []
    taken = math.inf
    for name in plan.layers:
        need = estimate_bytes(plan, name) / 1e9
        if need > max_memory:
            raise ValueError(
                f"the counts of {name!r} take {need:.3g} GB, more than max_memory, {max_memory} GB: allow more, leave "
                "the layer out, or use a segmenter with fewer concepts"
            )
        if taken + need > max_memory:
            passes.append(())
            taken = 0.0
        passes[-1] += (name,)
        taken += need
    return passes


def estimate_bytes(plan: DissectionPlan, layer: str) -> int:
    """Return how many bytes the counts of a layer take, those kept for its thresholds included."""
    labels, info = len(plan.concepts) + 1, plan.layers[layer]
    binned = 2 * plan.num_groups * (NUM_BINS + 1) * labels * plan.count_type.itemsize
    settled = 2 * plan.num_groups * labels * torch.int64.itemsize
    curves = 2 * 2 * (len(LEVEL_SHARES) + 1) * labels * torch.int64.itemsize if plan.settings.curves else 0
    top_maps = plan.settings.top_images * info.height * info.width * torch.float32.itemsize
    return info.units * (binned + settled + curves + top_maps)


def join_layers(parts: Sequence[Dissection]) -> Dissection:
    """Return one dissection of all layers.

    Args:
        parts: Dissections of different layers of one generator, in the generator's order, otherwise alike.
    """
    samples = torch.cat([part.thumbnails.samples for part in parts])
    pixels = torch.cat([part.thumbnails.pixels for part in parts])
    order = samples.argsort(stable=True)
    is_first = samples[order].diff(prepend=samples.new_tensor([-1])) > 0
    thumbnails = Thumbnails(samples[order[is_first]], pixels[order[is_first]])
    provenance = replace(parts[0].provenance, duration=sum(part.provenance.duration for part in parts))
    layers = tuple(layer for part in parts for layer in part)
    return Dissection(layers, parts[0].concepts, thumbnails, provenance)
