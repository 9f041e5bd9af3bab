"""``gandissect dissect``."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import segmenters
from gandissect import (
    Dissection,
    DissectSettings,
    Generator,
    Segmenter,
    dissect,
    dissect_shard,
    merge_shards,
    write_report,
)
from gandissect.core import is_same_network, lookup
from gandissect.core.environment import resolve_device
from gandissect.core.rows import limit_rows
from gandissect.dissection.counting.tally import TALLY
from gandissect.dissection.dissect import PASS_FOLDER
from gandissect.inference.labels import LabelSource
from gandissect.inference.upsampling import Padding
from gandissect.report import REPORT_FILES
from gandissect.storage import check_folder, check_new_file, lock_folder, output_folder
from generators.training.processes import Processes

from ..networks import Model, describe_with, limit_samples, load_generator, load_segmenter
from ..summaries import DISSECTION_FILES, print_dissection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Find the concept that each unit of a generator matches, and write a report.

    Rerun the command to resume an interrupted dissection; rerunning a finished one only rewrites its report. Under
    torchrun, all processes share the work.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder (its best.safetensors if
            present, else generator.safetensors).
        segmenter: Segmenter: a bundled name, a .safetensors file, or a training folder; by default the bundled one for
            the generator's kind of images.
        out: Folder for the result (dissection.safetensors) and its report (report.html, units.csv, dissection.json).
        inputs: Pictures that a translator is put on, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        labels: Source of the label maps: output (the segmented images) or input (the true labels of --inputs). To see
            both IoU side by side, dissect twice, and pass the second folder to gandissect report --input-labels.
        classes: Names of the classes to draw samples from, for a generator with classes; by default all of them.
        caption: Captions to draw samples from, each in quotes, for a stackgan; by default those that it learned from.
        layers: Layers to dissect; by default all.
        num_samples: Number of images to generate.
        seed: Seed of the latent vectors.
        quantile: Largest share of all pixels on which a unit counts as active.
        padding: Values beyond the border of a layer's grid: edge (repeat the border) or zeros.
        curves: Count at many thresholds, for IoU curves and the thresholds with the highest information quality ratio.
        min_iou: Smallest IoU at which a unit counts as matching a concept.
        shard: Part of the samples to count, e.g. 2/4, for gandissect merge; each shard needs a separate folder.
        batch_size: Images per batch; smaller batches need less memory.
        top_images: Number of images per unit in the report, those with the highest activations; fewer need less memory.
        max_memory: Memory limit of the counts, in gigabytes; layers that do not fit together are dissected in several
            passes, each as long as a pass over all layers, with the same result.
        overwrite: Dissect again even if the folder holds a finished dissection or the counts of another one.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the summary as JSON.
    """

    RESUMES: ClassVar = True

    generator: Model
    out: Path
    segmenter: str | None = None
    inputs: tuple[str, ...] = ()
    labels: LabelSource = "output"
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    num_samples: int = 1_000
    seed: int = 0
    quantile: float = 0.01
    padding: Padding = "edge"
    curves: bool = False
    min_iou: float = 0.04
    shard: str | None = None
    batch_size: int = 32
    top_images: int = 5
    max_memory: float | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Dissect, save the result, write the report, and print the counts and the report's path."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou must be in [0, 1]; got {self.min_iou}")
        shard = None if self.shard is None else self._parse_shard()
        check_folder(self.out)
        processes = Processes(resolve_device(self.device))
        device = str(processes.device)
        generator = describe_with(load_generator(self.generator, device, self.classes, self.inputs), self.caption)
        networks = generator, load_segmenter(self.segmenter or segmenters.find_for(generator.name), device)
        for name in self.layers:
            lookup(generator.layers, name, "layer")
        names = ("num_samples", "seed", "quantile", "batch_size", "top_images", "padding", "curves", "labels")
        settings = DissectSettings(**{name: getattr(self, name) for name in names})
        settings = replace(settings, num_samples=limit_samples(generator, self.num_samples))
        if self.max_memory is not None and (shard is not None or processes.count > 1):
            raise ValueError("--max-memory needs a single process without --shard; name fewer --layers instead")
        if shard is not None:
            self._check_no_result()
            layers, overwrite = self.layers or None, self.overwrite
            print(dissect_shard(*networks, self.out, shard, layers, settings, overwrite=overwrite))
            return
        with lock_folder(self.out) if processes.rank == 0 else nullcontext():
            finished = None if self.overwrite else self._load_finished(*networks)
            if finished is None:
                self._dissect(networks, settings, processes)
            elif processes.rank == 0:
                logger.info("%s is already finished; rewriting its report", self.out)
                (self.out / TALLY).unlink(missing_ok=True)  # left by a process that was killed just before its end
                report = write_report(self.out, finished, min_iou=self.min_iou, overwrite=True)
                print_dissection(finished, report, self.min_iou, as_json=self.json)

    def _dissect(self, networks: tuple[Generator, Segmenter], settings: DissectSettings, processes: Processes) -> None:
        """Dissect in one process, or dissect this process's shard and merge all shards."""
        layers, overwrite = self.layers or None, self.overwrite
        if processes.count == 1:
            options = {**asdict(settings), "max_memory": self.max_memory}
            dissection = dissect(*networks, layers, **options, folder=self.out, overwrite=overwrite)
            self._finish(dissection, [self.out, *self.out.glob(PASS_FOLDER.format("[0-9]*"))])
            return
        shards = [self.out / f"shard-{number}" for number in range(1, processes.count + 1)]
        part = processes.rank + 1, processes.count
        dissect_shard(*networks, shards[processes.rank], part, layers, settings, overwrite=overwrite)
        processes.wait()
        if processes.rank == 0:
            self._finish(merge_shards(shards, networks), shards)

    def _parse_shard(self) -> tuple[int, int]:
        """Return the number of the shard and the number of shards.

        Raises:
            ValueError: If the option is not of the form K/N.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard or "")
        if match is None:
            raise ValueError(f"--shard must be K/N, such as 1/4 or 2/4; got {self.shard!r}")
        return int(match[1]), int(match[2])

    def _finish(self, dissection: Dissection, folders: list[Path]) -> None:
        """Save the result, write its report, and remove the intermediate counts."""
        with output_folder(self.out, DISSECTION_FILES, overwrite=True) as staged:
            dissection.save(staged)
            report = self.out / write_report(staged, dissection, min_iou=self.min_iou).name
        for folder in folders:
            (folder / TALLY).unlink(missing_ok=True)
            if folder != self.out:
                folder.rmdir()
        print_dissection(dissection, report, self.min_iou, as_json=self.json)

    def _check_no_result(self) -> None:
        """Raise FileExistsError if the folder of a shard holds a finished dissection."""
        if earlier := [path for path in (self.out / name for name in DISSECTION_FILES) if path.exists()]:
            raise FileExistsError(f"{earlier[0]} exists; count the shard into a separate folder")

    def _load_finished(self, generator: Generator, segmenter: Segmenter) -> Dissection | None:
        """Return the finished dissection in the folder, if any.

        Raises:
            FileExistsError: If the folder holds a dissection with other settings, or the report of one.
        """
        path = self.out / Dissection.FILE_NAME
        if not path.exists():
            for name in REPORT_FILES:
                check_new_file(self.out / name)
            return None
        remedy = "name another folder, or dissect again with --overwrite"
        try:
            earlier = Dissection.load(path)
        except ValueError as error:
            raise FileExistsError(f"{error}; {remedy}") from error
        for name, (old, new) in self._compare(earlier, generator, segmenter).items():
            if old != new:
                raise FileExistsError(f"{self.out} holds a dissection with a different {name}; {remedy}")
        return earlier

    def _compare(
        self, earlier: Dissection, generator: Generator, segmenter: Segmenter
    ) -> Mapping[str, tuple[object, object]]:
        """Return the settings that define a dissection: those of an earlier one, and the requested ones."""
        provenance = earlier.provenance
        requested = limit_rows(generator, self.num_samples), self.seed, self.quantile, self.padding, self.labels
        names = "num_samples", "seed", "quantile", "padding", "labels"
        return {
            "generator": (True, is_same_network(provenance.generator.fingerprint, generator.fingerprint)),
            "segmenter": (True, is_same_network(provenance.segmenter.fingerprint, segmenter.fingerprint)),
            "layers": ({layer.name for layer in earlier}, set(self.layers or generator.layers)),
            "curves": (earlier.layers[0].curves is not None, self.curves),
            **{name: (getattr(provenance, name), value) for name, value in zip(names, requested, strict=True)},
            "top_images": (earlier.layers[0].top.samples.shape[1], min(self.top_images, requested[0])),
        }
