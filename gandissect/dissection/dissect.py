"""Dissecting a generator: which concept does each unit agree with?

Generator and segmenter run once over the samples; memory does not grow with their number. The samples may be divided
among processes, machines or days: each part is counted apart, and parts are merged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..core.lookup import unique_names, unknown_name_message
from ..core.network_id import NetworkId
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.types import check_type
from ..inference.batches import LayerSampler
from ..inference.upsampling import Padding
from .conclude import conclude
from .counting.label_cache import LabelMapCache
from .counting.passes import count_samples, settle_nearest_thresholds, settle_thresholds
from .counting.plan import DissectionPlan, DissectSettings
from .counting.tally import TALLY, Tally
from .layer_passes import join_layers, split_layers
from .results import Dissection

logger = logging.getLogger(__name__)

PASS_FOLDER = "pass-{}"
"""Folder, inside the one that is named, of the counts of one of several passes."""


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
    padding: Padding = "edge",
    curves: bool = False,
    max_memory: float | None = None,
    folder: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Dissection:
    """Match the units of a generator's layers with a segmenter's concepts.

    A unit's activations are upsampled bilinearly to the label map. It is on where it is strictly above its
    threshold ``t``, and ``t`` is such that of its N values, at all pixels of all samples, at most ``quantile N``
    are, and no fewer than this by 0.1 % of N, or by a tenth if that is less, unless values are equal. Counts are
    exact for that ``t``. Then, over all pixels,

        IoU[c, u] = |on_u and c| / |on_u or c|,  0 if the union is empty.

    An unlabeled pixel counts in a unit's area and belongs to no concept. What luck would give is measured from the
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
        padding: What is beyond the border of a layer's grid: the value at its edge, or ``"zeros"``, which is the
            convention of davidbau/dissect.
        curves: Count at many thresholds too, from every few pixels: `LayerDissection.curves`, and the thresholds
            that tell most of a concept.
        max_memory: Gigabytes that the counts may take, beside the networks and a batch of activations, which
            ``batch_size`` bounds. Layers that do not fit together are dissected in several passes, with the same
            result; None is one pass over all layers.
        folder: Where to keep what has been counted, once a minute, as ``tally.safetensors``; if it is there already,
            of the same dissection, it is continued. Of several passes each has a folder of its own in it.
        overwrite: Begin again where the folder holds counts of another dissection.
        progress: Show progress bars.

    Returns:
        The result, on CPU.

    Raises:
        BlockingIOError: If another process writes to the folder.
        KeyError: If the generator has no such layer, naming the nearest match.
        TypeError: If generator or segmenter lack something of their protocol.
        ValueError: If a number is out of range, an activation is not finite, or a label map is not one; or if the
            folder holds another dissection, naming what differs.

    Source: Bau et al. 2019, Sec. 3.1.
    """
    settings = _pair_samples(DissectSettings(num_samples, seed, quantile, batch_size, top_images, padding, curves))
    sampler = make_sampler(generator, segmenter, layers, settings, progress=progress)
    plan = make_plan(sampler, segmenter, settings)
    passes = split_layers(plan, max_memory)
    if len(passes) == 1:
        return _dissect_in_one_pass(plan, sampler, segmenter, folder, overwrite=overwrite)
    parts = []
    for number, names in enumerate(passes, 1):
        logger.info("pass %d of %d: %s", number, len(passes), ", ".join(names))
        part = replace(plan, layers={name: plan.layers[name] for name in names})
        sampler = make_sampler(generator, segmenter, names, settings, progress=progress)
        place = None if folder is None else Path(folder) / PASS_FOLDER.format(number)
        parts.append(_dissect_in_one_pass(part, sampler, segmenter, place, overwrite=overwrite))
    return join_layers(parts)


def _dissect_in_one_pass(
    plan: DissectionPlan, sampler: LayerSampler, segmenter: Segmenter, folder: Path | str | None, *, overwrite: bool
) -> Dissection:
    """Dissect the layers of a plan."""
    with torch.inference_mode(), LabelMapCache(plan.label_shape, len(plan.concepts)) as label_cache:
        samples = range(plan.settings.num_samples)
        tally = count_samples(sampler, segmenter, plan, samples, folder, label_cache, overwrite=overwrite)
        settle_thresholds(tally, sampler, segmenter, label_cache)
    return conclude(tally)


def dissect_shard(
    generator: Generator,
    segmenter: Segmenter,
    folder: Path | str,
    shard: tuple[int, int],
    layers: Sequence[str] | str | None = None,
    settings: DissectSettings | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Count one part of the samples of a dissection, for `merge_shards`.

    Args:
        generator: As for `dissect`.
        segmenter: As for `dissect`.
        folder: Where the counts are kept; if it has some of this shard already, it is continued.
        shard: Which part, from 1, and of how many: ``(1, 4)`` to ``(4, 4)``.
        layers: As for `dissect`.
        settings: Settings of the whole dissection; `DissectSettings()` if None.
        overwrite: As for `dissect`.
        progress: Show progress bars.

    Returns:
        The file of the counts.

    Raises:
        BlockingIOError: As for `dissect`.
        KeyError: As for `dissect`.
        TypeError: As for `dissect`.
        ValueError: As for `dissect`, or if there is no such shard.
    """
    check_type("folder", folder, (str, Path))
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise TypeError(f"shard must be a pair such as (1, 4), the first of four; got {shard!r}")
    index, count = shard
    if not 1 <= index <= count:
        raise ValueError(f"a shard is 1/4, 2/4 and so on; got {index}/{count}")
    settings = _pair_samples(DissectSettings() if settings is None else settings)
    sampler = make_sampler(generator, segmenter, layers, settings, progress=progress)
    plan = make_plan(sampler, segmenter, settings)
    with torch.inference_mode():
        count_samples(sampler, segmenter, plan, plan.part(index - 1, count), folder, overwrite=overwrite)
    return Path(folder) / TALLY


def merge_shards(
    folders: Sequence[Path | str], networks: tuple[Generator, Segmenter] | None = None, *, progress: bool = True
) -> Dissection:
    """Put the shards of a dissection together.

    The counts are those that `dissect` would have found, bit for bit. A unit whose threshold proves to lie where the
    pilot did not look is counted again if there are networks to do so; otherwise it is given the nearest threshold that
    was counted, and a warning names it.

    Args:
        folders: Those of all shards, in any order.
        networks: Generator and segmenter, those of the shards; all runs on the generator's device.
        progress: Show a progress bar if units are counted again.

    Raises:
        FileNotFoundError: If one holds no counts, or a finished dissection instead.
        ValueError: If they are not those of one whole dissection, or the networks are others, naming what differs or is
            missing.
    """
    check_type("folders", folders, (list, tuple), "give a list of the folders of all shards")
    for folder in folders:
        check_type("each folder", folder, (str, Path))
    _check_shards([Path(folder) for folder in folders])
    with torch.inference_mode():
        if networks is not None:
            check_protocols(*networks)
        device = "cpu" if networks is None else networks[0].device
        first, *others = sorted(
            (Tally.load(Path(folder) / TALLY, device) for folder in folders),
            key=lambda shard: (shard.samples.start, shard.samples.stop),
        )
        for other in others:
            first.merge(other)
        if first.samples != range(first.plan.settings.num_samples) or first.to_come:
            seen = first.samples[: first.seen]
            found = f"samples {seen.start} to {seen.stop - 1}" if seen else "no samples"
            raise ValueError(f"these are {found} of {first.plan.settings.num_samples}; give all shards, finished")
        if networks is None:
            settle_nearest_thresholds(first)
        else:
            plan = first.plan
            sampler = make_sampler(*networks, tuple(plan.layers), plan.settings, progress=progress)
            _check_networks(plan, *networks)
            settle_thresholds(first, sampler, networks[1])
    return conclude(first)


def _pair_samples(settings: DissectSettings) -> DissectSettings:
    """Return settings with an even batch size, so that a sample and its partner are in one batch."""
    return replace(settings, batch_size=settings.batch_size + settings.batch_size % 2)


def make_sampler(
    generator: Generator,
    segmenter: Segmenter,
    layers: Sequence[str] | str | None,
    settings: DissectSettings,
    *,
    progress: bool,
) -> LayerSampler:
    """Return where samples come from, checked."""
    check_protocols(generator, segmenter)
    return LayerSampler(generator, _select_layers(generator, layers), settings.seed, settings.batch_size, progress)


def make_plan(sampler: LayerSampler, segmenter: Segmenter, settings: DissectSettings) -> DissectionPlan:
    """Return what is dissected, checked."""
    generator = sampler.generator
    with torch.inference_mode():
        channels, *label_size = sampler.label_shape(segmenter)
    height, width = generator.image_size
    return DissectionPlan(
        generator=NetworkId.of(generator),
        image_size=(int(height), int(width)),
        segmenter=NetworkId.of(segmenter),
        concepts=tuple(segmenter.concepts),
        layers={name: generator.layers[name] for name in sampler.layers},
        label_size=(label_size[0], label_size[1]),
        label_channels=channels,
        settings=settings,
    )


def _check_shards(folders: Sequence[Path]) -> None:
    """Refuse folders that hold no counts.

    Raises:
        FileNotFoundError: If one does not.
        ValueError: If there are none.
    """
    if not folders:
        raise ValueError("name the folders of all shards")
    for folder in folders:
        if (folder / TALLY).exists():
            continue
        if (folder / Dissection.FILE_NAME).exists():
            raise FileNotFoundError(
                f"{folder} holds a finished dissection ({Dissection.FILE_NAME}); there is nothing to merge; write its "
                "report with gandissect report (Dissection.load, write_report)"
            )
        raise FileNotFoundError(
            f"no {TALLY} in {folder}; name the folders that gandissect dissect --shard (dissect_shard) wrote"
        )


def _check_networks(plan: DissectionPlan, generator: Generator, segmenter: Segmenter) -> None:
    """Raise ValueError if the counts are of other networks."""
    plan.generator.check(generator, "the shards' generator")
    plan.segmenter.check(segmenter, "the shards' segmenter")


def _select_layers(generator: Generator, layers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the layers' names in the generator's order.

    Raises:
        KeyError: If one is unknown.
        TypeError: If one is no name.
        ValueError: If none is named.
    """
    known = generator.layers
    chosen = set(known if layers is None else unique_names(layers))
    if wrong := [name for name in chosen if not isinstance(name, str)]:
        raise TypeError(f"layers are named by texts, such as {next(iter(known))!r}; got {wrong[0]!r}")
    for name in sorted(chosen - set(known)):
        raise KeyError(unknown_name_message("layer", name, known))
    if not chosen:
        raise ValueError(f"name at least one layer, or none for all: {', '.join(known)}")
    return tuple(name for name in known if name in chosen)
