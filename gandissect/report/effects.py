"""Figures of causal effects: what units add and remove, compared with random units, where, and how many it takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from ..causal.results import EFFECT_KINDS, CausalEffect, EffectCurves
from ..core.types import check_type
from ..stats.intervals import Z_95
from .style import CONTROL, INK, UNITS, draw_control_band
from .text import finish_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

RANKINGS = (UNITS, "#2563a8", "#2e7d4f", "#7b4ea3")
PANELS = 3
"""Maximum number of panels side by side."""

MAX_SIDE_EFFECTS = 6
"""Maximum number of other concepts in the figure; those that change most are shown."""

LEAST_ADDED = 0.01
"""Minimum end of the color scale of what insertion adds, in percent, which keeps rounding errors white."""

REMEDY = "pass a list of results of average_causal_effect, or the .effects of a result of measure_concept_effects"
"""Remedy for effects of another type."""


def draw_effects(effects: Sequence[CausalEffect]) -> Figure:
    """Draw one row per effect: on the concept, on the other concepts that change most, and by place.

    Args:
        effects: Results of `average_causal_effect`, at least one.

    Returns:
        A figure without window or global state; write it with ``savefig``. Error bars are 95% intervals.

    Raises:
        ValueError: If there are no effects.

    Source: Bau et al. 2019, Sec. 4.3 and 4.4.
    """
    from .figures import NotebookFigure

    check_type("effects", effects, Sequence, REMEDY)
    for effect in effects:
        check_type("each effect", effect, CausalEffect, REMEDY)
    if not effects:
        raise ValueError("effects must contain at least 1 effect; got none")
    figure = NotebookFigure(figsize=(12, 2.9 * len(effects) + 0.6), dpi=110, layout="constrained")
    rows = figure.subfigures(len(effects), 1, squeeze=False)[:, 0]
    for part, effect in zip(rows, effects, strict=True):
        part.suptitle(_title(effect), fontsize="medium")
        on, others, places = part.subplots(1, 3, width_ratios=(3, 4, 2.4))
        _draw_effect(on, effect)
        _draw_side_effects(others, effect)
        _draw_places(places, effect, part)
    return finish_text(figure)


def draw_effect_curves(curves: Sequence[EffectCurves]) -> Figure:
    """Draw how much of a concept is removed by ablating more and more units, with the range of random units.

    Args:
        curves: Results of `measure_effect_curves`, at least one; each has its own panel.

    Returns:
        A figure without window or global state; write it with ``savefig``. Error bars are 95% intervals; the dotted
            line is the concept's whole share of the pixels of unedited images.

    Raises:
        ValueError: If there are no curves.

    Source: Bau et al. 2019, Sec. 4.3.
    """
    from .figures import NotebookFigure

    check_type("curves", curves, Sequence, "pass a list of results of measure_effect_curves")
    for concept_curves in curves:
        check_type(
            "each of the curves", concept_curves, EffectCurves, "pass a list of results of measure_effect_curves"
        )
    if not curves:
        raise ValueError("curves must contain the curves of at least 1 concept; got none")
    columns = min(len(curves), PANELS)
    rows = -(-len(curves) // columns)
    figure = NotebookFigure(figsize=(0.6 + 4.2 * columns, 0.3 + 3.3 * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, concept_curves in zip(panels, curves, strict=False):
        _draw_curves(axes, concept_curves)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    return finish_text(figure)


def _draw_curves(axes: Axes, curves: EffectCurves) -> None:
    places = range(len(curves.counts))
    shares = [[100 * float(table.mean[place]) for table in curves.control] for place in places]
    draw_control_band(axes, [min(share) for share in shares], [max(share) for share in shares], "random units")
    for (name, table), color in zip(curves.taken.items(), cycle(RANKINGS)):
        means, reaches = ((100 * values).tolist() for values in (table.mean, Z_95 * table.stderr))
        axes.errorbar(places, means, yerr=reaches, fmt="o-", color=color, ms=3.5, lw=1.4, label=name)
    axes.axhline(100 * curves.share, color=INK, lw=0.8, ls=":", label="share of unedited images' pixels")
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xticks(places, [str(count) for count in curves.counts])
    axes.set_xlabel(f"units of {curves.layer} ablated", fontsize="small")
    axes.set_ylabel(f"{curves.concept} removed, percentage points", fontsize="small")
    axes.set_title(f"{curves.generator}: {curves.concept}, {curves.num_samples:,} images", fontsize="medium")
    low, high = axes.get_ylim()
    lines = 1 + (len(curves.taken) + 1) // 2
    axes.set_ylim(low, high + 0.1 * lines * (high - low))  # room for the legend
    axes.legend(loc="upper left", ncols=2, fontsize="small", frameon=False)
    axes.grid(axis="y", alpha=0.3)


def _title(effect: CausalEffect) -> str:
    count = len(effect.effect.units)
    return (
        f"{effect.generator}: {count} unit{'s' * (count != 1)} of {effect.effect.units.layer} on {effect.concept}, "
        f"{effect.num_samples:,} images"
    )


def _draw_effect(axes: Axes, effect: CausalEffect) -> None:
    """Draw insertion, ablation and their sum, for the units and for random units."""
    row = next(concept.index for concept in effect.concepts if concept.name == effect.concept)
    for side, name, color, offset in (
        (effect.effect, "units", UNITS, -0.2),
        (effect.control, "random units", CONTROL, 0.2),
    ):
        tables = [getattr(side, kind) for kind in EFFECT_KINDS]
        means = [100 * float(table.mean[row]) for table in tables]
        reaches = [100 * Z_95 * float(table.stderr[row]) for table in tables]
        places = [place + offset for place in range(len(EFFECT_KINDS))]
        axes.barh(places, means, 0.38, color=color, label=name, xerr=reaches, error_kw={"lw": 1, "ecolor": INK})
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(EFFECT_KINDS)), ["insertion adds", "ablation removes", "ACE (sum)"])
    axes.set_ylim(len(EFFECT_KINDS) - 0.5, -1.0)
    share = 100 * float(effect.base.mean[row])
    words = f"percentage points of {effect.concept},\nwhich covers {share:.2f}% of the pixels of unedited images"
    axes.set_xlabel(words, fontsize="small")
    axes.legend(loc="upper left", ncols=2, fontsize="small", frameon=False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_side_effects(axes: Axes, effect: CausalEffect) -> None:
    """Draw the effect of ablation on the other concepts."""
    table = effect.effect.ablation
    others = [concept for concept in effect.concepts if concept.name != effect.concept]
    largest = sorted(others, key=lambda concept: -abs(float(table.mean[concept.index])))[:MAX_SIDE_EFFECTS]
    means = [-100 * float(table.mean[concept.index]) for concept in largest]
    reaches = [100 * Z_95 * float(table.stderr[concept.index]) for concept in largest]
    axes.barh(
        range(len(largest)),
        means,
        0.6,
        color=[concept.hex for concept in largest],
        edgecolor="#444444",
        linewidth=0.6,
        xerr=reaches,
        error_kw={"lw": 1, "ecolor": INK},
    )
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(largest)), [concept.name for concept in largest])
    axes.set_ylim(max(len(largest), 1) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("percentage points of other concepts, units ablated", fontsize="small")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_places(axes: Axes, effect: CausalEffect, part: SubFigure) -> None:
    """Draw what insertion adds at each place."""
    places = effect.by_place
    share = 100 * places.mean * places.count.numel()  # in percent of the pixels of one square
    most = max(float(share.nan_to_num().abs().max()), LEAST_ADDED)
    image = axes.imshow(share.numpy(), cmap="PuOr_r", vmin=-most, vmax=most)  # white is no effect
    axes.patch.set(facecolor="#d0d0d0", hatch="////", edgecolor="#888888")  # shows where the share is NaN
    note = "\nhatched: forced on here in no image" if bool(share.isnan().any()) else ""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{effect.concept} added, % of the square\nwhere units are forced on{note}", fontsize="small")
    part.colorbar(image, ax=axes, fraction=0.05)
