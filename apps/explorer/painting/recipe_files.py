"""Import and export of recipes: files, Python and shell commands; independent of Streamlit."""

from __future__ import annotations

import io
import json
import math
import shlex
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gandissect import Generator, Recipe
from gandissect.core.lookup import lookup
from gandissect.interventions.edits import Edit, check_units, region_mask
from gandissect.interventions.recipe import EDIT_KINDS
from gandissect.report import write_pairs

from .strokes import MAX_STROKES

MAX_BYTES = 2**20
"""Maximum size of a recipe file, in bytes."""

MAX_REGIONS = 2**22
"""Maximum number of values in all regions of a file; compressed, they can be a thousand times smaller."""


def read_recipe(data: bytes) -> Recipe:
    """Read an uploaded recipe.

    Raises:
        ValueError: If it is too large or invalid.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"a recipe must have at most {MAX_BYTES} bytes; got {len(data)}")
    try:
        text = data.decode()
        num_regions = sum(_region_size(edit) for edit in json.loads(text)["edits"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        text, num_regions = data.decode(errors="replace"), 0  # from_json reports the error
    if num_regions > MAX_REGIONS:
        raise ValueError(
            f"the regions of a recipe must have at most {MAX_REGIONS} values in the explorer; got {num_regions}"
        )
    recipe = Recipe.from_json(text)
    if len(recipe.edits) > MAX_STROKES:
        raise ValueError(f"a recipe must have at most {MAX_STROKES} edits in the explorer; got {len(recipe.edits)}")
    return recipe


def check_fits(recipe: Recipe, generator: Generator) -> None:
    """Check that a recipe can be applied to a generator.

    Raises:
        KeyError: If a layer does not exist.
        ValueError: If the recipe belongs to another generator, or a unit or a region does not fit.
    """
    recipe.check_generator(generator)
    for edit in recipe.edits:
        info = lookup(generator.layers, edit.units.layer, "layer")
        check_units(edit.units, info.units)
        if edit.region is not None:
            grid = torch.empty(1, 1, info.height, info.width, dtype=torch.float32, device="cpu")
            region_mask(edit.region, edit.units.layer, grid, generator.image_size)


def format_command(recipe: Recipe, inputs: Sequence[str] = (), *, bundled: bool) -> str:
    """Return shell commands that render the recipe's PNG.

    Args:
        recipe: Recipe to render.
        inputs: Specifications of the pictures of a translator; by default a folder to be filled in.
        bundled: Whether the generator is bundled, so that its name suffices.
    """
    where = "" if bundled else f" --generator {shlex.quote(recipe.model)}"
    if recipe.drawn.pictures:
        where += f" --inputs {shlex.join(inputs or ['FOLDER'])}"
    return f"cat > recipe.json <<'END'\n{recipe.to_json()}END\ngandissect edit recipe.json --out edited.png{where}"


def format_python(recipe: Recipe, inputs: Sequence[str] = ()) -> str:
    """Return a Python program that renders the recipe's images.

    Args:
        recipe: Recipe to render.
        inputs: Specifications of the pictures of a translator; by default a folder to be filled in.
    """
    lines = "".join(f"    {_format_edit(edit)},\n" for edit in recipe.edits)
    return f"""import torch
from torchvision.utils import save_image
import generators
from gandissect import Ablation, Insertion, Scaling, UnitSet, generate

def cells(rows, columns, chosen):
    region = torch.zeros(rows * columns)
    region[chosen] = 1
    return region.view(rows, columns)

G = generators.load({recipe.model!r}){_format_choice(recipe)}
{_format_inputs(recipe, inputs)}z = G.sample_z({recipe.num_samples}, seed={recipe.seed}, start={recipe.start})
edits = [
{lines}]
with torch.inference_mode():
    images = generate(G, z, edits)
save_image(images, "edited.png", normalize=True, value_range=(-1, 1))
"""


def _format_inputs(recipe: Recipe, inputs: Sequence[str]) -> str:
    if not recipe.drawn.pictures:
        return ""
    pictures = f"open_inputs({[*inputs] or ['FOLDER']!r}, G.image_size[0], label_maps=bool(G.input_concepts))"
    return f"from segmenters.datasets import open_inputs\n\nG = G.on({pictures})\n"


def _format_choice(recipe: Recipe) -> str:
    """Return the call that chooses the classes or the captions, if the recipe has any."""
    chosen = {"of_classes": recipe.drawn.classes, "of_captions": recipe.drawn.captions}
    return "".join(f".{method}({', '.join(map(repr, names))})" for method, names in chosen.items() if names)


def make_sheet(unchanged: Float[Tensor, "batch 3 H W"], edited: Float[Tensor, "batch 3 H W"]) -> bytes:
    """Return the PNG that ``gandissect edit`` writes, from images ``[batch, 3, H, W]``."""
    file = io.BytesIO()
    write_pairs(unchanged, edited, file)
    return file.getvalue()


def _region_size(edit: Any) -> int:
    """Return the number of values in an edit's region, whatever else is wrong with the edit; 0 without a region."""
    region = edit.get("region") if isinstance(edit, dict) else None
    shape = region.get("shape") if isinstance(region, dict) else None
    if not isinstance(shape, list) or not shape or not all(type(length) is int for length in shape):
        return 0
    return math.prod(map(abs, shape))


def _format_edit(edit: Edit) -> str:
    """Return an edit as a Python expression."""
    value = next(value for cls, value in EDIT_KINDS.values() if isinstance(edit, cls))
    arguments = [f"UnitSet({edit.units.layer!r}, {edit.units.units!r})", f"{value}={getattr(edit, value)!r}"]
    if edit.region is not None:
        arguments.append(f"region={_format_region(edit.region)}")
    return f"{type(edit).__name__}({', '.join(arguments)})"


def _format_region(region: Tensor) -> str:
    if region.ndim == 2 and bool(((region == 0) | (region == 1)).all()):
        return f"cells({region.shape[0]}, {region.shape[1]}, {region.flatten().nonzero().flatten().tolist()})"
    return f"torch.tensor({region.tolist()!r})"
