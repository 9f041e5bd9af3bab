"""``gandissect invert``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from jaxtyping import Float32
from torch import Tensor

from gandissect import Recipe, Segmenter, generate
from gandissect.core import from_uint8, load_pictures, pick_evenly
from gandissect.fidelity import Encoder
from gandissect.latent import Inversion, LostConcepts, capabilities, invert
from gandissect.report import draw_inversion, save_png
from gandissect.storage import output_folder
from generators import LayeredGenerator
from segmenters.datasets import check_output, open_pictures, read_image

from ..networks import Model, load_generator, load_segmenter

MOST_PICTURES = 64
FIGURE_NAME = "inversion.png"
FILES = (Inversion.FILE_NAME, FIGURE_NAME)
"""What is written."""


@dataclass(frozen=True)
class Options:
    """Find what a generator makes most like real pictures, all of them in one batch.

    Writes inversion.png, a row a picture with its reconstruction and where that is off (black: nowhere; white: by 25 %
    of the range or more), and inversion.safetensors, which Python reads (gandissect.latent.Inversion).

    Args:
        generator: A bundled name, the path of a .safetensors file, or the folder of a training.
        pictures: Picture files of any size; they are resized, and their middle is taken.
        data: In place of files, held-out pictures of the data that the generator learned from: scenes, scenes:COUNT,
            FOLDER or FOLDER@SPLIT.
        num_pictures: How many of these, evenly spaced.
        hold_out: Share of each folder without @SPLIT that was kept to judge by.
        skip_broken: Leave out the pictures of a folder that cannot be used, with a warning that names them.
        out: The folder to write.
        space: z, w, or ws (one w a layer); by default ws if there is w.
        noise: With w, find the noise of each picture's layers, too: nearer, but painted dot by dot.
        layer: Add a residual to the activations of this layer, for what no latents can make.
        segmenter: Compare features of this segmenter's encoder besides pixels, if it has one, and say which concepts
            were lost.
        recipe: Make the edits of this recipe on the reconstructions, and show them beside.
        num_candidates: Samples to begin with the best of.
        num_starts: How many of these to begin with: 1 is fast, more find their way where one is stuck.
        num_steps: Of the optimization, and as many again for a residual.
        seed: Of the samples.
        overwrite: Replace the results of an earlier run in the folder.
        device: auto, cpu, cuda or mps.
        json: Print the figures as JSON.
    """

    generator: Model
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()
    data: tuple[str, ...] = ()
    num_pictures: int = 10
    hold_out: float = 0.05
    skip_broken: bool = False
    out: Path = Path("runs/inversion")
    space: str | None = None
    noise: bool = False
    layer: str | None = None
    segmenter: str | None = None
    recipe: Path | None = None
    num_candidates: int = 1_000
    num_starts: int = 8
    num_steps: int = 500
    seed: int = 0
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the folder, and print the figures."""
        if bool(self.pictures) == bool(self.data):
            raise ValueError("name either picture files, or with --data what the generator learned from")
        for folder in filter(Path.is_dir, self.pictures):
            raise ValueError(f"{folder} is a folder; name the pictures in it, or give it to --data")
        number = self.num_pictures if self.data else len(self.pictures)
        if not 1 <= number <= MOST_PICTURES:
            raise ValueError(f"1 to {MOST_PICTURES} pictures can be inverted at once; got {number}")
        check_output(self.out, self.data)
        with output_folder(self.out, FILES, overwrite=self.overwrite) as staged:
            inversion, names, lost = self._make(staged)
        self._print(inversion, names, lost)

    def _make(self, folder: Path) -> tuple[Inversion, list[str], LostConcepts | None]:
        """Write both files; return the inversion, what to call its pictures, and the concepts that were lost."""
        generator = load_generator(self.generator, self.device)
        segmenter = None if self.segmenter is None else load_segmenter(self.segmenter, self.device)
        recipe = None if self.recipe is None else Recipe.load(self.recipe)
        if recipe is not None:
            recipe.check_generator(generator)
        names, images = self._read_pictures(generator.image_size[0])
        if recipe is not None:  # now, since the inversion takes long, and an edit may not fit
            generate(generator, generator.sample_z(len(images), self.seed), recipe.edits)
        inversion = self._invert(generator, images, segmenter)
        inversion.save(folder)
        edited = None if recipe is None else inversion.generate(generator, recipe.edits).cpu()
        lost = None if segmenter is None else inversion.lost_concepts(segmenter)
        save_png(draw_inversion(inversion, edited), folder / FIGURE_NAME)
        return inversion, names, lost

    def _read_pictures(self, size: int) -> tuple[list[str], Float32[Tensor, "picture 3 size size"]]:
        """Return what to call the pictures, and the pictures, ``[batch, 3, size, size]`` in [-1, 1].

        Raises:
            ValueError: If nothing of the data is held out.
        """
        if not self.data:
            images = torch.stack([read_image(path, size) for path in self.pictures])
            return [str(path) for path in self.pictures], images
        _, held_out = open_pictures(self.data, size, self.hold_out, skip_broken=self.skip_broken)
        if held_out is None:
            raise ValueError(f"nothing is held out of {', '.join(self.data)}; name a folder without @SPLIT, or files")
        chosen = pick_evenly(held_out, self.num_pictures)
        return [f"held-out picture {index}" for index in chosen], from_uint8(load_pictures(held_out, self.num_pictures))

    def _invert(
        self, generator: LayeredGenerator, images: Float32[Tensor, "picture 3 H W"], segmenter: Segmenter | None
    ) -> Inversion:
        return invert(
            generator,
            images,
            capabilities(generator).inversion_spaces[-1] if self.space is None else self.space,
            features=segmenter.encode if isinstance(segmenter, Encoder) else None,
            layer=self.layer,
            noise=self.noise,
            num_candidates=self.num_candidates,
            num_starts=self.num_starts,
            num_steps=self.num_steps,
            seed=self.seed,
        )

    def _print(self, inversion: Inversion, names: Sequence[str], lost: LostConcepts | None) -> None:
        if self.json:
            print(json.dumps(_facts(inversion, names, lost) | {"out": str(self.out)}, allow_nan=False))
            return
        print(self.out)
        for name, psnr in zip(names, inversion.psnr.tolist(), strict=True):
            print(f"{name}: {psnr:.1f} dB")
        for record in [] if lost is None else lost.records():
            shares = f"{100 * record['picture']:.1f} % of the pixels, {100 * record['reconstruction']:.1f} %"
            print(f"{record['concept']}: {shares} in the reconstructions")


def _facts(inversion: Inversion, names: Sequence[str], lost: LostConcepts | None) -> dict[str, Any]:
    """Return the figures as JSON values; the PSNR of an exact reconstruction is null."""
    rows = zip(names, inversion.psnr.tolist(), inversion.loss_start.tolist(), inversion.loss_end.tolist(), strict=True)
    figures = [
        {"name": name, "psnr": psnr if math.isfinite(psnr) else None, "loss_start": start, "loss_end": end}
        for name, psnr, start, end in rows
    ]
    settings = ("space", "layer", "with_features", "num_candidates", "num_starts", "num_steps", "seed")
    entries: dict[str, Any] = {name: getattr(inversion, name) for name in settings}
    entries |= {"generator": inversion.generator.name, "generator_fingerprint": inversion.generator.fingerprint}
    entries |= {"noise": bool(inversion.noise), "pictures": figures}
    return entries if lost is None else entries | {"segmenter": lost.segmenter.name, "concepts": lost.records()}
