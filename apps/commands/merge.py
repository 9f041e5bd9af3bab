"""``gandissect merge``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from gandissect import merge_shards, write_report
from gandissect.storage import output_folder

from ..summaries import DISSECTION_FILES, print_dissection


@dataclass(frozen=True)
class Options:
    """Put the shards of a dissection together, and write its report.

    Args:
        shards: The folders that gandissect dissect --shard wrote, all of them, in any order.
        out: Folder for the result and its report.
        min_iou: The IoU from which a unit counts as matching a concept.
        overwrite: Replace the results of an earlier run in the folder.
        json: Print the summary as JSON.
    """

    shards: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    min_iou: float = 0.04
    overwrite: bool = False
    json: bool = False

    def run(self) -> None:
        """Merge, save, report, and print the counts and where the report lies."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou is between 0 and 1; got {self.min_iou}")
        with output_folder(self.out, DISSECTION_FILES, overwrite=self.overwrite) as staged:
            dissection = merge_shards(self.shards)
            dissection.save(staged)
            report = write_report(staged, dissection, min_iou=self.min_iou)
        print_dissection(dissection, self.out / report.name, self.min_iou, as_json=self.json)
