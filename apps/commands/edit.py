"""``gandissect edit``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from gandissect import Recipe
from gandissect.report import write_pairs
from gandissect.report.sheets import COLUMNS
from gandissect.storage import check_new_file

from ..networks import load_generator

MAX_SAMPLES = 1024


@dataclass(frozen=True)
class Options:
    """Render a recipe's images: rows of originals, each with the edited images below.

    Args:
        recipe: Recipe, a JSON file such as gandissect effect writes; docs/guides/effects.md describes its format.
        out: PNG file to write.
        generator: Generator: a bundled name, a .safetensors file, or a training folder; by default the bundled one that
            the recipe names.
        inputs: Pictures of the recipe, for a translator, one or more of scenes, scenes:COUNT, FOLDER, FOLDER@SPLIT, or
            edges: or labels: and one of these; sample i is picture i.
        columns: Maximum number of images per row.
        overwrite: Replace an existing file.
        device: Device to compute on: auto, cpu, cuda or mps.
        json: Print a summary as JSON.
    """

    recipe: tyro.conf.Positional[Path]
    out: Path = Path("edited.png")
    generator: str | None = None
    inputs: tuple[str, ...] = ()
    columns: int = COLUMNS
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG and print its path."""
        recipe = Recipe.load(self.recipe)
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"--out must end in .png; got {self.out}")
        check_new_file(self.out, overwrite=self.overwrite)
        if self.columns < 1:
            raise ValueError(f"--columns must be at least 1; got {self.columns}")
        if recipe.num_samples > MAX_SAMPLES:
            raise ValueError(f"a recipe must have at most {MAX_SAMPLES} samples; got {recipe.num_samples}")
        generator = load_generator(self.generator or recipe.model, self.device, inputs=self.inputs)
        with torch.inference_mode():
            edited = recipe.generate(generator).cpu()
            unchanged = generator(recipe.latents(generator)).cpu()
        write_pairs(unchanged, edited, self.out, self.columns, overwrite=self.overwrite)
        facts = {"out": str(self.out), "generator": recipe.generator.name, "num_samples": recipe.num_samples}
        print(json.dumps(facts | {"num_edits": len(recipe.edits)}) if self.json else self.out)
