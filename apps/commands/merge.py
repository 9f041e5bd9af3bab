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
    """Merge dissection shards, and write the report.

    Args:
        shards: Folders that gandissect dissect --shard wrote, all of them, in any order.
        out: Folder for the result and its report.
        min_iou: Smallest IoU at which a unit counts as matching a concept.
        overwrite: Replace the results of an earlier run in the folder.
        json: Print the summary as JSON.
    """

    shards: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    min_iou: float = 0.04
    overwrite: bool = False
    json: bool = False

    def run(self) -> None:
        """Merge the shards, save the result, write the report, and print the counts and the report's path."""
        if not 0 <= self.min_iou <= 1:
            raise ValueError(f"min_iou must be in [0, 1]; got {self.min_iou}")
        with output_folder(self.out, DISSECTION_FILES, overwrite=self.overwrite) as staged:
            dissection = merge_shards(self.shards)
            dissection.save(staged)
            report = write_report(staged, dissection, min_iou=self.min_iou)
        print_dissection(dissection, self.out / report.name, self.min_iou, as_json=self.json)
