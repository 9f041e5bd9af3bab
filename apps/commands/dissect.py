"""``gandissect dissect``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import generators
import segmenters
from gandissect import dissect, write_report

from ..summaries import print_dissection


@dataclass(frozen=True)
class Options:
    """Find what each unit of a generator draws, and write the report.

    Args:
        generator: A bundled name, or the path of a .safetensors file.
        segmenter: A bundled name, or the path of a .safetensors file.
        out: Folder for the result (dissection.safetensors) and its report (report.html, units.csv, dissection.json).
        layers: Which layers; all when none is given.
        num_samples: How many pictures are generated.
        seed: Seed of the pictures.
        quantile: Share of all pixels on which a unit counts as on, at most.
        min_iou: The IoU from which a unit counts as matching a concept.
        device: auto, cpu, cuda or mps.
        json: Print the summary as JSON.
    """

    generator: str
    segmenter: str
    out: Path
    layers: tuple[str, ...] = ()
    num_samples: int = 1_000
    seed: int = 0
    quantile: float = 0.01
    min_iou: float = 0.04
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Dissect, save, report, and print the counts and where the report lies."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou is between 0 and 1; got {self.min_iou}")
        self._check_out()
        generator = generators.load(self.generator, self.device)
        segmenter = segmenters.load(self.segmenter, self.device)
        dissection = dissect(
            generator,
            segmenter,
            layers=self.layers or None,
            num_samples=self.num_samples,
            seed=self.seed,
            quantile=self.quantile,
        )
        dissection.save(self.out)
        report = write_report(self.out, dissection, min_iou=self.min_iou)
        print_dissection(dissection, report, self.min_iou, as_json=self.json)

    def _check_out(self) -> None:
        """Raise ValueError if nothing can be written to the folder, before all the work is done."""
        nearest = next(path for path in (self.out, *self.out.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            why = "cannot be written to" if nearest.is_dir() else "is a file"
            raise ValueError(f"{nearest} {why}; name another folder for the result")
