"""Dissect a generator: find the concept that each unit matches.

Generator and segmenter run once over the samples; memory does not grow with the number of samples. The samples can be
divided among processes, machines or days: each shard is counted separately, and the shards are merged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..core.drawn import Drawn
from ..core.lookup import unique_names, unknown_name_message
from ..core.network_id import NetworkId
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.types import check_type
from ..inference.batches import LayerSampler
from ..inference.labels import LabelSource
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
"""Subfolder that holds the counts of one of several passes."""


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
    labels: LabelSource = "output",
    max_memory: float | None = None,
    folder: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Dissection:
    """Match the units of a generator's layers with a segmenter's concepts.

    A unit's activations are upsampled bilinearly to the size of the label map. The unit is on where its activation is
    strictly above its threshold ``t``. Of the unit's N values, at all pixels of all samples, at most ``quantile N``
    exceed ``t``; unless values are tied, the shortfall is at most 0.1% of N or a tenth of ``quantile N``, whichever is
    less. All counts are exact for this ``t``. Then, over all pixels,

        IoU[c, u] = |on_u and c| / |on_u or c|,  0 if the union is empty.

    An unlabeled pixel counts toward a unit's area and belongs to no concept. The same pass estimates the IoU expected
    by chance from the label maps of other samples (`chance`), which needs a few hundred samples.

    Args:
        generator: Generator to dissect; everything runs on its device.
        segmenter: Segmenter for the generator's images.
        layers: Names of the layers to dissect, or one name; all layers if None.
        num_samples: Number of samples, at least 1; their indices are 0 to ``num_samples - 1``.
        seed: Seed of the latent vectors.
        quantile: Maximum share of all pixels where a unit is on, above 0 and below 1.
        batch_size: Samples per batch, at least 1; an odd number is rounded up, since samples are paired.
        top_images: Number of top images to keep for each unit, at least 0.
        padding: Values beyond the border of a layer's grid: ``"edge"`` repeats the border, ``"zeros"`` follows the
            convention of davidbau/dissect.
        curves: Also count at many thresholds, on a subset of the pixels, for `LayerDissection.curves` and the
            thresholds with the highest information quality ratio.
        labels: ``"output"`` segments images; ``"input"`` takes true labels of a translator's inputs (`compare_labels`).
        max_memory: Maximum gigabytes for the counts, in addition to the networks and a batch of activations. Layers
            that do not fit together are dissected in several passes, with the same result; None for a single pass.
        folder: Folder to save the counts in, once a minute, as ``tally.safetensors``; an unfinished run of the same
            dissection is resumed. With several passes, each pass has its own subfolder.
        overwrite: Start over if the folder holds counts of another dissection.
        progress: Show progress bars.

    Returns:
        The dissection, on CPU.

    Raises:
        BlockingIOError: If another process writes to the folder.
        KeyError: If the generator lacks a layer; the message names the nearest match.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If a number is out of range, an activation is not finite, the segmenter returns an invalid label
            map, inputs have no true labels, or the folder holds another dissection (the message says what differs).

    Examples:
        >>> import gandissect, generators, segmenters
        >>> G = generators.PlantedGenerator()
        >>> S = segmenters.PaletteSegmenter(G.concepts)
        >>> D = gandissect.dissect(G, S, layers=["layer2"], num_samples=100, progress=False)
        >>> D["layer2"].matches[1].concept
        'green'
        >>> D["layer2"].units_for("green")
        UnitSet(layer='layer2', units=(1,))

    Source: Bau et al. 2019, Sec. 3.1; thresholds by quantile: Bau et al. 2017 (arXiv 1704.05796), Sec. 2.
    """
    asked = DissectSettings(num_samples, seed, quantile, batch_size, top_images, padding, curves, labels)
    settings = _pair_samples(asked)
    sampler = make_sampler(generator, segmenter, layers, settings, progress=progress)
    plan = make_plan(sampler, segmenter, settings)
    if len(passes := split_layers(plan, max_memory)) == 1:
        return _dissect_in_one_pass(plan, sampler, segmenter, folder, overwrite=overwrite)
    return _dissect_in_passes(plan, passes, generator, segmenter, folder, overwrite=overwrite, progress=progress)


def _dissect_in_passes(
    plan: DissectionPlan,
    passes: Sequence[Sequence[str]],
    generator: Generator,
    segmenter: Segmenter,
    folder: Path | str | None,
    *,
    overwrite: bool,
    progress: bool,
) -> Dissection:
    """Dissect the layers of a plan in several passes, each with its own subfolder."""
    parts = []
    for number, names in enumerate(passes, 1):
        logger.info("pass %d of %d: %s", number, len(passes), ", ".join(names))
        part = replace(plan, layers={name: plan.layers[name] for name in names})
        sampler = make_sampler(generator, segmenter, names, plan.settings, progress=progress)
        pass_folder = None if folder is None else Path(folder) / PASS_FOLDER.format(number)
        parts.append(_dissect_in_one_pass(part, sampler, segmenter, pass_folder, overwrite=overwrite))
    return join_layers(parts)


def _dissect_in_one_pass(
    plan: DissectionPlan, sampler: LayerSampler, segmenter: Segmenter, folder: Path | str | None, *, overwrite: bool
) -> Dissection:
    """Dissect all layers of a plan."""
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
    """Count one shard of a dissection's samples, for `merge_shards`.

    Args:
        generator: Generator to dissect; everything runs on its device.
        segmenter: Segmenter for the generator's images.
        folder: Folder to save the counts in; an unfinished run of the same shard is resumed.
        shard: Number of this shard, from 1, and the number of shards: ``(1, 4)`` to ``(4, 4)``.
        layers: Names of the layers to dissect, or one name; all layers if None.
        settings: Settings of the whole dissection; `DissectSettings()` if None.
        overwrite: Start over if the folder holds counts of another dissection.
        progress: Show progress bars.

    Returns:
        Path of the file that holds the counts.

    Raises:
        BlockingIOError: If another process writes to the folder.
        KeyError: If the generator lacks a layer; the message names the nearest match.
        TypeError: If the generator or the segmenter does not implement its protocol, or ``shard`` is not a pair.
        ValueError: If there is no such shard, a number is out of range, an activation is not finite, the segmenter
            returns an invalid label map, or the folder holds another dissection; the message names the settings that
            differ.
    """
    check_type("folder", folder, (str, Path))
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise TypeError(f"shard must be a pair such as (1, 4), the first of four; got {shard!r}")
    index, count = shard
    if not 1 <= index <= count:
        raise ValueError(f"shard must be i/n with 1 <= i <= n, such as 1/4; got {index}/{count}")
    settings = _pair_samples(DissectSettings() if settings is None else settings)
    sampler = make_sampler(generator, segmenter, layers, settings, progress=progress)
    plan = make_plan(sampler, segmenter, settings)
    with torch.inference_mode():
        count_samples(sampler, segmenter, plan, plan.part(index - 1, count), folder, overwrite=overwrite)
    return Path(folder) / TALLY


def merge_shards(
    folders: Sequence[Path | str], networks: tuple[Generator, Segmenter] | None = None, *, progress: bool = True
) -> Dissection:
    """Merge dissection shards.

    The counts equal those of `dissect` bit for bit. A unit whose threshold is outside the range that the pilot
    predicted is counted again if ``networks`` is passed; otherwise it gets the nearest threshold that was counted, and
    a warning names it.

    Args:
        folders: Folders of all shards, in any order.
        networks: Generator and segmenter of the shards; everything runs on the generator's device.
        progress: Show a progress bar if units are counted again.

    Raises:
        FileNotFoundError: If a folder holds no counts, or a finished dissection instead.
        ValueError: If the shards do not make up one whole dissection, or the networks are not those of the shards; the
            message names what differs or is missing.
    """
    check_type("folders", folders, (list, tuple), "pass a list of the folders of all shards")
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
            covered = f"samples {seen.start} to {seen.stop - 1}" if seen else "no samples"
            raise ValueError(
                f"the shards cover {covered} of {first.plan.settings.num_samples}; pass the folders of all shards, "
                "each finished"
            )
        if networks is None:
            settle_nearest_thresholds(first)
        else:
            plan = first.plan
            sampler = make_sampler(*networks, tuple(plan.layers), plan.settings, progress=progress)
            _check_networks(plan, *networks)
            settle_thresholds(first, sampler, networks[1])
    return conclude(first)


def _pair_samples(settings: DissectSettings) -> DissectSettings:
    """Return settings with an even batch size, so that a sample and its partner are in the same batch."""
    return replace(settings, batch_size=settings.batch_size + settings.batch_size % 2)


def make_sampler(
    generator: Generator,
    segmenter: Segmenter,
    layers: Sequence[str] | str | None,
    settings: DissectSettings,
    *,
    progress: bool,
) -> LayerSampler:
    """Return the sampler of the layers' activations, after checking the networks."""
    check_protocols(generator, segmenter)
    names = _select_layers(generator, layers)
    return LayerSampler(generator, names, settings.seed, settings.batch_size, progress, settings.labels)


def make_plan(sampler: LayerSampler, segmenter: Segmenter, settings: DissectSettings) -> DissectionPlan:
    """Return the plan of a dissection, after checking the segmenter's label maps."""
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
        drawn=Drawn.of(generator),
    )


def _check_shards(folders: Sequence[Path]) -> None:
    """Check that every folder holds counts.

    Raises:
        FileNotFoundError: If a folder holds none.
        ValueError: If ``folders`` is empty.
    """
    if not folders:
        raise ValueError("pass the folders of all shards")
    for folder in folders:
        if (folder / TALLY).exists():
            continue
        if (folder / Dissection.FILE_NAME).exists():
            raise FileNotFoundError(
                f"{folder} holds a finished dissection ({Dissection.FILE_NAME}), which needs no merging; write its "
                "report with gandissect report (Dissection.load, write_report)"
            )
        raise FileNotFoundError(
            f"no {TALLY} in {folder}; pass the folders that gandissect dissect --shard (dissect_shard) wrote"
        )


def _check_networks(plan: DissectionPlan, generator: Generator, segmenter: Segmenter) -> None:
    """Raise ValueError if the counts were made with other networks."""
    plan.generator.check(generator, "the shards' generator")
    plan.segmenter.check(segmenter, "the shards' segmenter")


def _select_layers(generator: Generator, layers: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the layers' names in the generator's order.

    Raises:
        KeyError: If a layer is unknown.
        TypeError: If a name is not a string.
        ValueError: If no layer is named.
    """
    known = generator.layers
    chosen = set(known if layers is None else unique_names(layers))
    if wrong := [name for name in chosen if not isinstance(name, str)]:
        raise TypeError(f"layers must be names such as {next(iter(known))!r}; got {wrong[0]!r}")
    for name in sorted(chosen - set(known)):
        raise KeyError(unknown_name_message("layer", name, known))
    if not chosen:
        raise ValueError(f"name at least one layer, or pass None for all; the layers are {', '.join(known)}")
    return tuple(name for name in known if name in chosen)
