"""``gandissect train segmenter``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from gandissect.storage import check_run, lock_folder
from segmenters import SegmenterSettings, train_segmenter
from segmenters.datasets import check_output, open_labeled_pictures


@dataclass(frozen=True)
class Options:
    """Train a segmentation network on labeled pictures.

    The bundled networks were made by ``segmenters.recipes``; this trains one on pictures of your own.

    Args:
        data: Labeled pictures to learn from, one or more of: scenes or scenes:COUNT (rendered), FOLDER, or
            FOLDER@SPLIT (those that FOLDER/SPLIT.txt names); all need the same concepts.
        held_out: Labeled pictures to judge by, which are never learned from, named as for --data; e.g. FOLDER@val.
        out: Folder that the run is written to: checkpoint, metrics, grids of pictures, segmenter.safetensors.
        settings: How the segmenter is trained.
        size: Height and width in pixels that pictures are brought to.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        snapshot_every: Steps from one snapshot to the next; each is evaluated, and writes a segmenter and a grid.
        checkpoint_every: Steps from one checkpoint to the next; a killed training loses those since the last.
        resume: Continue from the checkpoint in the folder, if it has one.
        device: Device that computes: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    data: tuple[str, ...]
    held_out: str
    out: Path
    settings: Annotated[SegmenterSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=SegmenterSettings)
    size: int = 160
    skip_broken: bool = False
    snapshot_every: int = 1000
    checkpoint_every: int = 250
    resume: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Train, and print the path of the segmenter."""
        if self.held_out in self.data:
            raise ValueError(f"{self.held_out!r} is both learned from and judged by; name another split")
        check_run(self.out, self.resume)
        check_output(self.out, [*self.data, self.held_out])
        with lock_folder(self.out):
            path = self._train()
        print(json.dumps({"segmenter": str(path), "steps": self.settings.num_steps}) if self.json else path)

    def _train(self) -> Path:
        """Train, and return the path of the segmenter."""
        sources, held_out = open_labeled_pictures(self.data, self.held_out, self.size, skip_broken=self.skip_broken)
        return train_segmenter(
            self.settings,
            sources,
            held_out,
            self.out,
            device=self.device,
            snapshot_every=self.snapshot_every,
            checkpoint_every=self.checkpoint_every,
            resume=self.resume,
        )
