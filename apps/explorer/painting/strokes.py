"""What is painted on a picture: strokes, each an edit of a recipe, with undo and redo; without Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.nn.functional import interpolate

from gandissect import Ablation, Insertion, LayerInfo, UnitSet
from gandissect.interventions.edits import Edit, control_units

from ..levels import LEVELS

MAX_UNDO, MAX_STROKES = 64, 64


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """One entry of the list.

    Args:
        number: What tells it from the others of its picture.
        name: What to call it, e.g. the concept's name.
        edit: What it does.
        levels: The quantile of each of its units, each one of `LEVELS`; None if it came with values of its own.
        on: Whether it counts.
    """

    number: int
    name: str
    edit: Edit
    levels: tuple[float, ...] | None = None
    on: bool = True


Strokes = tuple[Stroke, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The strokes of a picture as they are, as they were, and as they were before undoing."""

    now: Strokes = ()
    past: tuple[Strokes, ...] = ()
    future: tuple[Strokes, ...] = ()

    def then(self, strokes: Strokes) -> History:
        """Return the history after a change.

        Raises:
            ValueError: If there are too many strokes.
        """
        if len(strokes) > MAX_STROKES:
            raise ValueError(f"a picture has {MAX_STROKES} strokes at most; delete some, or save the recipe and go on")
        return History(strokes, (*self.past, self.now)[-MAX_UNDO:])

    def undo(self) -> History:
        """Return the history before the last change."""
        return History(self.past[-1], self.past[:-1], (self.now, *self.future)) if self.past else self

    def redo(self) -> History:
        """Return the history before the last `undo`."""
        return History(self.future[0], (*self.past, self.now), self.future[1:]) if self.future else self

    @property
    def next_number(self) -> int:
        """A number that no stroke has had."""
        every = (self.now, *self.past, *self.future)
        return 1 + max((stroke.number for strokes in every for stroke in strokes), default=0)


def make_edit(
    units: UnitSet,
    levels: Sequence[float],
    table: Float32[Tensor, "unit level"],
    region: Float[Tensor, "*edit rows columns"] | None,
) -> Edit:
    """Return the edit that sets units to quantiles of their activations.

    Args:
        units: Which units.
        levels: One of `LEVELS` for each.
        table: float32 ``[unit of the layer, level but the first]``: the quantiles' values.
        region: Where; everywhere if None.
    """
    if not any(levels):
        return Ablation(units, region)
    values = [
        level and float(table[unit, LEVELS.index(level) - 1]) for unit, level in zip(units.units, levels, strict=True)
    ]
    return Insertion(units, values, region)


def make_region(cells: Sequence[int], info: LayerInfo) -> Float32[Tensor, "h w"]:
    """Return a region ``[h, w]`` on a layer's grid.

    Args:
        cells: Its cells, counted row by row from 0.
        info: The layer's shape.

    Raises:
        ValueError: If there is none, or one is outside the grid.
    """
    size = info.height * info.width
    if not cells or any(type(cell) is not int or not 0 <= cell < size for cell in cells):
        raise ValueError(f"a stroke covers cells 0 to {size - 1}, one or more; got {list(cells)[:5]}")
    region = torch.zeros(size, dtype=torch.float32, device="cpu")
    region[list(set(cells))] = 1
    return region.view(info.height, info.width)


def active_edits(strokes: Strokes) -> list[Edit]:
    """Return what the strokes do that are on, in order."""
    return [stroke.edit for stroke in strokes if stroke.on]


def switch_stroke(strokes: Strokes, number: int) -> Strokes:
    """Return the strokes with one switched off, or on again."""
    return tuple(replace(stroke, on=not stroke.on) if stroke.number == number else stroke for stroke in strokes)


def move_stroke(strokes: Strokes, number: int, by: int) -> Strokes:
    """Return the strokes with one moved by so many places, as far as there are; one that has gone does not move."""
    rest = [stroke for stroke in strokes if stroke.number != number]
    position = next((index for index, stroke in enumerate(strokes) if stroke.number == number), None)
    if position is None:
        return strokes
    target = min(max(position + by, 0), len(rest))
    return (*rest[:target], strokes[position], *rest[target:])


def delete_stroke(strokes: Strokes, number: int) -> Strokes:
    """Return the strokes less one."""
    return tuple(stroke for stroke in strokes if stroke.number != number)


def set_stroke_level(strokes: Strokes, number: int, level: float, table: Float32[Tensor, "unit level"]) -> Strokes:
    """Return the strokes with all units of one set to a quantile."""

    def set_level(stroke: Stroke) -> Stroke:
        units = stroke.edit.units
        levels = (level,) * len(units)
        return replace(stroke, edit=make_edit(units, levels, table, stroke.edit.region), levels=levels)

    return tuple(set_level(stroke) if stroke.number == number else stroke for stroke in strokes)


def make_control_edits(
    strokes: Strokes, num_units: int, table: Float32[Tensor, "unit level"], layer: str
) -> list[Edit]:
    """Return the same on as many random units of a layer: same regions, same quantiles.

    Args:
        strokes: Those of other layers are left out, and those that came with values of their own keep them.
        num_units: How many units the layer has.
        table: As for `make_edit`.
        layer: The layer.
    """
    edits: list[Edit] = []
    for stroke in strokes:
        if stroke.on and stroke.edit.units.layer == layer:
            others = control_units(stroke.edit.units, num_units)
            if stroke.levels is None:
                edits.append(replace(stroke.edit, units=others))  # type: ignore[type-var]  # all edits are dataclasses
            else:
                edits.append(make_edit(others, stroke.levels, table, stroke.edit.region))
    return edits


def find_painted_region(edits: Sequence[Edit], image_size: tuple[int, int]) -> Bool[Tensor, "H W"]:
    """Return where edits act on an image, bool ``[H, W]``; an edit without region acts everywhere."""
    region = torch.zeros(image_size, dtype=torch.bool, device="cpu")
    for edit in edits:
        if edit.region is None:
            return torch.ones(image_size, dtype=torch.bool, device="cpu")
        edit_region = edit.region.reshape(-1, *edit.region.shape[-2:]).amax(0)
        region |= interpolate(edit_region[None, None], image_size, mode="nearest-exact")[0, 0] > 0
    return region
