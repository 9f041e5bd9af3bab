"""``gandissect train generator``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import tyro

from gandissect import Yardstick
from gandissect.storage import check_run, lock_folder
from generators import LayeredGenerator
from generators.training import FAMILIES, RECIPES, TrainingSettings, train_generator
from generators.training.processes import is_first
from segmenters.datasets import check_output, open_pictures

from ..networks import load_segmenter
from ..real_pictures import require_held_out

FIRST = ("architecture", tuple(RECIPES))
"""What the command begins with."""

TAKES_NONE = True
"""``--start-resolution None`` says something else than leaving the option out."""


def _suppress_architecture(settings: TrainingSettings) -> TrainingSettings:
    """Return settings whose architecture is no option, since the command begins with it."""
    kind, fixed = type(settings), tyro.conf.Suppress[tyro.conf.Fixed[str]]
    options = make_dataclass(
        kind.__name__, [("architecture", fixed, settings.architecture)], bases=(kind,), frozen=True, slots=True
    )
    options.__doc__ = kind.__doc__
    return cast(TrainingSettings, options(**asdict(settings)))


if TYPE_CHECKING:
    Settings = TrainingSettings
else:
    Settings = tyro.extras.subcommand_type_from_defaults(
        {name: _suppress_architecture(recipe) for name, recipe in RECIPES.items()},
        descriptions={name: f"Train a {family.title}." for name, family in FAMILIES.items()},
        prefix_names=False,
    )


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class Options:
    """Train a GAN on a folder of pictures, or on rendered scenes.

    The architecture comes first: gandissect train generator progan --data FOLDER --out runs/mine.

    Args:
        data: Pictures to learn from, one or more of: scenes or scenes:COUNT (rendered), FOLDER, or FOLDER@SPLIT (those
            that FOLDER/SPLIT.txt names).
        out: Folder that the run is written to: checkpoint, metrics, grids of samples, generator.safetensors.
        settings: How the generator is trained.
        hold_out: Share of each FOLDER without @SPLIT that is never learned from, to judge by.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        segmenter: Segmenter whose features measure the distance from held-out pictures at each snapshot: a bundled
            name, the path of a .safetensors file, or the folder of a training; without it nothing is measured.
        snapshot_images: Images from one snapshot to the next; each writes a generator and a grid of samples.
        checkpoint_images: Images from one checkpoint to the next; a killed training loses those since the last.
        resume: Continue from the checkpoint in the folder, if it has one; a larger --images extends the training.
        device: Device that computes: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    data: tuple[str, ...]
    out: Path
    settings: Annotated[Settings, tyro.conf.OmitArgPrefixes]
    hold_out: float = 0.05
    skip_broken: bool = False
    segmenter: tyro.conf.DisallowNone[str | None] = None
    snapshot_images: int = 50_000
    checkpoint_images: int = 25_000
    resume: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Train, and print the path of the generator."""
        check_run(self.out, self.resume)
        check_output(self.out, self.data)
        with lock_folder(self.out) if is_first() else nullcontext():
            path = self._train()
        if is_first():
            print(json.dumps({"generator": str(path), "images": self.settings.images}) if self.json else path)

    def _train(self) -> Path:
        """Train, and return the path of the generator."""
        source, held_out = open_pictures(
            self.data, self.settings.resolution, self.hold_out, skip_broken=self.skip_broken
        )
        evaluate = None
        if self.segmenter is not None:
            yardstick = Yardstick.of(load_segmenter(self.segmenter, self.device), source, require_held_out(held_out))

            def evaluate(generator: LayeredGenerator) -> Mapping[str, float]:
                fidelity = yardstick.measure(generator)
                return {
                    "distance": fidelity.distance,
                    "distance_floor": fidelity.floor,
                    "nearest_ratio": fidelity.generated.nearest_ratio.mean,
                    "nearest_ratio_real": fidelity.real.nearest_ratio.mean,
                }

        return train_generator(
            self.settings,
            source,
            self.out,
            evaluate=evaluate,
            held_out=held_out,
            snapshot_images=self.snapshot_images,
            checkpoint_images=self.checkpoint_images,
            resume=self.resume,
            device=self.device,
        )
