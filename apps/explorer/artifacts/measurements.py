"""Background computations of the page Artifacts: smaller versions of those of `gandissect repair`.

Every picture is reported with `tasks.advance`, so that a page can show progress and cancel.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from gandissect import (
    ArtifactRanking,
    Generator,
    Segmenter,
    UnitSet,
    choose_num_units,
    measure_repair,
    rank_artifact_units,
    write_repair_report,
)
from gandissect.artifacts.ranking import RankingMethod
from gandissect.artifacts.results import Repair, RepairCurve
from gandissect.core import pick_evenly
from gandissect.fidelity import encoder_features
from gandissect.fidelity.neighbors import realism
from gandissect.fidelity.yardstick import Yardstick
from segmenters.datasets import ImageSource, open_pictures

from ..background.tasks import CountedSegmenter, advance

BATCH = 32
HOLD_OUT = 0.05
SEED = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of pictures and units.

    Args:
        real: Number of real pictures to compare with.
        held_out: Number of held-out real pictures, used only for the report.
        scored: Number of generated pictures among which the worst are shown.
        ranked: Number of generated pictures for ranking the units.
        effect: Number of pictures in which each unit is switched off alone.
        images: Number of pictures per set, for distances.
        sets: Number of sets.
        controls: Number of draws of random control units.
        counts: Numbers of units to switch off.
    """

    real: int = 400
    held_out: int = 100
    scored: int = 192
    ranked: int = 320
    effect: int = 16
    images: int = 64
    sets: int = 3
    controls: int = 2
    counts: tuple[int, ...] = (1, 2, 5, 10, 20)

    def for_ranking(self, method: RankingMethod, units: int) -> int:
        """Return the approximate number of pictures that a ranking processes."""
        return self.ranked + (self.effect * (units + 1) if method == "effect" else 0)

    def for_curve(self, units: int) -> int:
        """Return the approximate number of pictures that the distances process."""
        tried = sum(count <= units for count in self.counts)
        return self.images * self.sets * (1 + tried * (1 + self.controls))

    def for_report(self) -> int:
        """Return the approximate number of pictures that a report processes."""
        num_measured = self.held_out * self.sets * (2 + self.controls)
        return num_measured + min(512, self.held_out * self.sets) * (2 + self.controls)


def find_real_specs(generator: str, specs: Sequence[str]) -> tuple[str, ...]:
    """Return the locations of a generator's training pictures.

    Args:
        generator: Name of the generator.
        specs: Locations passed with ``--data``, if any.

    Raises:
        ValueError: If the training pictures are unknown.
    """
    if specs:
        return tuple(specs)
    if "-scenes" in generator:
        return ("scenes",)
    raise ValueError(
        f"the training pictures of {generator!r} are unknown; pass them as gandissect explore --data FOLDER"
    )


def make_yardstick(
    segmenter: Segmenter, specs: tuple[str, ...], size: int, sizes: Sizes, skip_broken: bool = False
) -> Yardstick:
    """Return a yardstick of real pictures, with features of the segmenter's encoder.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
        FileNotFoundError: If a folder does not exist.
    """
    features = encoder_features(segmenter)
    train, held_out = open_pictures(specs, size, HOLD_OUT, skip_broken=skip_broken)
    if held_out is None:
        raise ValueError("--data must include a folder without @SPLIT, from which pictures are held out")

    def extract_features(images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch feature"]:
        advance(len(images))
        return features(images)

    return Yardstick(segmenter.name, extract_features, read(train, sizes.real), read(held_out, sizes.held_out))


def read(source: ImageSource, limit: int) -> UInt8[Tensor, "picture 3 H W"]:
    """Read evenly spaced pictures, uint8 ``[at most limit, 3, H, W]``, and report the progress."""
    indices, parts = pick_evenly(source, limit), []
    for start in range(0, len(indices), BATCH):
        parts.append(source.batch(indices[start : start + BATCH]).images)
        advance(len(parts[-1]))
    return torch.cat(parts)


@torch.inference_mode()
def score(generator: Generator, yardstick: Yardstick, seed: int, count: int) -> Float64[Tensor, " picture"]:
    """Return the realism of the first pictures of a seed, float64 ``[count]``; about 1 or higher for a real picture.

    Source: Kynkäänniemi et al. 2019, Sec. 5.
    """
    parts = []
    for start in range(0, count, BATCH):
        z = generator.sample_z(min(BATCH, count - start), seed, start).to(generator.device)
        parts.append(yardstick.extract_features(generator(z)))
    return realism(yardstick.train, torch.cat(parts))


def rank(
    generator: Generator, layer: str, yardstick: Yardstick, method: RankingMethod, sizes: Sizes
) -> ArtifactRanking:
    """Rank the units of a layer by their relation to unrealistic pictures."""
    least = 2 * yardstick.train.shape[1] / sizes.ranked
    return rank_artifact_units(
        generator,
        layer,
        yardstick,
        sizes.ranked,
        SEED,
        top_share=min(0.9, max(0.1, least)),
        method=method,
        num_effect=sizes.effect,
        progress=False,
    )


def measure(generator: Generator, ranking: ArtifactRanking, yardstick: Yardstick, sizes: Sizes) -> RepairCurve:
    """Return the distance from real pictures as a function of the number of units switched off."""
    units = ranking.top(max(count for count in sizes.counts if count <= len(ranking.distance)))
    return choose_num_units(
        generator,
        units,
        yardstick,
        sizes.counts,
        SEED,
        num_images=sizes.images,
        num_sets=sizes.sets,
        num_controls=sizes.controls,
        progress=False,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A repair report to download.

    Args:
        repair: Measured repair.
        file: ZIP with the report as HTML and PDF, its numbers, and the recipe.
    """

    repair: Repair
    file: bytes


def make_report(
    generator: Generator,
    curve: RepairCurve,
    units: UnitSet,
    yardstick: Yardstick,
    ranking: ArtifactRanking,
    segmenter: Segmenter,
    sizes: Sizes,
) -> Report:
    """Measure a repair on held-out pictures, and write the report."""
    repair = measure_repair(
        generator,
        units,
        yardstick,
        SEED,
        num_sets=sizes.sets,
        num_controls=sizes.controls,
        segmenter=CountedSegmenter(segmenter),
        progress=False,
    )
    file = io.BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        write_repair_report(folder, generator, curve, repair, ranking)
        for path in sorted(Path(folder).iterdir()):
            archive.write(path, path.name)
    return Report(repair, file.getvalue())


def curve_table(curve: RepairCurve) -> pd.DataFrame:
    """Return a row for each number of units: the distances, and the range of means over random units.

    Returns:
        Columns ``units``, ``distance``, ``low`` and ``high`` (minimum and maximum over the sets), ``random low`` and
        ``random high``.
    """
    control = curve.control.mean(2)
    return pd.DataFrame(
        {
            "units": curve.counts,
            "distance": curve.distance.mean(1).tolist(),
            "low": curve.distance.amin(1).tolist(),
            "high": curve.distance.amax(1).tolist(),
            "random low": control.amin(0).tolist(),
            "random high": control.amax(0).tolist(),
        }
    )
