"""``gandissect dissect``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from gandissect.core.environment import resolve_device
from gandissect.dissection.counting.tally import TALLY
from gandissect.inference.upsampling import Padding
from gandissect.storage.files import check_folder
from generators.training.processes import Processes

from ..networks import Model, load_generator, load_segmenter
from ..summaries import print_dissection


@dataclass(frozen=True)
class Options:
    """Find what each unit of a generator draws, and write the report.

    Stopped at any moment, it goes on from where it was when it is started again. Processes of torchrun share the work.

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training (best.safetensors in it
            if it is there, else generator.safetensors).
        segmenter: A bundled name, the path of a .safetensors file, or the folder of a training; by default the one made
            for such pictures.
        out: Folder for the result (dissection.safetensors) and its report (report.html, units.csv, dissection.json).
        layers: Which layers; all when none is given.
        num_samples: How many pictures are generated.
        seed: Seed of the pictures.
        quantile: Share of all pixels on which a unit counts as on, at most.
        padding: What is beyond the border of a layer's grid: edge (the value there) or zeros.
        curves: Count at many thresholds too: the IoU as a curve, and the threshold that tells most of a concept.
        min_iou: The IoU from which a unit counts as matching a concept.
        shard: Count one part of the samples only, such as 2/4, for gandissect merge; each into a folder of its own.
        device: auto, cpu, cuda or mps.
        json: Print the summary as JSON.
    """

    generator: Model
    out: Path
    segmenter: str | None = None
    layers: tuple[str, ...] = ()
    num_samples: int = 1_000
    seed: int = 0
    quantile: float = 0.01
    padding: Padding = "edge"
    curves: bool = False
    min_iou: float = 0.04
    shard: str | None = None
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Dissect, save, report, and print the counts and where the report lies."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou is between 0 and 1; got {self.min_iou}")
        shard = None if self.shard is None else self._parse_shard()
        check_folder(self.out)
        processes = Processes(resolve_device(self.device))
        device = str(processes.device)
        generator = load_generator(self.generator, device)
        networks = generator, load_segmenter(self.segmenter or segmenters.find_for(generator.name), device)
        settings = DissectSettings(self.num_samples, self.seed, self.quantile, padding=self.padding, curves=self.curves)
        layers = self.layers or None
        self._check_earlier(*networks)
        if shard is not None:
            print(dissect_shard(*networks, self.out, shard, layers, settings))
            return
        if processes.count == 1:
            self._finish(dissect(*networks, layers, **asdict(settings), folder=self.out), [self.out])
            return
        shards = [self.out / f"shard-{number}" for number in range(1, processes.count + 1)]
        dissect_shard(*networks, shards[processes.rank], (processes.rank + 1, processes.count), layers, settings)
        processes.wait()
        if processes.rank == 0:
            self._finish(merge_shards(shards, networks), shards)

    def _parse_shard(self) -> tuple[int, int]:
        """Return which part is asked for.

        Raises:
            ValueError: If it is none.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard or "")
        if match is None:
            raise ValueError(f"a shard is 1/4, 2/4 and so on; got {self.shard!r}")
        return int(match[1]), int(match[2])

    def _finish(self, dissection: Dissection, folders: list[Path]) -> None:
        """Save the result, write its report, and remove what was counted on the way there."""
        dissection.save(self.out / Dissection.FILE_NAME)
        report = write_report(self.out, dissection, min_iou=self.min_iou)
        for folder in folders:
            (folder / TALLY).unlink(missing_ok=True)
            if folder != self.out:
                folder.rmdir()
        print_dissection(dissection, report, self.min_iou, as_json=self.json)

    def _check_earlier(self, generator: Generator, segmenter: Segmenter) -> None:
        """Raise ValueError if the folder holds the result of another dissection, which would be lost."""
        try:
            earlier = Dissection.load(self.out / Dissection.FILE_NAME)
        except (FileNotFoundError, ValueError):  # none, or one that cannot be read any more
            return
        provenance = earlier.provenance
        pairs: dict[str, tuple[Any, Any]] = {
            "generator": (provenance.generator.fingerprint, generator.fingerprint),
            "segmenter": (provenance.segmenter.fingerprint, segmenter.fingerprint),
            "layers": ({layer.name for layer in earlier}, set(self.layers or generator.layers)),
        }
        pairs |= {
            name: (getattr(provenance, name), getattr(self, name)) for name in ("num_samples", "seed", "quantile")
        }
        pairs |= {
            "padding": (provenance.padding, self.padding),
            "curves": (earlier.layers[0].curves is not None, self.curves),
        }
        for name, (old, new) in pairs.items():
            if old != new:
                raise ValueError(
                    f"{self.out} holds a dissection with other {name}; remove {Dissection.FILE_NAME} there, or name "
                    "another folder"
                )
