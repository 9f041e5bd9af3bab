"""``gandissect train generator``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

import segmenters
from generators import LayeredGenerator
from generators.training import GANSettings, train_generator

from ..data import pictures
from ..yardsticks import yardstick


@dataclass(frozen=True)
class Options:
    """Train a GAN on a folder of pictures, or on rendered scenes; run it again to continue where it stopped.

    Args:
        data: What to learn from, each scenes, scenes:COUNT, FOLDER or FOLDER@SPLIT.
        out: Folder of the run: checkpoint, metrics, sample grids, generator.safetensors.
        settings: How to train.
        hold_out: Share of each folder without @SPLIT that is kept to judge by.
        segmenter: Whose features measure the distance to held-out pictures at each snapshot; none by default.
        snapshot_images: Images between snapshots.
        checkpoint_images: Images between checkpoints.
        device: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    data: tuple[str, ...]
    out: Path
    settings: Annotated[GANSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=GANSettings)
    hold_out: float = 0.05
    segmenter: str | None = None
    snapshot_images: int = 50_000
    checkpoint_images: int = 25_000
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Train, and print the path of the generator."""
        source, held_out = pictures(self.data, self.settings.size, self.hold_out)
        evaluate = None
        if self.segmenter is not None:
            measure = yardstick(segmenters.load(self.segmenter, self.device), source, held_out)

            def evaluate(generator: LayeredGenerator) -> Mapping[str, float]:
                found = measure.measure(generator)
                return {"distance": found.distance, "distance_floor": found.floor}

        path = train_generator(
            self.settings,
            source,
            self.out,
            evaluate=evaluate,
            snapshot_images=self.snapshot_images,
            checkpoint_images=self.checkpoint_images,
            device=self.device,
        )
        print(json.dumps({"generator": str(path), "images": self.settings.images}) if self.json else path)
