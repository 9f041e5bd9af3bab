"""``gandissect train generator``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, make_dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from gandissect import Yardstick
from gandissect.core.protocols import PictureSource
from gandissect.storage import check_run, lock_folder
from generators import LayeredGenerator
from generators.training import FAMILIES, RECIPES, TrainingSettings, train_generator
from generators.training.processes import is_first
from segmenters.datasets import MIXTURES, check_output, open_pairs, open_training_data

from ..networks import load_segmenter
from ..real_pictures import require_held_out

FIRST = ("architecture", tuple(RECIPES))
"""Words that the command must begin with."""

TAKES_NONE = True
"""Accept None as a value: ``--start-resolution None`` differs from leaving out the option."""


POINT_RECIPES = ("gan", "egan")
"""Architectures that generate points."""

POINTS: dict[str, Any] = {
    "resolution": 1,
    "width": 128,
    "max_width": 128,
    "z_dim": 2,
    "augmentation": (),
    "resident": False,
    "bf16": False,
}
"""Settings for points in place of a recipe's."""


def _suppress_architecture(settings: TrainingSettings) -> TrainingSettings:
    """Return settings without an option for the architecture, which the command begins with."""
    kind, fixed = type(settings), tyro.conf.Suppress[tyro.conf.Fixed[str]]
    options = make_dataclass(
        kind.__name__, [("architecture", fixed, settings.architecture)], bases=(kind,), frozen=True, slots=True
    )
    options.__doc__ = kind.__doc__
    return cast(TrainingSettings, options(**asdict(settings)))


def _join_recipes(recipes: Mapping[str, TrainingSettings]) -> Any:
    """Return the type of the settings that begin with the name of a recipe."""
    return tyro.extras.subcommand_type_from_defaults(
        {name: _suppress_architecture(recipe) for name, recipe in recipes.items()},
        descriptions={
            name: f"Train {'an' if FAMILIES[name].title[0] in 'AEIO' else 'a'} {FAMILIES[name].title}."
            for name in recipes
        },
        prefix_names=False,
    )


if TYPE_CHECKING:
    Settings = TrainingSettings
    PointSettings = TrainingSettings
else:
    Settings = _join_recipes(RECIPES)
    PointSettings = _join_recipes({name: replace(RECIPES[name], **POINTS) for name in POINT_RECIPES})


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class Options:
    """Train a generator on a folder of pictures or on rendered scenes.

    The architecture comes first: gandissect train generator progan --data FOLDER --out runs/mine.

    Args:
        data: Training pictures, one or more of scenes, scenes:COUNT (rendered), scenes:COUNT@NAME (of a mood, season,
            place or hour, such as dusk), FOLDER, or FOLDER@SPLIT (those listed in FOLDER/SPLIT.txt, or an idx file such
            as MNIST's); FOLDER@PATTERN (by name, such as "a*"). edges:PICTURES are the edges of any of these and
            labels:PICTURES their label maps; NAME=PICTURES makes them all of the class NAME, a domain. Or points, ring8
            or grid25, for gan and egan. For points, --resolution 1, --width 128, --max-width 128, --z-dim 2 and no
            augmentation are the default.
        out: Folder for the run: checkpoint, metrics, grids of samples, generator.safetensors.
        inputs: Inputs of a pix2pix, as for data; input i belongs to picture i of the data, such as --data scenes:20000
            --inputs labels:scenes:20000. Photographs of a pair have files of the same name.
        settings: Architecture of the generator, with its training settings.
        hold_out: Share of each FOLDER without @SPLIT that is held out from training, for evaluation.
        skip_broken: Skip unusable pictures, with a warning that names them.
        segmenter: Segmenter whose features measure the distance from held-out pictures at each snapshot: a bundled
            name, a .safetensors file, or a training folder; by default no distance is measured.
        snapshot_images: Number of images between snapshots; each writes a generator and a grid of samples.
        checkpoint_images: Number of images between checkpoints; a killed run loses the progress since its last one.
        resume: Continue from the checkpoint in the folder, if there is one; a larger --images extends the training.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print a summary as JSON.
    """

    data: tuple[str, ...]
    out: Path
    settings: Annotated[Settings, tyro.conf.OmitArgPrefixes]
    inputs: tuple[str, ...] = ()
    hold_out: float = 0.05
    skip_broken: bool = False
    segmenter: tyro.conf.DisallowNone[str | None] = None
    snapshot_images: int = 50_000
    checkpoint_images: int = 25_000
    resume: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Train the generator, and print its path."""
        check_run(self.out, self.resume)
        check_output(self.out, (*self.data, *self.inputs))
        with lock_folder(self.out) if is_first() else nullcontext():
            path = self._train()
        if is_first():
            print(json.dumps({"generator": str(path), "images": self.settings.images}) if self.json else path)

    def _open(self) -> tuple[PictureSource, PictureSource | None]:
        """Open the training data and the held-out data."""
        size, options = self.settings.resolution, {"skip_broken": self.skip_broken}
        if not self.inputs:
            return open_training_data(self.data, size, self.hold_out, **options)
        if not FAMILIES[self.settings.architecture].paired:
            raise ValueError(f"{self.settings.architecture} takes no inputs; omit --inputs, or train a pix2pix")
        return open_pairs(self.inputs, self.data, size, self.hold_out, **options)

    def _train(self) -> Path:
        """Train the generator, and return its path."""
        source, held_out = self._open()
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


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)
@dataclass(frozen=True)
class PointOptions(Options):
    """Train a generator of points; the settings have other defaults than those for pictures."""

    settings: Annotated[PointSettings, tyro.conf.OmitArgPrefixes]


PointOptions.__doc__ = Options.__doc__


def choose_options(arguments: Sequence[str]) -> type[Options]:
    """Return the options that a command line is parsed to: those for points if its data are points.

    Raises:
        ValueError: If the architecture does not generate points.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    after = words[words.index("--data") + 1 :] if "--data" in words else []
    data = list(takewhile(lambda word: not word.startswith("-"), after))
    if not data or not set(data) <= set(MIXTURES):
        return Options
    architecture = next((word for word in arguments if word in RECIPES), None)  # a later one is a value, such as --out
    if architecture is not None and architecture not in POINT_RECIPES:
        allowed = " or ".join(POINT_RECIPES)
        raise ValueError(f"the architecture must be {allowed} for points ({data[0]}); got {architecture}")
    return PointOptions
