"""``gandissect translate``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from gandissect.core import blocks, track
from gandissect.report import write_grid
from gandissect.storage import output_folder
from segmenters.datasets import check_specs, open_inputs
from segmenters.datasets.specs import parse_spec, split_folder

from ..networks import Model, load_translator

BATCH = 16
"""Number of pictures translated at a time."""


@dataclass(frozen=True)
class Options:
    """Translate pictures: write the translation of each one as a PNG file.

    Args:
        generator: Translator: a bundled name, a .safetensors file, a checkpoint, or a training folder.
        inputs: Pictures to translate, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or edges: or labels:
            and one of these; FOLDER is a folder of pictures.
        out: Folder for the translations: pictures of one folder keep their names, others are numbered.
        classes: Classes to translate to, such as the domains of a StarGAN or the directions of a UNIT; with several,
            or by default all, each picture draws one.
        num_samples: Number of pictures, from the first; by default all.
        overwrite: Replace the translations of an earlier run in the folder.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print a summary as JSON.
    """

    generator: Model
    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURES [PICTURES ...]")]
    out: Path
    classes: tuple[str, ...] = ()
    num_samples: int | None = None
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the translations and print their folder."""
        if self.num_samples is not None and self.num_samples < 1:
            raise ValueError(f"--num-samples must be at least 1; got {self.num_samples}")
        check_specs(self.inputs)
        self._check_out()
        translator = load_translator(self.generator, self.device, self.classes)
        pictures = open_inputs(self.inputs, translator.image_size[0], label_maps=bool(translator.input_concepts))
        generator = translator.on(pictures)
        count = len(pictures) if self.num_samples is None else min(self.num_samples, len(pictures))
        names = name_files(getattr(pictures, "names", ()), count)
        with output_folder(self.out, names, overwrite=self.overwrite) as staged, torch.inference_mode():
            for block in track(list(blocks(count, BATCH)), "translations", show=True):
                images = generator(generator.sample_z(len(block), start=block.start)).cpu()
                for number, image in zip(block, images, strict=True):
                    write_grid(image[None], staged / names[number])
        facts = {"out": str(self.out), "generator": generator.name, "num_samples": count}
        print(json.dumps(facts) if self.json else self.out)

    def _check_out(self) -> None:
        """Raise ValueError if the translations would be among the pictures, and be translated the next time."""
        for spec in self.inputs:
            folder = split_folder(parse_spec(spec).pictures).folder
            if folder.is_dir() and self.out.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"--out must not be inside the folder of pictures {folder}; got {self.out}")


def name_files(pictures: Sequence[str], count: int) -> list[str]:
    """Return the names of the first files: those of the pictures if these are distinct, else numbers.

    Args:
        pictures: Names of all pictures, which may have folders and suffixes; empty if they have none.
        count: Number of files.
    """
    stems = [Path(name).with_suffix("").as_posix().replace("/", "-") for name in pictures[:count]]
    if len({stem.casefold() for stem in stems}) < count:
        stems = [f"{number:05d}" for number in range(count)]
    return [f"{stem}.png" for stem in stems]
