"""Dissect layers in several passes where the counts of all layers would take too much memory.

The counts of a layer do not depend on the other layers, so several passes give the same result as one, bit for bit.
Each pass runs both networks over all samples.
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
    """Return the layers of each pass, in order, with as many layers in each pass as fit.

    Args:
        plan: Plan of the dissection.
        max_memory: Maximum gigabytes for the counts of a pass; None for no limit.

    Raises:
        TypeError: If the limit is not a number.
        ValueError: If the limit is not above 0, or a single layer exceeds it.
    """
    if max_memory is None:
        return [tuple(plan.layers)]
    if isinstance(max_memory, bool) or not isinstance(max_memory, int | float):
        raise TypeError(f"max_memory must be a number of gigabytes; got {max_memory!r}")
    if not 0 < max_memory < math.inf:
        raise ValueError(f"max_memory must be above 0 gigabytes; got {max_memory}")
    passes: list[tuple[str, ...]] = []
    used = math.inf
    for name in plan.layers:
        need = estimate_bytes(plan, name) / 1e9
        if need > max_memory:
            raise ValueError(
                f"the counts of {name!r} take {need:.3g} GB, but max_memory is {max_memory} GB; raise max_memory, "
                "omit the layer, or use a segmenter with fewer concepts"
            )
        if used + need > max_memory:
            passes.append(())
            used = 0.0
        passes[-1] += (name,)
        used += need
    return passes


def estimate_bytes(plan: DissectionPlan, layer: str) -> int:
    """Return how many bytes the counts of a layer take, including those needed to find its thresholds."""
    labels, info = len(plan.concepts) + 1, plan.layers[layer]
    binned = 2 * plan.num_groups * (NUM_BINS + 1) * labels * plan.count_type.itemsize
    settled = 2 * plan.num_groups * labels * torch.int64.itemsize
    curves = 2 * 2 * (len(LEVEL_SHARES) + 1) * labels * torch.int64.itemsize if plan.settings.curves else 0
    top_maps = plan.settings.top_images * info.height * info.width * torch.float32.itemsize
    return info.units * (binned + settled + curves + top_maps)


def join_layers(parts: Sequence[Dissection]) -> Dissection:
    """Join dissections of different layers into one.

    Args:
        parts: Dissections of different layers of one generator, in the generator's order and with equal settings.
    """
    samples = torch.cat([part.thumbnails.samples for part in parts])
    pixels = torch.cat([part.thumbnails.pixels for part in parts])
    order = samples.argsort(stable=True)
    is_first = samples[order].diff(prepend=samples.new_tensor([-1])) > 0
    thumbnails = Thumbnails(samples[order[is_first]], pixels[order[is_first]])
    provenance = replace(parts[0].provenance, duration=sum(part.provenance.duration for part in parts))
    layers = tuple(layer for part in parts for layer in part)
    return Dissection(layers, parts[0].concepts, thumbnails, provenance)
