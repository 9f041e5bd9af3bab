"""Run passes over the samples: the first counts, further ones narrow the thresholds that are still open."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...core.protocols import Segmenter
from ...inference.batches import Activation, LayerSampler
from ...storage.files import check_folder
from ...storage.locks import lock_folder
from .label_cache import LabelMapCache
from .pilot import pilot_brackets, pilot_levels
from .plan import DissectionPlan
from .tally import TALLY, Tally, mark_pixels

logger = logging.getLogger(__name__)


SAVE_SECONDS = 60.0
"""Interval in seconds at which the counts are saved."""


MAX_PASSES = 40
"""Maximum number of passes; more are never needed unless the activations change between passes."""


def count_samples(
    sampler: LayerSampler,
    segmenter: Segmenter,
    plan: DissectionPlan,
    samples: range,
    folder: Path | str | None,
    label_cache: LabelMapCache | None = None,
    *,
    overwrite: bool = False,
) -> Tally:
    """Count samples, resuming from the counts in the folder if there are any.

    The label maps of newly counted samples are added to the cache. The folder is locked until all samples are counted.
    Counts of another dissection raise an error, or are ignored and replaced with ``overwrite``.
    """
    if folder is None:
        return _count(sampler, segmenter, plan, samples, None, None, label_cache)
    check_folder(folder)
    with lock_folder(folder):
        path = Path(folder) / TALLY
        tally = _load_saved(path, plan, samples, sampler.generator.device, overwrite=overwrite)
        return _count(sampler, segmenter, plan, samples, path, tally, label_cache)


def _load_saved(
    path: Path, plan: DissectionPlan, samples: range, device: torch.device, *, overwrite: bool
) -> Tally | None:
    """Return the counts in a file; None if there is no file, or if ``overwrite`` discards it.

    Raises:
        ValueError: If the counts are of another dissection; the message names what differs.
    """
    if not path.exists():
        return None
    try:
        tally = Tally.load(path, device)
        tally.check_same(plan, samples)
    except ValueError as error:
        if overwrite:
            return None
        remedy = "name another folder, or replace it with overwrite=True (--overwrite on the command line)"
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path} ')}; {remedy}") from error
    logger.info("resuming %s at sample %d", path, tally.samples.start + tally.seen)
    return tally


def _count(
    sampler: LayerSampler,
    segmenter: Segmenter,
    plan: DissectionPlan,
    samples: range,
    path: Path | None,
    tally: Tally | None,
    label_cache: LabelMapCache | None,
) -> Tally:
    """Count the samples that a tally lacks, or all samples, and save the counts at intervals."""
    if tally is None:
        padding = plan.settings.padding
        levels = pilot_levels(sampler, plan.target, padding) if plan.settings.curves else {}
        tally = Tally(plan, pilot_brackets(sampler, plan.target, padding), samples, levels)
        if path is not None:
            tally.check_size()
    began, saved = time.monotonic() - tally.seconds, time.monotonic()
    for batch in sampler.labeled_images(tally.to_come, segmenter, plan.label_shape, "dissecting"):
        tally.update(batch)
        if label_cache is not None:
            label_cache.add(batch.samples, batch.labels)
        tally.seconds = time.monotonic() - began
        if path is not None and (not tally.to_come or time.monotonic() - saved >= SAVE_SECONDS):
            tally.save(path)
            saved = time.monotonic()
    if path is not None and not path.exists():  # the shard has no samples
        tally.save(path)
    return tally


def settle_thresholds(
    tally: Tally, sampler: LayerSampler, segmenter: Segmenter, label_cache: LabelMapCache | None = None
) -> None:
    """Determine the thresholds, and count units again whose threshold is outside its bracket.

    Raises:
        ValueError: If the activations change from pass to pass.
    """
    plan, unsettled = tally.plan, tally.layers
    for _ in range(MAX_PASSES):
        for layer in unsettled.values():
            layer.settle(plan.target)
        unsettled = {name: layer for name, layer in unsettled.items() if bool(layer.open.any())}
        if not unsettled:
            return
        for name, layer in unsettled.items():
            logger.debug("%d units of %r are counted again", int(layer.open.sum()), name)
            layer.begin()
        for samples, activations, labels in _repeat_samples(
            replace(sampler, layers=tuple(unsettled)), segmenter, tally, label_cache
        ):
            group, marks = mark_pixels(samples, labels, plan.settings.num_samples)
            for name, layer in unsettled.items():
                layer.update(activations[name], group, marks)
    raise ValueError(
        f"the activations of {plan.generator} change from pass to pass: it is stochastic or stateful; fix its noise"
    )


def _repeat_samples(
    sampler: LayerSampler, segmenter: Segmenter, tally: Tally, label_cache: LabelMapCache | None
) -> Iterator[tuple[range, dict[str, Activation], Tensor]]:
    """Yield the samples again, with their activations and labels; label maps come from the cache if it holds them."""
    title = "recounting some units"
    if label_cache is not None and label_cache.holds(tally.samples):
        for batch in sampler.activations(tally.samples, title):
            yield batch.samples, batch.activations, label_cache.labels(batch.samples).to(tally.device)
    else:
        for labeled in sampler.labeled_images(tally.samples, segmenter, tally.plan.label_shape, title):
            yield labeled.samples, labeled.activations, labeled.labels


def settle_nearest_thresholds(tally: Tally) -> None:
    """Determine the thresholds; use the nearest edge that was counted for units that are still open."""
    for name, layer in tally.layers.items():
        layer.settle(tally.plan.target)
        if bool(layer.open.any()):
            units = ", ".join(str(unit) for unit in layer.open.nonzero().squeeze(1).tolist())
            logger.warning("layer %r: units %s have the nearest threshold that was counted", name, units)
            layer.settle(tally.plan.target, final=True)
