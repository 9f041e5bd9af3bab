"""``gandissect report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from gandissect import Dissection, write_report

from ..summaries import print_dissection


@dataclass(frozen=True)
class Options:
    """Rewrite the report of a saved dissection.

    Args:
        dissection: Folder that gandissect dissect wrote, or the dissection.safetensors file in it.
        input_labels: Folder of the same dissection with --labels input, whose IoU is shown beside each unit's IoU with
            the outputs.
        out: Folder for the report; by default the folder of the dissection.
        min_iou: Smallest IoU at which a unit counts as matching a concept.
        overwrite: Replace the report of another dissection in the folder.
        json: Print the summary as JSON.
    """

    dissection: tyro.conf.Positional[Path]
    input_labels: Path | None = None
    out: Path | None = None
    min_iou: float = 0.04
    overwrite: bool = False
    json: bool = False

    def run(self) -> None:
        """Write the report, and print the counts and its path."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou must be in [0, 1]; got {self.min_iou}")
        dissection = Dissection.load(self.dissection)
        folder = self.dissection if self.dissection.is_dir() else self.dissection.parent
        inputs = None if self.input_labels is None else Dissection.load(self.input_labels)
        out = self.out or folder
        report = write_report(out, dissection, inputs=inputs, min_iou=self.min_iou, overwrite=self.overwrite)
        print_dissection(dissection, report, self.min_iou, as_json=self.json)
