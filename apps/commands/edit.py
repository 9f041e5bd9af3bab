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
    """Make the images of a recipe: rows of unchanged ones, each with the edited ones below it.

    Args:
        recipe: The JSON file, as gandissect effect writes it; docs/guides/effects.md describes its format.
        out: The PNG to write.
        generator: The path of the generator, if it is not the bundled one that the recipe names.
        columns: Pictures a row, at most.
        overwrite: Replace the file, if it exists.
        device: auto, cpu, cuda or mps.
        json: Print what was done as JSON.
    """

    recipe: tyro.conf.Positional[Path]
    out: Path = Path("edited.png")
    generator: str | None = None
    columns: int = COLUMNS
    overwrite: bool = False
    device: str = "auto"
    json: bool = False

    def run(self) -> None:
        """Write the PNG and print its path."""
        recipe = Recipe.load(self.recipe)
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out} is to be a PNG; give a name that ends in .png")
        check_new_file(self.out, overwrite=self.overwrite)
        if self.columns < 1 or recipe.num_samples > MAX_SAMPLES:
            raise ValueError(
                f"need 1 column or more and at most {MAX_SAMPLES} samples; got {self.columns} and {recipe.num_samples}"
            )
        generator = load_generator(self.generator or recipe.generator.name, self.device)
        with torch.inference_mode():
            edited = recipe.generate(generator).cpu()
            unchanged = generator(recipe.latents(generator)).cpu()
        write_pairs(unchanged, edited, self.out, self.columns, overwrite=self.overwrite)
        facts = {"out": str(self.out), "generator": recipe.generator.name, "num_samples": recipe.num_samples}
        print(json.dumps(facts | {"num_edits": len(recipe.edits)}) if self.json else self.out)
