"""``gandissect merge``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from gandissect import Dissection, merge_shards, write_report

from ..summaries import print_dissection


@dataclass(frozen=True)
class Options:
    """Put the shards of a dissection together, and write its report.

    Args:
        shards: The folders that gandissect dissect --shard wrote, all of them, in any order.
        out: Folder for the result and its report.
        min_iou: The IoU from which a unit counts as matching a concept.
        json: Print the summary as JSON.
    """

    shards: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    min_iou: float = 0.04
    json: bool = False

    def run(self) -> None:
        """Merge, save, report, and print the counts and where the report lies."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou is between 0 and 1; got {self.min_iou}")
        dissection = merge_shards(self.shards)
        dissection.save(self.out / Dissection.FILE_NAME)
        report = write_report(self.out, dissection, min_iou=self.min_iou)
        print_dissection(dissection, report, self.min_iou, as_json=self.json)
