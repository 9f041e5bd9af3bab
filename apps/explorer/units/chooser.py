"""The choice of units of a layer: the best for a concept, or rows of a sortable table."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd
import streamlit as st

from gandissect import LayerDissection, Segmenter, UnitSet
from gandissect.causal.results import UnitEffects
from gandissect.causal.units import measure_unit_effects
from gandissect.core.rows import limit_rows

from ..background import disk_cache
from ..background.progress import follow_task, visitor_tasks
from ..background.resources import escape, pluralize
from ..background.tasks import CountedSegmenter
from ..display import tables
from ..networks import fingerprint_of
from ..visit import Visit
from .activity import add_chance, add_effects

MIN_IOU = 0.04
EFFECT_SAMPLES, EFFECT_SEED = 24, 5


def choose_units(visit: Visit, segmenter: Segmenter, dissection: LayerDissection) -> tuple[UnitSet, str]:
    """Let the visitor choose units, and show their table; return the units and a title."""
    scope = f"{fingerprint_of(visit.measured)} {dissection.name}"
    highest = dissection.iou.amax(1).tolist()
    best_first = sorted(dissection.concepts, key=lambda concept: -highest[concept.index])
    by_name = {concept.name: dissection.units_for(concept.name, MIN_IOU) for concept in best_first}
    ranked = {name: units for name, units in by_name.items() if len(units)}
    modes = [*(["best for a concept"] if ranked else []), "selected in the table"]
    mode = st.segmented_control(
        "Units", modes, default=modes[0], required=True, label_visibility="collapsed", key="mode"
    )
    effects = find_measured_effects(visit, segmenter)
    if mode == modes[-1] or not ranked:
        units, title = pick_rows(dissection, scope, effects)
    else:
        concept = st.selectbox("Concept", list(ranked), key="concept", bind="query-params")
        units = ranked[concept]
        if len(units) > 1:
            label = f"Number of units, best first ({len(units)} have IoU >= {MIN_IOU})"
            units = units.top(st.slider(label, 1, len(units), min(20, len(units)), key=f"top {concept} {scope}"))
        show_units(tables.unit_table(dissection, units.units, concept), dissection, effects, concept)
        title = f"{pluralize(len(units), 'best unit')} for {escape(concept)}"
    offer_effects(visit, segmenter, effects)
    return units, title


def pick_rows(dissection: LayerDissection, scope: str, effects: UnitEffects | None) -> tuple[UnitSet, str]:
    """Show all units of a layer, best first; return those of the selected rows, and a title."""
    order = dissection.iou.amax(0).argsort(descending=True, stable=True).tolist()
    start = {"selection": {"rows": [0]}}
    frame = tables.unit_table(dissection, order)
    event = show_units(frame, dissection, effects, on_select="rerun", selection_default=start, key=f"rows {scope}")
    rows = [row for row in event["selection"]["rows"] if row < len(order)]
    if not rows:
        st.info("Select rows to switch their units off; click a column header to sort.")
    units = UnitSet(dissection.name, tuple(order[row] for row in rows))
    return units, pluralize(len(units), "selected unit")


def show_units(
    frame: pd.DataFrame,
    dissection: LayerDissection,
    effects: UnitEffects | None,
    concept: str | None = None,
    **selection: Any,
) -> Any:
    """Show a table of units with intervals, chance and effects; return its selection."""
    frame = add_chance(frame, dissection, concept)
    if effects is not None:
        frame = add_effects(frame, dissection, effects, concept)
    top = max(0.2, float(dissection.iou.max()))
    number = st.column_config.NumberColumn
    columns = {
        "unit": number(width=45),
        "concept": st.column_config.TextColumn(width=80, help="Concept that the unit matches best"),
        "IoU": st.column_config.ProgressColumn(
            format="%.3f", min_value=0, max_value=top, width=85, help=f"IoU with {concept or 'that concept'}"
        ),
        "95%": st.column_config.TextColumn(width=92, help="95% interval of the IoU over pictures"),
        "chance": number(format="%.3f", width=60, help="IoU with the label maps of other pictures"),
        "effect": number(
            format="%+.2f", width=55, help="Percent of the pixels that the concept loses when the unit is off"
        ),
        "±": number(format="%.2f", width=45, help="Half-width of the effect's 95% interval"),
    }
    order = [name for name in columns if name in frame]
    return st.dataframe(
        frame,
        height=min(38 + 35 * len(frame), 390),
        hide_index=True,
        column_config=columns,
        column_order=order,
        alt="Units of the layer",
        **selection,
    )


def find_measured_effects(visit: Visit, segmenter: Segmenter) -> UnitEffects | None:
    """Return the effects of the layer's units if they are available."""
    key, generator = _key(visit, segmenter), visit.measured
    task = visitor_tasks().get(key)
    if task is None:
        effects = disk_cache.find_effects(
            generator, segmenter, visit.layer, limit_rows(generator, EFFECT_SAMPLES), EFFECT_SEED
        )
        if effects is not None:
            task = visitor_tasks().begin(key, 0, lambda: effects, lambda: effects)
    return None if task is None else task.value


def offer_effects(visit: Visit, segmenter: Segmenter, effects: UnitEffects | None) -> None:
    """Offer to measure the effect of each unit, or show the progress."""
    if effects is not None:
        st.caption(
            f"Effect: percent of the pixels that the concept loses when only this unit is off, over "
            f"{effects.num_samples} pictures of seed {effects.seed}; ±: half-width of its 95% interval."
        )
        return
    key = _key(visit, segmenter)
    follow_task(key, f"Measuring the effect of each unit of {visit.layer}")
    if visitor_tasks().get(key) is None:
        st.button(
            "Measure the effect of each unit",
            key="effects",
            icon=":material/bolt:",
            on_click=begin_effects,
            args=(visit, segmenter),
            help="Switches off one unit at a time and segments the pictures; may take minutes",
        )


def begin_effects(visit: Visit, segmenter: Segmenter) -> None:
    """Start measuring the effects of a layer's units in the background."""
    counted = CountedSegmenter(segmenter)

    def work() -> UnitEffects:
        facts = visit.layer, limit_rows(visit.measured, EFFECT_SAMPLES), EFFECT_SEED
        effects = measure_unit_effects(visit.measured, counted, *facts, batch_size=8, progress=False)
        disk_cache.save_effects(effects, visit.measured, segmenter)
        return effects

    total = limit_rows(visit.measured, EFFECT_SAMPLES) * (visit.measured.layers[visit.layer].units + 1)
    visitor_tasks().begin(_key(visit, segmenter), total, work)


def _key(visit: Visit, segmenter: Segmenter) -> Hashable:
    return "effects", fingerprint_of(visit.measured), fingerprint_of(segmenter), visit.layer
