"""``gandissect invert``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from jaxtyping import Float32
from torch import Tensor

from gandissect import Recipe, Segmenter, generate
from gandissect.core import from_uint8, load_pictures, pick_evenly
from gandissect.fidelity import Encoder
from gandissect.latent import Inversion, LostConcepts, capabilities, invert
from gandissect.latent.inversion.invert import Encode
from gandissect.report import draw_inversion, save_png
from gandissect.storage import output_folder
from generators import ConditionalGenerator, LayeredGenerator, has_encoder, load_encoder
from segmenters.datasets import check_output, open_pictures, read_image

from ..networks import Model, describe_with, load_generator, load_segmenter

MAX_PICTURES = 64
FIGURE_NAME = "inversion.png"
FILES = (Inversion.FILE_NAME, FIGURE_NAME)
"""Files that the command writes."""


@dataclass(frozen=True)
class Options:
    """Reconstruct real pictures from a generator's latent space, all in one batch, and edit the reconstructions.

    Writes inversion.png, one row per picture with its reconstruction and the error (black: none; white: at least 25% of
    the range), and inversion.safetensors, which gandissect.latent.Inversion loads.

    Args:
        generator: Generator: a bundled name, a .safetensors file, or a training folder.
        pictures: Picture files of any size; each is resized and cropped at the center.
        data: Training data of the generator, to invert its held-out pictures in place of files: one or more of scenes,
            scenes:COUNT, FOLDER, or FOLDER@SPLIT.
        num_pictures: Number of held-out pictures to invert, evenly spaced.
        hold_out: Share of each folder without @SPLIT that was held out from training.
        skip_broken: Skip unusable pictures, with a warning that names them.
        out: Folder to write.
        space: Space to search: z, w, or ws (one w per layer); by default ws if the generator has w, else z.
        noise: Also optimize the noise of every layer, with w or ws; reconstructions are closer, but details move from w
            into the noise.
        layer: Layer whose activations get an additive residual, for details that no latent vector produces.
        segmenter: Segmenter that reports the lost concepts, and whose encoder's features, if it has any, are compared
            in addition to pixels.
        identity: Compare the segmenter's features only, in place of pixels, by L-BFGS: what is shown is kept, so that
            images of other classes show the same.
        recipe: Recipe whose edits are applied to the reconstructions, for another column of the figure.
        classes: Names of the classes to choose the starting points from, for a generator with classes; by default all
            of them. A picture keeps the class of its best starting point.
        caption: Captions to choose the starting points from, each in quotes, for a stackgan; by default those that it
            learned from. A picture keeps the caption of its best starting point.
        other_classes: Names of classes whose images of the same noise fill further columns of the figure.
        encoder: Begin with the latent vectors of the generator's own encoder, if it was trained with one, and then the
            closest samples.
        num_candidates: Number of samples to choose the starting points from.
        num_starts: Number of starting points per picture; 1 is fastest, more are less likely to get stuck.
        num_steps: Number of optimization steps, for the latent vectors and again for a residual.
        seed: Seed of the candidates.
        overwrite: Replace the results of an earlier run in the folder.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print the results as JSON.
    """

    generator: Model
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PATH ...]")] = ()
    data: tuple[str, ...] = ()
    num_pictures: int = 10
    hold_out: float = 0.05
    skip_broken: bool = False
    out: Path = Path("runs/inversion")
    space: str | None = None
    noise: bool = False
    layer: str | None = None
    segmenter: str | None = None
    identity: bool = False
    recipe: Path | None = None
    classes: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    other_classes: tuple[str, ...] = ()
    encoder: bool = True
    num_candidates: int = 1_000
    num_starts: int = 8
    num_steps: int = 500
    seed: int = 0
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the folder, and print the quality of each reconstruction."""
        if bool(self.pictures) == bool(self.data):
            raise ValueError("name either picture files, or the generator's training data with --data")
        for folder in filter(Path.is_dir, self.pictures):
            raise ValueError(f"{folder} is a folder; name the pictures in it, or pass it with --data")
        number = self.num_pictures if self.data else len(self.pictures)
        if not 1 <= number <= MAX_PICTURES:
            raise ValueError(f"the number of pictures must be 1 to {MAX_PICTURES}; got {number}")
        check_output(self.out, self.data)
        with output_folder(self.out, FILES, overwrite=self.overwrite) as staged:
            inversion, names, lost = self._write(staged)
        self._print(inversion, names, lost)

    def _write(self, folder: Path) -> tuple[Inversion, list[str], LostConcepts | None]:
        """Write both files; return the inversion, the names of its pictures, and the lost concepts."""
        generator = describe_with(load_generator(self.generator, self.device, self.classes), self.caption)
        encoder = load_encoder(self.generator, self.device) if self._starts_from_encoder() else None
        segmenter = None if self.segmenter is None else load_segmenter(self.segmenter, self.device)
        self._check_request(generator, segmenter)
        recipe = None if self.recipe is None else Recipe.load(self.recipe)
        if recipe is not None:
            recipe.check_generator(generator)
        names, images = self._read_pictures(generator.image_size[0])
        if recipe is not None:  # fail early if an edit does not apply: the inversion takes long
            generate(generator, generator.sample_z(len(images), self.seed), recipe.edits)
        inversion = self._invert(generator, images, segmenter, None if encoder is None else encoder.encode)
        inversion.save(folder)
        edited = None if recipe is None else inversion.generate(generator, recipe.edits).cpu()
        lost = None if segmenter is None else inversion.lost_concepts(segmenter)
        save_png(draw_inversion(inversion, edited, self._render_others(generator, inversion)), folder / FIGURE_NAME)
        return inversion, names, lost

    def _check_request(self, generator: LayeredGenerator, segmenter: Segmenter | None) -> None:
        """Check that the generator has the other classes, and the segmenter features to compare.

        Raises:
            KeyError: If a class is unknown.
            ValueError: If the generator has no classes, or there are no features.
        """
        if self.identity and not isinstance(segmenter, Encoder):
            got = "none" if segmenter is None else segmenter.name
            raise ValueError(f"--identity needs a --segmenter with an encoder, such as unet-scenes; got {got}")
        if not self.other_classes:
            return
        if not isinstance(generator, ConditionalGenerator):
            raise ValueError(f"{generator.name} has no classes; omit --other-classes")
        generator.of_classes(*self.other_classes)

    def _render_others(
        self, generator: LayeredGenerator, inversion: Inversion
    ) -> dict[str, Float32[Tensor, "picture 3 H W"]]:
        """Return the images of the same noise in other classes, by class."""
        if not isinstance(generator, ConditionalGenerator):
            return {}
        rows = {name: generator.change_class(inversion.latents, name) for name in self.other_classes}
        return {name: generate(generator, z).cpu() for name, z in rows.items()}

    def _starts_from_encoder(self) -> bool:
        """Return whether an encoder gives the first start."""
        return self.encoder and has_encoder(self.generator)

    def _read_pictures(self, size: int) -> tuple[list[str], Float32[Tensor, "picture 3 size size"]]:
        """Return the names of the pictures, and the pictures, ``[batch, 3, size, size]`` in [-1, 1].

        Raises:
            ValueError: If no pictures of the data are held out.
        """
        if not self.data:
            images = torch.stack([read_image(path, size) for path in self.pictures])
            return [str(path) for path in self.pictures], images
        _, held_out = open_pictures(self.data, size, self.hold_out, skip_broken=self.skip_broken)
        if held_out is None:
            raise ValueError(
                f"no pictures of {', '.join(self.data)} are held out; name a folder without @SPLIT, or picture files"
            )
        chosen = pick_evenly(held_out, self.num_pictures)
        return [f"held-out picture {index}" for index in chosen], from_uint8(load_pictures(held_out, self.num_pictures))

    def _invert(
        self,
        generator: LayeredGenerator,
        images: Float32[Tensor, "picture 3 H W"],
        segmenter: Segmenter | None,
        encoder: Encode | None,
    ) -> Inversion:
        return invert(
            generator,
            images,
            capabilities(generator).inversion_spaces[-1] if self.space is None else self.space,
            features=segmenter.encode if isinstance(segmenter, Encoder) else None,
            pixels=not self.identity,
            optimizer="lbfgs" if self.identity else "adam",
            layer=self.layer,
            noise=self.noise,
            encoder=encoder,
            num_candidates=self.num_candidates,
            num_starts=self.num_starts,
            num_steps=self.num_steps,
            seed=self.seed,
        )

    def _print(self, inversion: Inversion, names: Sequence[str], lost: LostConcepts | None) -> None:
        if self.json:
            facts = _facts(inversion, names, lost) | {"encoder": self._starts_from_encoder(), "out": str(self.out)}
            print(json.dumps(facts, allow_nan=False))
            return
        print(self.out)
        for name, psnr in zip(names, inversion.psnr.tolist(), strict=True):
            print(f"{name}: {psnr:.1f} dB")
        for record in [] if lost is None else lost.records():
            shares = f"{100 * record['picture']:.1f}% of the pixels, {100 * record['reconstruction']:.1f}%"
            print(f"{record['concept']}: {shares} in the reconstructions")


def _facts(inversion: Inversion, names: Sequence[str], lost: LostConcepts | None) -> dict[str, Any]:
    """Return the results as JSON values; the PSNR of an exact reconstruction is null."""
    rows = zip(names, inversion.psnr.tolist(), inversion.loss_start.tolist(), inversion.loss_end.tolist(), strict=True)
    figures = [
        {"name": name, "psnr": psnr if math.isfinite(psnr) else None, "loss_start": start, "loss_end": end}
        for name, psnr, start, end in rows
    ]
    objective = ("space", "layer", "with_features", "with_pixels", "optimizer")
    settings = (*objective, "num_candidates", "num_starts", "num_steps", "seed")
    entries: dict[str, Any] = {name: getattr(inversion, name) for name in settings}
    entries |= {"generator": inversion.generator.name, "generator_fingerprint": inversion.generator.fingerprint}
    entries |= {"noise": bool(inversion.noise), "pictures": figures}
    return entries if lost is None else entries | {"segmenter": lost.segmenter.name, "concepts": lost.records()}
