"""Strokes on a picture, each an edit of a recipe, with undo and redo; independent of Streamlit."""

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
    """One stroke.

    Args:
        number: Number of the stroke, unique for its picture.
        name: Name in the list, e.g. ``draw tree``.
        edit: Edit that the stroke applies.
        levels: Quantile of each unit, each one of `LEVELS`; None for an edit with explicit values, from a recipe.
        on: Whether the stroke is applied.
    """

    number: int
    name: str
    edit: Edit
    levels: tuple[float, ...] | None = None
    on: bool = True


Strokes = tuple[Stroke, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The current strokes of a picture, and the states to undo and redo."""

    now: Strokes = ()
    past: tuple[Strokes, ...] = ()
    future: tuple[Strokes, ...] = ()

    def then(self, strokes: Strokes) -> History:
        """Return the history after a change.

        Raises:
            ValueError: If there are more than `MAX_STROKES` strokes.
        """
        if len(strokes) > MAX_STROKES:
            raise ValueError(f"a picture must have at most {MAX_STROKES} strokes; delete some")
        return History(strokes, (*self.past, self.now)[-MAX_UNDO:])

    def undo(self) -> History:
        """Return the history before the last change."""
        return History(self.past[-1], self.past[:-1], (self.now, *self.future)) if self.past else self

    def redo(self) -> History:
        """Return the history before the last `undo`."""
        return History(self.future[0], (*self.past, self.now), self.future[1:]) if self.future else self

    @property
    def next_number(self) -> int:
        """A number that no stroke has used."""
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
        units: Units to set.
        levels: Quantile of each unit, each one of `LEVELS`.
        table: Values of all units of the layer at ``LEVELS[1:]``, float32 ``[unit, level]``.
        region: Region of the edit; everywhere if None.
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
        cells: Cells of the region, counted row by row from 0.
        info: Shape of the layer.

    Raises:
        ValueError: If there are no cells, or one is outside the grid.
    """
    size = info.height * info.width
    if not cells or any(type(cell) is not int or not 0 <= cell < size for cell in cells):
        raise ValueError(f"a stroke must cover one or more of the cells 0 to {size - 1}; got {list(cells)[:5]}")
    region = torch.zeros(size, dtype=torch.float32, device="cpu")
    region[list(set(cells))] = 1
    return region.view(info.height, info.width)


def active_edits(strokes: Strokes) -> list[Edit]:
    """Return the edits of the strokes that are on, in order."""
    return [stroke.edit for stroke in strokes if stroke.on]


def switch_stroke(strokes: Strokes, number: int) -> Strokes:
    """Return the strokes with one toggled on or off."""
    return tuple(replace(stroke, on=not stroke.on) if stroke.number == number else stroke for stroke in strokes)


def move_stroke(strokes: Strokes, number: int, by: int) -> Strokes:
    """Return the strokes with one moved by ``by`` places, at most to either end; unchanged if it does not exist."""
    rest = [stroke for stroke in strokes if stroke.number != number]
    position = next((index for index, stroke in enumerate(strokes) if stroke.number == number), None)
    if position is None:
        return strokes
    target = min(max(position + by, 0), len(rest))
    return (*rest[:target], strokes[position], *rest[target:])


def delete_stroke(strokes: Strokes, number: int) -> Strokes:
    """Return the strokes without one."""
    return tuple(stroke for stroke in strokes if stroke.number != number)


def set_stroke_level(strokes: Strokes, number: int, level: float, table: Float32[Tensor, "unit level"]) -> Strokes:
    """Return the strokes with all units of one stroke set to a quantile."""

    def set_level(stroke: Stroke) -> Stroke:
        units = stroke.edit.units
        levels = (level,) * len(units)
        return replace(stroke, edit=make_edit(units, levels, table, stroke.edit.region), levels=levels)

    return tuple(set_level(stroke) if stroke.number == number else stroke for stroke in strokes)


def make_control_edits(
    strokes: Strokes, num_units: int, table: Float32[Tensor, "unit level"], layer: str
) -> list[Edit]:
    """Return the edits of the strokes, applied to the same number of random units of the layer.

    Args:
        strokes: Strokes to copy; those of other layers are left out, and those without levels keep their values.
        num_units: Number of units of the layer.
        table: Values of all units of the layer at ``LEVELS[1:]``, float32 ``[unit, level]``.
        layer: Name of the layer.
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
