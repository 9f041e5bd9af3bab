"""``gandissect dissect``."""

from __future__ import annotations

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
    num_samples: int = 10_000
    seed: int = 0
    quantile: float = 0.01
    min_iou: float = 0.04
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Dissect, save, report, and print the counts and where the report lies."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou is between 0 and 1; got {self.min_iou}")
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
