"""What the page of artifacts has worked out in the background: small versions of what `gandissect repair` does.

Every picture is counted by `tasks.advance`, so that a page can say how far the work is and call it off.
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
    """How many pictures are looked at.

    Args:
        real: Real pictures to compare with.
        held_out: Real pictures that only the report is measured with.
        scored: Generated pictures of which the worst are shown.
        ranked: Generated pictures that units are ranked with.
        effect: Pictures in which each unit alone is switched off.
        images: In a set, to measure distances.
        sets: Sets of these.
        controls: Draws of random units.
        counts: Numbers of units that are tried.
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
        """Return how many pictures a ranking looks at."""
        return self.ranked + (self.effect * (units + 1) if method == "effect" else 0)

    def for_curve(self, units: int) -> int:
        """Return how many pictures the distances look at."""
        tried = sum(count <= units for count in self.counts)
        return self.images * self.sets * (1 + tried * (1 + self.controls))

    def for_report(self) -> int:
        """Return how many pictures a report looks at."""
        num_measured = self.held_out * self.sets * (2 + self.controls)
        return num_measured + min(512, self.held_out * self.sets) * (2 + self.controls)


def find_real_specs(generator: str, specs: Sequence[str]) -> tuple[str, ...]:
    """Return where the pictures are that a generator learned from.

    Args:
        generator: The generator's name.
        specs: What the explorer was started with, if anything.

    Raises:
        ValueError: If they are not known.
    """
    if specs:
        return tuple(specs)
    if "-scenes" in generator:
        return ("scenes",)
    raise ValueError(
        f"what {generator!r} learned from is not here to compare with; start the explorer with the pictures: "
        "gandissect explore --data FOLDER ..."
    )


def make_yardstick(
    segmenter: Segmenter, specs: tuple[str, ...], size: int, sizes: Sizes, skip_broken: bool = False
) -> Yardstick:
    """Return real pictures as features of the segmenter's encoder.

    Raises:
        ValueError: If the segmenter has no encoder, or there are too few pictures.
        FileNotFoundError: If there is no such folder.
    """
    features = encoder_features(segmenter)
    train, held_out = open_pictures(specs, size, HOLD_OUT, skip_broken=skip_broken)
    if held_out is None:
        raise ValueError("nothing is held out to judge by; name a folder without @SPLIT")

    def extract_features(images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, "batch feature"]:
        advance(len(images))
        return features(images)

    return Yardstick(segmenter.name, extract_features, read(train, sizes.real), read(held_out, sizes.held_out))


def read(source: ImageSource, limit: int) -> UInt8[Tensor, "picture 3 H W"]:
    """Return evenly spaced pictures, uint8 ``[at most limit, 3, H, W]``, counted."""
    indices, parts = pick_evenly(source, limit), []
    for start in range(0, len(indices), BATCH):
        parts.append(source.batch(indices[start : start + BATCH]).images)
        advance(len(parts[-1]))
    return torch.cat(parts)


@torch.inference_mode()
def score(generator: Generator, yardstick: Yardstick, seed: int, count: int) -> Float64[Tensor, " picture"]:
    """Return how realistic the first pictures of a seed are, float64 ``[count]``; 1 or more is like a real one.

    Source: Kynkaanniemi et al. 2019, Sec. 5.
    """
    parts = []
    for start in range(0, count, BATCH):
        z = generator.sample_z(min(BATCH, count - start), seed, start).to(generator.device)
        parts.append(yardstick.extract_features(generator(z)))
    return realism(yardstick.train, torch.cat(parts))


def rank(
    generator: Generator, layer: str, yardstick: Yardstick, method: RankingMethod, sizes: Sizes
) -> ArtifactRanking:
    """Return the units of a layer by what they have to do with unrealistic pictures."""
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
    """Return the distance from real pictures against the number of units switched off."""
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
        repair: What was measured.
        file: A ZIP of the report as a page and a PDF, its numbers, and the recipe.
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
    """Measure a repair on pictures that nothing was chosen with, and write the report."""
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
    """Return a row for each number of units: distances, and the least and largest mean of random units.

    Returns:
        Columns ``units``, ``distance``, ``low`` and ``high`` (least and largest of the sets), ``random low`` and
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
