"""Choose the units of each concept on some samples, and measure their causal effects on others.

Source: Bau et al. 2019, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.display import Tabular
from ..core.lookup import lookup, unique_names
from ..core.protocols import Generator, Segmenter, check_protocols
from ..core.rows import limit_rows
from ..core.sampling import check_num_samples, check_seed
from ..core.types import UnitSet, check_type, concept_index
from ..dissection.dissect import dissect
from ..dissection.results import Dissection
from .effect import average_causal_effect
from .optimize import SoftSegmenter, optimize_units
from .results import CausalEffect, EffectCurves, drop_details
from .units import (
    find_causal_units,
    measure_effect_curves,
    measure_unit_effects,
    rank_units_by_iou,
    select_units_by_ablation,
)

CHOICE_SEED = 1_000_003
"""Offset from the seed of the effects to the seed of the samples that units are chosen on."""

EFFECT_SEED = 1
"""Default seed of the effects; it differs from the default seed of a dissection, which may choose the units."""

NUM_DISSECTED = 500
"""Number of samples of the dissection that chooses units if none is passed."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConceptEffects(Tabular):
    """The causal effects of the units of several concepts.

    Args:
        effects: Effect of each concept's units.
        curves: Curve of each concept over the number of ablated units; empty if curves were not measured.
    """

    effects: tuple[CausalEffect, ...]
    curves: tuple[EffectCurves, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.effects))

    def records(self) -> list[dict[str, Any]]:
        """Return the record of each effect's own concept, with its units."""
        return [
            {"layer": effect.effect.units.layer, "num_units": len(effect.effect.units)}
            | next(record for record in effect.records() if record["concept"] == effect.concept)
            for effect in self.effects
        ]

    def _summarize(self) -> str:
        effects = ", ".join(f"{effect.concept} {effect.ace:.3f}" for effect in self.effects)
        return f"ace: {effects}; {len(self.curves)} curves"

    def _html_parts(self) -> Iterable[str]:
        from ..core.rich import draw_records

        return (draw_records(list(map(drop_details, self.records()))),)


def measure_concept_effects(
    generator: Generator,
    segmenter: Segmenter,
    concepts: Sequence[str] | str,
    *,
    layer: str | None = None,
    units: UnitSet | None = None,
    num_units: int = 20,
    optimize: bool = False,
    dissection: Dissection | None = None,
    num_samples: int = 1_000,
    seed: int = EFFECT_SEED,
    curves: bool = False,
    progress: bool = True,
) -> ConceptEffects:
    """Choose the units of each concept and measure their causal effects on held-out samples.

    By default the units are those of highest IoU, in the layer where ablating them removes most of the concept
    (`select_units_by_ablation`). `average_causal_effect` measures each effect; `draw_effects` and `draw_effect_curves`
    plot the results.

    Args:
        generator: Generator whose units are measured.
        segmenter: Segmenter for the generator's images.
        concepts: Names of concepts, or one name.
        layer: Name of the layer; by default, for each concept, the layer with the largest effect.
        units: Units of all concepts, which skips the choice of units.
        num_units: Number of units to choose for each concept, at least 1.
        optimize: Choose the units by gradient descent (`optimize_units`) instead of by IoU; requires ``layer``.
        dissection: Dissection that chooses the units, by any segmenter that has the concepts; by default the generator
            is dissected on 500 samples, or on all pictures of a translator that has fewer.
        num_samples: Number of images to measure the effects on, at least 2.
        seed: Seed of these images. Units are chosen on images of ``seed + 1_000_003``; those of a translator are the
            same pictures.
        curves: Also measure the effect of ablating increasing numbers of units, ranked by IoU, by single effects, and,
            if the segmenter is differentiable, by gradient descent. This takes minutes per concept.
        progress: Show progress bars.

    Returns:
        The effects, and the curves if requested, in the order of the concepts.

    Raises:
        KeyError: If there is no such layer or concept.
        TypeError: If the generator or the segmenter does not implement its protocol.
        ValueError: If arguments contradict each other, a number is out of range, or the dissection is of another
            generator or of the images of ``seed``.

    Source: Bau et al. 2019, Sec. 4.3.
    """
    seed = check_seed(seed)
    check_protocols(generator, segmenter)
    check_type("concepts", concepts, Sequence, "pass a name, or a list of names")
    names = unique_names(concepts)
    _check_concepts(segmenter, names)
    layer = _check_units(generator, units, layer, optimize=optimize)
    if dissection is not None and (units is not None or optimize) and not curves:
        raise ValueError("dissection must not be combined with units or optimize; omit one or the other")
    if num_samples < 2 or num_units < 1:
        raise ValueError(f"num_samples must be at least 2 and num_units at least 1; got {num_samples} and {num_units}")
    check_num_samples(num_samples)
    if dissection is not None:
        _check_dissection(dissection, generator, seed)
    choice = _UnitChoice(generator, segmenter, layer, num_units, optimize, dissection, seed + CHOICE_SEED, progress)
    chosen = {name: choice.choose(name) if units is None else units for name in names}
    effects = tuple(
        average_causal_effect(generator, segmenter, chosen[name], name, num_samples, seed, progress=progress)
        for name in names
    )
    if not curves:
        return ConceptEffects(effects)
    return ConceptEffects(effects, _measure_curves(choice, chosen, seed))


@dataclass(frozen=True, eq=False)
class _UnitChoice:
    """The choice of units; the generator is dissected at most once, and only if needed."""

    generator: Generator
    segmenter: Segmenter
    layer: str | None
    num_units: int
    optimize: bool
    known_dissection: Dissection | None
    seed: int
    progress: bool

    @cached_property
    def dissection(self) -> Dissection:
        """Dissection that chooses the units."""
        if self.known_dissection is not None:
            return self.known_dissection
        return dissect(
            self.generator,
            self.segmenter,
            self.layer,
            limit_rows(self.generator, NUM_DISSECTED),
            self.seed,
            top_images=0,
            progress=self.progress,
        )

    def choose(self, concept: str) -> UnitSet:
        """Return the units of a concept."""
        networks, count, seed, progress = (self.generator, self.segmenter), self.num_units, self.seed, self.progress
        if self.layer is None:
            return select_units_by_ablation(*networks, self.dissection, concept, count, seed=seed, progress=progress)
        if self.optimize:
            return find_causal_units(
                *networks, self.layer, concept, count, seed, method="optimization", progress=progress
            )
        return self.dissection[self.layer].units_for(concept, 0.0, count)


def _check_concepts(segmenter: Segmenter, names: Sequence[str]) -> None:
    """Raise ValueError if no concept is named, and KeyError if a concept is unknown."""
    if not names:
        known = ", ".join(concept.name for concept in segmenter.concepts)
        raise ValueError(f"name at least one concept; the concepts are {known}")
    for name in names:
        concept_index(segmenter.concepts, name)


def _check_units(generator: Generator, units: UnitSet | None, layer: str | None, *, optimize: bool) -> str | None:
    """Return the layer of the units, or the layer that is named, after checking both.

    Raises:
        KeyError: If there is no such layer.
        TypeError: If ``units`` is not a `UnitSet`.
        ValueError: If units, layer and optimize contradict each other.
    """
    if units is not None and not isinstance(units, UnitSet):
        raise TypeError(f"units must be a UnitSet(layer, units); got {type(units).__name__}")
    if units is not None and optimize:
        raise ValueError("units and optimize exclude each other; omit one of them")
    if units is not None and layer not in {None, units.layer}:
        raise ValueError(f"layer must be that of the units, {units.layer!r}; got {layer!r}; omit layer")
    if layer is None and units is None and optimize:
        raise ValueError("optimize requires a layer; name the layer")
    named = layer if units is None else units.layer
    if named is not None:
        lookup(generator.layers, named, "layer")
    return named


def _check_dissection(dissection: Dissection, generator: Generator, seed: int) -> None:
    """Raise ValueError if a dissection is of another generator, or of the images to measure on."""
    dissection.provenance.generator.check(generator, "the dissection")
    if dissection.provenance.seed == seed:
        raise ValueError(
            f"the dissection used seed {seed} too; measure the effects with another seed, such as "
            f"seed={seed + 1} (--seed {seed + 1})"
        )


def _measure_curves(choice: _UnitChoice, chosen: Mapping[str, UnitSet], seed: int) -> tuple[EffectCurves, ...]:
    """Return, for each concept, the effect of ablating increasing numbers of units of its layer."""
    generator, segmenter, progress = choice.generator, choice.segmenter, choice.progress
    layers = dict.fromkeys(units.layer for units in chosen.values())
    single = {
        layer: measure_unit_effects(generator, segmenter, layer, seed=choice.seed, progress=progress)
        for layer in layers
    }
    curves = []
    for concept, units in chosen.items():
        rankings = {
            "by IoU": rank_units_by_iou(choice.dissection, units.layer, concept),
            "by effect alone": single[units.layer].ranking(concept),
        }
        if isinstance(segmenter, SoftSegmenter):
            rankings["by optimization"] = optimize_units(
                generator, segmenter, units.layer, concept, seed=choice.seed, progress=progress
            )
        curves.append(measure_effect_curves(generator, segmenter, rankings, seed=seed, progress=progress))
    return tuple(curves)
