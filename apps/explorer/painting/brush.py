"""The brush: a concept, an action (draw or remove), and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from gandissect import Concept, LayerDissection, UnitSet
from gandissect.causal.results import UnitEffects

from ..background.resources import pluralize
from ..levels import LEVELS
from ..units.activity import add_effects

MIN_IOU, MAX_UNITS, DEFAULT_UNITS, DEFAULT_LEVEL = 0.04, 40, 20, 0.99
DRAW, REMOVE = "draw", "remove"
EFFECT, IOU = "effect", "IoU"
MIN_STDERRS = 3.0
"""Minimum effect of a unit behind a brush, in standard errors."""


@dataclass(frozen=True, slots=True)
class Brush:
    """The settings of the next stroke.

    Args:
        concept: Name of the concept.
        color: Color of the concept, ``#rrggbb``.
        action: ``draw`` or ``remove``.
        units: Units that the stroke sets, best first.
        levels: Quantile that each unit is set to, each one of `LEVELS`.
    """

    concept: str
    color: str
    action: str
    units: UnitSet
    levels: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name of the brush's strokes."""
        return f"{self.action} {self.concept}"


def describe_level(level: float) -> str:
    """Return a level in words."""
    return {0.0: "off", 1.0: "max"}.get(level, f"{100 * level:g}%")


def choose_brush(
    dissection: LayerDissection, effects: UnitEffects | None, scope: str, on_change: Callable[[], None]
) -> Brush | None:
    """Let the visitor choose a brush; if no unit of the layer qualifies, show why and return None.

    If effects are available, units are ranked by effect unless the visitor chooses IoU: units by effect remove more of
    a concept, and some draw it where units by IoU do not.

    Args:
        dissection: Dissection of the layer.
        effects: Effects of the layer's units, if available.
        scope: Scope of the choice, part of the widgets' keys.
        on_change: Called when the choice changes.
    """
    method = _choose_method(on_change) if effects is not None else IOU
    if effects is not None and method == EFFECT:
        ranked = rank_units_by_effect(effects, dissection.concepts)
    else:
        ranked = rank_units_by_iou(dissection)
    if not ranked:
        lack = "affects a concept" if method == EFFECT else f"matches a concept with IoU >= {MIN_IOU}"
        st.info(f"No unit of this layer {lack}; choose another layer in the sidebar.")
        return None
    concept = _choose_concept(tuple(ranked), f"concept {method} {scope}", on_change)
    action, level = _choose_action(on_change)
    units = _choose_best(ranked[concept], f"count {concept.name} {method} {scope}", on_change)
    title = f"{pluralize(len(units), 'unit')} behind the brush"
    with st.expander(title, key="behind"):  # the key keeps it open when the units change
        key = f"units {method} {concept.name} {action} {level} {len(units)} {scope}"
        frame = _table(dissection, effects, units, concept.name)
        units, levels = _adjust(units, frame, concept.name, level, key, on_change)
    return Brush(concept.name, concept.hex, action, units, levels)


def _choose_method(on_change: Callable[[], None]) -> str:
    """Let the visitor choose how units are ranked."""
    return st.segmented_control(
        "Rank units by",
        [EFFECT, IOU],
        default=EFFECT,
        required=True,
        key="by",
        on_change=on_change,
        help="Effect: what the concept loses when the unit is off. IoU: overlap of the unit's activity with it",
    )


def _choose_concept(concepts: Sequence[Concept], key: str, on_change: Callable[[], None]) -> Concept:
    """Let the visitor choose one of the concepts that have units."""
    names = [concept.name for concept in concepts]
    _color_pills([concept.hex for concept in concepts])
    with st.container(key="concepts"):
        name = st.pills("Concept", names, default=names[0], required=True, key=key, on_change=on_change)
    return concepts[names.index(name)]


def _choose_action(on_change: Callable[[], None]) -> tuple[str, float]:
    """Let the visitor choose to draw or remove, and the quantile that units are set to."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        action = st.segmented_control(
            "Action", [DRAW, REMOVE], default=DRAW, required=True, key="action", on_change=on_change
        )
        if action == REMOVE:
            return action, 0.0
        level = st.select_slider(
            "Strength",
            LEVELS[1:],
            DEFAULT_LEVEL,
            describe_level,
            key="level",
            on_change=on_change,
            help="Each unit is set to this quantile of its own activations over many pictures",
        )
    return action, level


def _choose_best(units: UnitSet, key: str, on_change: Callable[[], None]) -> UnitSet:
    """Let the visitor choose the number of units, best first."""
    if len(units) == 1:
        return units
    start = min(DEFAULT_UNITS, len(units))
    return units.top(st.slider("Number of units, best first", 1, len(units), start, key=key, on_change=on_change))


def rank_units_by_iou(dissection: LayerDissection) -> dict[Concept, UnitSet]:
    """Return the units that match each concept, best first; concepts with the most units first."""
    ranked = {concept: dissection.units_for(concept.name, MIN_IOU, MAX_UNITS) for concept in dissection.concepts}
    return {concept: units for concept, units in sorted(ranked.items(), key=lambda item: -len(item[1])) if len(units)}


def rank_units_by_effect(effects: UnitEffects, concepts: Sequence[Concept]) -> dict[Concept, UnitSet]:
    """Return the units with a significant effect on each concept, best first; concepts with the largest sum first."""
    lost: dict[Concept, float] = {}
    ranked: dict[Concept, UnitSet] = {}
    for concept in concepts:
        column = effects.concepts.index(concept.name)
        mean, stderr = effects.mean[:, column], effects.stderr[:, column]
        order = mean.argsort(descending=True, stable=True).tolist()
        units = [unit for unit in order if mean[unit] > MIN_STDERRS * stderr[unit]][:MAX_UNITS]
        if units:
            ranked[concept], lost[concept] = UnitSet(effects.layer, tuple(units)), float(mean[units].sum())
    return {concept: ranked[concept] for concept in sorted(lost, key=lambda concept: -lost[concept])}


def _table(dissection: LayerDissection, effects: UnitEffects | None, units: UnitSet, concept: str) -> pd.DataFrame:
    """Return a row for each unit."""
    iou = dissection.iou[dissection.concept_index(concept)]
    frame = pd.DataFrame(
        {
            "unit": list(units.units),
            "IoU": iou[list(units.units)].tolist(),
            "concept": [dissection.matches[unit].concept or "none" for unit in units.units],
        }
    )
    return frame if effects is None else add_effects(frame, dissection, effects, concept)


def _adjust(
    units: UnitSet, frame: pd.DataFrame, concept: str, level: float, key: str, on_change: Callable[[], None]
) -> tuple[UnitSet, tuple[float, ...]]:
    """Show the units in an editable table; return those in use, and their levels."""
    frame = frame.assign(use=True, **{"set to": describe_level(level)})
    columns = {
        "use": st.column_config.CheckboxColumn(" ", width=35, help="Use the unit"),
        "unit": st.column_config.NumberColumn(width=40),
        "IoU": st.column_config.ProgressColumn(
            format="%.3f", min_value=0, max_value=max(0.2, frame["IoU"].max()), width=68, help=f"IoU with {concept}"
        ),
        "effect": st.column_config.NumberColumn(
            format="%+.2f", width=50, help=f"Percent of the pixels that {concept} loses when the unit is off"
        ),
        "concept": st.column_config.TextColumn(width=70, help="Concept that the unit matches best"),
        "set to": st.column_config.SelectboxColumn(
            options=[describe_level(choice) for choice in LEVELS], required=True, width=60
        ),
    }
    edited = st.data_editor(
        frame,
        hide_index=True,
        column_config=columns,
        column_order=[name for name in columns if name in frame],
        disabled=["unit", "IoU", "effect", "concept"],
        key=key,
        height=min(38 + 35 * len(frame), 213),
        on_change=on_change,
    )
    by_words = {describe_level(choice): choice for choice in LEVELS}
    rows = [row for row in edited.to_dict("records") if row["use"]]
    return UnitSet(units.layer, tuple(int(row["unit"]) for row in rows)), tuple(by_words[row["set to"]] for row in rows)


def _color_pills(colors: list[str]) -> None:
    """Add a dot in the concept's color to each button."""
    dots = "".join(
        f".st-key-concepts button:nth-of-type({index})::before {{background: {color}}}"
        for index, color in enumerate(colors, 1)
    )
    shape = 'content: ""; width: .7em; height: .7em; border-radius: 50%; margin-right: .45em; flex: none'
    st.html(f"<style>.st-key-concepts button::before {{{shape}}} {dots}</style>")
