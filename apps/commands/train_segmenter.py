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

    To retrain a bundled network, use ``segmenters.recipes`` instead.

    Args:
        data: Labeled training pictures, one or more of scenes, scenes:COUNT (rendered), FOLDER, or FOLDER@SPLIT (those
            listed in FOLDER/SPLIT.txt); all must have the same concepts.
        held_out: Labeled pictures for evaluation, never trained on, named as for --data; e.g. FOLDER@val.
        out: Folder for the run: checkpoint, metrics, grids of pictures, segmenter.safetensors.
        settings: Training settings.
        size: Height and width that pictures are resized to, in pixels.
        skip_broken: Skip unusable pictures, with a warning that names them.
        snapshot_every: Number of steps between snapshots; each is evaluated, and writes a segmenter and a grid.
        checkpoint_every: Number of steps between checkpoints; a killed run loses the progress since its last one.
        resume: Continue from the checkpoint in the folder, if there is one.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print a summary as JSON.
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
        """Train the segmenter, and print its path."""
        if self.held_out in self.data:
            raise ValueError(f"--held-out must not be among --data; got {self.held_out!r}; name another split")
        check_run(self.out, self.resume)
        check_output(self.out, [*self.data, self.held_out])
        with lock_folder(self.out):
            path = self._train()
        print(json.dumps({"segmenter": str(path), "steps": self.settings.num_steps}) if self.json else path)

    def _train(self) -> Path:
        """Train the segmenter, and return its path."""
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
